/**
 * Networks are separate Ethernets in the packet core (issue 5.1): 50 of them on 3 hosts, all with the same subnet, the same
 * addresses and MACs, and one MAC each that is nowhere else. Whatever is sent in one comes out in that one alone.
 */
import t from 'tap';
import type { Test } from 'tap';
import { chooseVni } from '../../proto/networks/choose.ts';
import { ip, mac } from '../model/bytes.ts';
import { BROADCAST, arp, ethernet, vnet } from '../model/frame.ts';
import { Harness } from '../model/harness.ts';

const NETWORKS = 50;
const HOSTS = [1, 2, 3] as const;
const TYPE = 0x88b5;
const TAG_AT = 14;

/** One host: a port in each network, and the rows that the others' records make. */
class Host {
  readonly h = new Harness();
  readonly number: number;

  constructor(number: number, vnis: readonly number[]) {
    this.number = number;
    for (const peer of HOSTS) if (peer !== number) this.h.peer(peer, addressOf(peer));
    for (const [network, vni] of vnis.entries()) this.join(network, vni);
  }

  join(network: number, vni: number): void {
    this.h.network(network, vni);
    this.h.port(network, network, this.h.flags('PORT_OFFLOAD', 'PORT_USO', 'PORT_REFLECT'));
    for (const peer of HOSTS) {
      if (peer === this.number) continue;
      this.h.flood(network, peer);
      this.h.fdb(network, mac(sharedMac(peer)), peer);
      this.h.fdb(network, mac(ownMac(peer, network)), peer);
      this.h.command('NEIGHBOUR_PUT', {
        a: network,
        ip: ip(`10.60.${peer}.9`),
        mac: mac(sharedMac(peer)),
      });
    }
  }
}

const addressOf = (host: number): string => `192.0.2.${host}`;
const hex = (value: number): string => value.toString(16).padStart(2, '0');
const sharedMac = (host: number): string => `02:42:0a:3c:${hex(host)}:09`;
const ownMac = (host: number, network: number): string => `02:00:00:${hex(host)}:00:${hex(network + 1)}`;

/** A frame that says where it was sent. */
function tagged(to: string, host: number, network: number): Uint8Array {
  const payload = new Uint8Array(46);
  payload.set([0x5a, host, network + 1]);
  return ethernet(to, sharedMac(host), TYPE, payload);
}

class Fabric {
  readonly hosts: Map<number, Host>;
  leaked: string[] = [];
  delivered = 0;
  sent = 0;

  constructor(vnis: readonly number[]) {
    this.hosts = new Map(HOSTS.map((number) => [number, new Host(number, vnis)]));
  }

  send(host: number, network: number, frame: Uint8Array): void {
    const { h } = this.hosts.get(host)!;
    this.sent++;
    h.tap(network, vnet(), frame);
    this.#collect(host, network);
    const datagrams = h.datagrams();
    h.reset();
    for (const { peerAddress, bytes } of datagrams) {
      const to = peerAddress[7]!;
      const receiver = this.hosts.get(to)!;
      receiver.h.tunnel(addressOf(host), bytes);
      this.#collect(to, network);
      receiver.h.reset();
    }
  }

  /** What a host wrote to its TAPs: in the network that it was sent in, or it has leaked. */
  #collect(host: number, network: number): void {
    for (const { port, frame } of this.hosts.get(host)!.h.outs()) {
      this.delivered++;
      const isTagged = frame[12] === TYPE >> 8 && frame[TAG_AT] === 0x5a;
      const tag = isTagged ? frame[TAG_AT + 2]! - 1 : network;
      if (port !== network || tag !== network) this.leaked.push(`${network} -> host ${host} port ${port}`);
    }
  }

  balanced(): boolean {
    return [...this.hosts.values()].every(({ h }) => h.imbalance() === 0);
  }
}

function all(fabric: Fabric, test: Test, name: string): void {
  for (const host of HOSTS) {
    for (let network = 0; network < NETWORKS; network++) {
      fabric.send(host, network, tagged(BROADCAST, host, network));
      fabric.send(host, network, tagged('33:33:00:00:00:fb', host, network));
      // ARP for an address that all networks have, and for one that none has.
      for (const target of ['10.60.1.9', '10.60.2.9', '10.60.77.7']) {
        const senderIp = `10.60.${host}.9`;
        fabric.send(host, network, arp({ senderMac: sharedMac(host), senderIp, targetIp: target }));
      }
      for (const other of HOSTS) {
        if (other !== host) fabric.send(host, network, tagged(sharedMac(other), host, network));
      }
      // To what exists only in another network: every ordered pair of networks.
      for (let foreign = 0; foreign < NETWORKS; foreign++) {
        const other = HOSTS[(host + foreign) % HOSTS.length]!;
        if (other !== host) fabric.send(host, network, tagged(ownMac(other, foreign), host, network));
      }
    }
  }
  test.same(fabric.leaked, [], `${name}: 0 of ${fabric.sent} frames leak, ${fabric.delivered} came out`);
  test.ok(fabric.delivered > NETWORKS * HOSTS.length * 6, 'and they do come out where they belong');
  test.ok(fabric.balanced(), 'every frame has one verdict');
}

void t.test('5.1 50 networks on 3 hosts, overlapping subnets: 0 frames leak', async (test) => {
  t.setTimeout(120_000);
  const taken = new Set<number>();
  const vniFor = (name: string): number => {
    const vni = chooseVni(name, (one) => taken.has(one))!;
    taken.add(vni);
    return vni;
  };
  const vnis = Array.from({ length: NETWORKS }, (_, i) => vniFor(`net${i}`));
  const fabric = new Fabric(vnis);
  all(fabric, test, 'as made');

  // Half of them are removed, and their indexes given to other networks, on one host after the other.
  for (const [number, { h }] of fabric.hosts) {
    for (let network = 0; network < NETWORKS; network += 2) h.command('NETWORK_DEL', { a: network });
    const [sender] = HOSTS.filter((other) => other !== number);
    for (let network = 0; network < NETWORKS; network += 2) {
      const before = fabric.delivered;
      fabric.send(sender!, network, tagged(sharedMac(number), sender!, network));
      if (fabric.delivered !== before) test.fail('a removed network still delivers');
    }
  }
  for (let network = 0; network < NETWORKS; network += 2) {
    const vni = vniFor(`next${network}`);
    for (const host of fabric.hosts.values()) host.join(network, vni);
  }
  all(fabric, test, 'with indexes given out again');
});
