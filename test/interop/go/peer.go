// A member of a real memberlist cluster, driven line by line: for tests of what others see of overlayd.
//
// Commands come on stdin, one a line, words separated by blanks, bytes in hex; what happens goes to stdout as JSON
// lines {"type": ...}; memberlist's own log goes to stderr. Every command is answered by "done" or "failed".
// It ends with its stdin.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

type message map[string]interface{}

var out = struct {
	sync.Mutex
	*json.Encoder
}{Encoder: json.NewEncoder(os.Stdout)}

func tell(kind string, what message) {
	if what == nil {
		what = message{}
	}
	what["type"] = kind
	out.Lock()
	defer out.Unlock()
	_ = out.Encode(what)
}

func tellNode(kind string, n *memberlist.Node) {
	tell(kind, message{"name": n.Name, "addr": n.Address(), "meta": hex.EncodeToString(n.Meta)})
}

// peer is what the test says and hears through memberlist's delegates.
type peer struct {
	sync.Mutex
	meta, state, ack []byte
	queue            memberlist.TransmitLimitedQueue
	list             *memberlist.Memberlist
	net              *deafTransport
	keys             *memberlist.Keyring
}

func (p *peer) get(what *[]byte) []byte {
	p.Lock()
	defer p.Unlock()
	return *what
}

func (p *peer) set(what *[]byte, bytes []byte) {
	p.Lock()
	defer p.Unlock()
	*what = bytes
}

func (p *peer) NodeMeta(int) []byte         { return p.get(&p.meta) }
func (p *peer) LocalState(join bool) []byte { return p.get(&p.state) }
func (p *peer) AckPayload() []byte          { return p.get(&p.ack) }

func (p *peer) NotifyMsg(bytes []byte) {
	tell("user", message{"bytes": hex.EncodeToString(bytes)})
}

func (p *peer) GetBroadcasts(overhead, limit int) [][]byte {
	return p.queue.GetBroadcasts(overhead, limit)
}

func (p *peer) MergeRemoteState(bytes []byte, join bool) {
	tell("state", message{"bytes": hex.EncodeToString(bytes), "join": join})
}

func (p *peer) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, payload []byte) {
	tell("ack", message{"name": n.Name, "bytes": hex.EncodeToString(payload)})
}

func (p *peer) NotifyJoin(n *memberlist.Node)   { tellNode("join", n) }
func (p *peer) NotifyLeave(n *memberlist.Node)  { tellNode("leave", n) }
func (p *peer) NotifyUpdate(n *memberlist.Node) { tellNode("update", n) }
func (p *peer) NotifyConflict(_, other *memberlist.Node) {
	tellNode("conflict", other)
}

func (p *peer) node(name string) (*memberlist.Node, error) {
	for _, n := range p.list.Members() {
		if n.Name == name {
			return n, nil
		}
	}
	return nil, errors.New("no such member: " + name)
}

type broadcast []byte

func (b broadcast) Invalidates(memberlist.Broadcast) bool { return false }
func (b broadcast) Message() []byte                       { return b }
func (b broadcast) Finished()                             {}

func (p *peer) members() {
	names := []string{}
	for _, n := range p.list.Members() {
		names = append(names, n.Name)
	}
	tell("members", message{"names": names, "health": p.list.GetHealthScore()})
}

func (p *peer) send(name string, bytes []byte, by func(*memberlist.Node, []byte) error) error {
	n, err := p.node(name)
	if err != nil {
		return err
	}
	return by(n, bytes)
}

func (p *peer) run(words []string) error {
	var bytes []byte
	if len(words) > 1 {
		bytes, _ = hex.DecodeString(words[len(words)-1])
	}
	switch words[0] {
	case "join":
		_, err := p.list.Join(words[1:])
		return err
	case "leave":
		return p.list.Leave(5 * time.Second)
	case "members":
		p.members()
		return nil
	case "meta":
		p.set(&p.meta, bytes)
		return p.list.UpdateNode(5 * time.Second)
	case "state":
		p.set(&p.state, bytes)
		return nil
	case "ack":
		p.set(&p.ack, bytes)
		return nil
	case "udp":
		return p.send(words[1], bytes, p.list.SendBestEffort)
	case "tcp":
		return p.send(words[1], bytes, p.list.SendReliable)
	case "broadcast":
		p.queue.QueueBroadcast(broadcast(bytes))
		return nil
	case "deaf":
		p.net.hear(words[1], words[2:])
		return nil
	case "key":
		return p.key(words[1], bytes)
	}
	return errors.New("no such command: " + words[0])
}

func (p *peer) key(what string, key []byte) error {
	switch {
	case p.keys == nil:
		return errors.New("started without keys")
	case what == "add":
		return p.keys.AddKey(key)
	case what == "use":
		return p.keys.UseKey(key)
	case what == "remove":
		return p.keys.RemoveKey(key)
	}
	return errors.New("no such command: key " + what)
}

// deafTransport is the real transport, but for addresses that it is told not to hear or speak to.
type deafTransport struct {
	*memberlist.NetTransport
	sync.Mutex
	packets chan *memberlist.Packet
	streams chan net.Conn
	deaf    map[string]bool
}

func (t *deafTransport) hear(transport string, ips []string) {
	t.Lock()
	defer t.Unlock()
	for key := range t.deaf {
		if strings.HasPrefix(key, transport) {
			delete(t.deaf, key)
		}
	}
	for _, ip := range ips {
		t.deaf[transport+ip] = true
	}
}

func (t *deafTransport) isDeaf(transport, addr string) bool {
	ip, _, _ := net.SplitHostPort(addr)
	t.Lock()
	defer t.Unlock()
	return t.deaf[transport+ip]
}

func (t *deafTransport) filter() {
	for {
		select {
		case packet := <-t.NetTransport.PacketCh():
			if !t.isDeaf("udp", packet.From.String()) {
				t.packets <- packet
			}
		case stream := <-t.NetTransport.StreamCh():
			if t.isDeaf("tcp", stream.RemoteAddr().String()) {
				_ = stream.Close()
			} else {
				t.streams <- stream
			}
		}
	}
}

func (t *deafTransport) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t *deafTransport) StreamCh() <-chan net.Conn           { return t.streams }

func (t *deafTransport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	if t.isDeaf("udp", to.Addr) {
		return time.Now(), nil
	}
	return t.NetTransport.WriteToAddress(b, to)
}

func (t *deafTransport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if t.isDeaf("tcp", to.Addr) {
		return nil, errors.New("deaf")
	}
	return t.NetTransport.DialAddressTimeout(to, timeout)
}

func open(name, ip, keys string, protocol int, verify, compress, lan bool, pushPull time.Duration, suspicion int) (*peer, error) {
	p := &peer{}
	config := memberlist.DefaultLocalConfig()
	if lan {
		config = memberlist.DefaultLANConfig()
		pushPull = config.PushPullInterval
	}
	if suspicion > 0 {
		config.SuspicionMult = suspicion
	}
	config.Name = name
	config.BindAddr = ip
	config.AdvertiseAddr = ip
	config.ProtocolVersion = uint8(protocol)
	config.EnableCompression = compress
	config.GossipVerifyIncoming = verify
	config.GossipVerifyOutgoing = verify
	config.PushPullInterval = pushPull
	config.Delegate, config.Events, config.Ping, config.Conflict = p, p, p, p
	config.Logger = log.New(os.Stderr, "", log.Lmicroseconds)
	if keys != "" {
		ring := [][]byte{}
		for _, text := range strings.Split(keys, ",") {
			key, err := hex.DecodeString(text)
			if err != nil {
				return nil, err
			}
			ring = append(ring, key)
		}
		var err error
		if p.keys, err = memberlist.NewKeyring(ring, ring[0]); err != nil {
			return nil, err
		}
		config.Keyring = p.keys
	}
	inner, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{ip}, BindPort: config.BindPort, Logger: config.Logger,
	})
	if err != nil {
		return nil, err
	}
	p.net = &deafTransport{
		NetTransport: inner, deaf: map[string]bool{},
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn),
	}
	go p.net.filter()
	config.Transport = p.net
	p.queue = memberlist.TransmitLimitedQueue{
		NumNodes:       func() int { return 10 },
		RetransmitMult: config.RetransmitMult,
	}
	p.list, err = memberlist.Create(config)
	return p, err
}

func main() {
	name := flag.String("name", "", "node name")
	ip := flag.String("ip", "", "address, port 7946")
	keys := flag.String("keys", "", "keys in hex, the primary first, with commas")
	protocol := flag.Int("protocol", 2, "memberlist protocol version")
	verify := flag.Bool("verify", true, "refuse what is not sealed, and seal")
	compress := flag.Bool("compress", true, "LZW")
	lan := flag.Bool("lan", false, "the timers of a LAN, instead of those of tests on one machine")
	pushPull := flag.Duration("push-pull", 2*time.Second, "push/pull interval")
	suspicion := flag.Int("suspicion", 0, "multiplier of the time in which a suspicion may be refuted")
	flag.Parse()
	p, err := open(*name, *ip, *keys, *protocol, *verify, *compress, *lan, *pushPull, *suspicion)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	tell("ready", nil)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 0, 64<<10), 8<<20)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		if err := p.run(words); err != nil {
			tell("failed", message{"error": err.Error()})
		} else {
			tell("done", nil)
		}
	}
}
