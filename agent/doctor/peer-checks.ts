/** What keeps this host from its peers: who is gone, which port is shut, with whom no session stands and why, whose clock is off. */
import type { EchoStatus } from '../../proto/tunnel/echo.ts';
import { formatHostPort } from '../config/address.ts';
import type { Peer } from '../status.ts';
import type { Finding } from './finding.ts';

/** The hybrid clock follows no clock that is further ahead (proto/state/hlc.ts). */
const CLOCK_MAX_MS = 5_000;
const CLOCK_NOTABLE_MS = 1_000;

export interface PeerFacts {
  readonly peers: readonly Peer[];
  readonly echoes: readonly EchoStatus[];
  /** Alive for long, and their gossip came by TCP only. */
  readonly tcpOnly: readonly string[];
  /** Names of encrypted networks that this host takes part in. */
  readonly encrypted: ReadonlySet<string>;
  readonly gossipPort: number;
  readonly dataPort: number;
  /** Seeds are configured, so somebody should be there. */
  readonly expectsPeers: boolean;
}

export function checkPeers(facts: PeerFacts): Finding[] {
  const echoes = new Map(facts.echoes.map((echo) => [echo.peer, echo]));
  const findings = facts.peers.flatMap((peer) => {
    if (peer.state === 'dead') return [dead(peer)];
    if (peer.state !== 'alive') return [];
    if (peer.incompatible !== undefined) return [incompatible(peer, peer.incompatible)];
    return [
      ...echoFindings(peer, echoes.get(peer.name), facts.dataPort),
      ...sessionFindings(peer, echoes.get(peer.name), facts.encrypted),
      ...(facts.tcpOnly.includes(peer.name) ? [udpGossipShut(peer, facts.gossipPort)] : []),
    ];
  });
  if (facts.expectsPeers && !facts.peers.some(({ state }) => state === 'alive' || state === 'suspect'))
    findings.push({
      check: 'peer',
      severity: 'error',
      what: 'no other host is reachable, though there are seeds',
      cure: `Open UDP and TCP ${facts.gossipPort} between the hosts; the lines about seeds say which answer.`,
    });
  return findings;
}

const dead = ({ name, addr }: Peer): Finding => ({
  check: 'peer',
  severity: 'warn',
  what: `${name} (${addr}) is down: neither it nor others that were asked for it answer`,
  cure: `Look there: is the host up, does "overlayd status" answer?`,
});

const incompatible = ({ name }: Peer, why: string): Finding => ({
  check: 'version',
  severity: 'error',
  what: `nothing is exchanged with ${name}: ${why}`,
  cure: 'Upgrade the older of the two hosts; both sides say the same.',
});

const udpGossipShut = ({ name, addr }: Peer, port: number): Finding => ({
  check: 'gossip-port',
  severity: 'error',
  what: `gossip with ${name} (${addr}) passes by TCP only: UDP ${port} is shut on the way`,
  cure: `Open UDP ${port} between the hosts, both ways.`,
});

function echoFindings({ name }: Peer, echo: EchoStatus | undefined, dataPort: number): Finding[] {
  if (echo === undefined) return [];
  const where = formatHostPort(echo.addr.ip, echo.addr.port);
  const findings: Finding[] = [];
  if (echo.state === 'silent') {
    const heard = echo.heardMs !== undefined && echo.heardMs < HEARD_LATELY_MS;
    findings.push({
      check: 'data-port',
      severity: 'error',
      what: `UDP ${echo.addr.port} of ${name} (${where}) gives no answer${heard ? ', though its own datagrams arrive here' : ''}: no traffic passes`,
      cure: `Open UDP ${echo.addr.port} to ${echo.addr.ip} in firewalls and security groups.`,
    });
  } else if (echo.state === 'shut-here') {
    findings.push({
      check: 'data-port',
      severity: 'error',
      what: `${name} (${where}) answers, but nothing that it sends reaches UDP ${dataPort} of this host`,
      cure: `Open UDP ${dataPort} for incoming datagrams in the firewall and security group of this host.`,
    });
  }
  return [...findings, ...clockFindings(name, echo)];
}

const HEARD_LATELY_MS = 60_000;

function clockFindings(name: string, { clockAheadMs, rttMs = 0 }: EchoStatus): Finding[] {
  if (clockAheadMs === undefined) return [];
  const off = Math.abs(clockAheadMs) - rttMs / 2;
  if (off < CLOCK_NOTABLE_MS) return [];
  const seconds = (Math.abs(clockAheadMs) / 1_000).toFixed(1);
  return [
    {
      check: 'clock',
      severity: off > CLOCK_MAX_MS ? 'warn' : 'info',
      what: `the clock of ${name} is ${seconds} s ${clockAheadMs > 0 ? 'ahead of' : 'behind'} that of this host`,
      cure: 'Run a time service (chrony, systemd-timesyncd) on both: clocks decide between competing claims.',
    },
  ];
}

/** Words and cures for what the handshake says of itself (proto/tunnel/interface.ts). */
const SESSION_CAUSES: Readonly<Record<string, readonly [why: string, cure: string]>> = {
  'no answer': [
    'its handshakes get no answer',
    'Open its data port (UDP) on the way there, and check that the network is encrypted there too.',
  ],
  'no common version': [
    'the two hosts have no version of the tunnel protocol in common',
    'Upgrade the older one, or take --wire-version away.',
  ],
  'no cluster key': [
    'this host holds no cluster key',
    'Give it the keyring of the others: --keyring FILE; "overlayd keyring ls" shows what it holds.',
  ],
  'no common cluster key': [
    'the two hosts have no cluster key in common',
    'Compare "overlayd keyring ls" on both; "overlayd keyring add" brings a key to all.',
  ],
  'identity unknown': [
    'it does not accept the identity of this host',
    "If this host was installed anew, its old identity must be forgotten on the other: see that daemon's log.",
  ],
  'unusable identity': [
    'its identity key is worthless',
    'Remove the file "identity" (not identities.json) in its --state-dir, restart it, and say "overlayd identities forget" with its name here.',
  ],
  'wrong address': [
    'it sends from another address than it announces',
    'Is there NAT between the hosts? Set --data-path-addr to the address that others see.',
  ],
};

function sessionFindings(
  peer: Peer,
  echo: EchoStatus | undefined,
  encrypted: ReadonlySet<string>,
): Finding[] {
  const { name, sealed, session, networks } = peer;
  const shared = networks.filter((network) => encrypted.has(network));
  if (shared.length === 0) return [];
  const of = `on ${shared.map((network) => `"${network}"`).join(', ')}`;
  if (sealed && session?.state === 'silent') {
    return [
      {
        check: 'session',
        severity: 'warn',
        what: `the sealed session with ${name} is silent: it may be gone at the other end`,
        cure: 'A new one is being made; if this stays, look at the log of the other host.',
      },
    ];
  }
  if (sealed) return [];
  const error = session?.error;
  if (session === undefined || error === undefined) {
    return [
      {
        check: 'session',
        severity: session === undefined ? 'warn' : 'info',
        what: `no sealed session with ${name} ${of} yet${session === undefined ? ': its identity or address is not known' : ', the handshake is under way'}`,
        cure: 'Ask again in a few seconds; what goes to it meanwhile is dropped, never sent in clear.',
      },
    ];
  }
  const [why, cure] = SESSION_CAUSES[error] ?? [error, 'See the logs of both hosts.'];
  const isShut = echo?.state === 'silent' || echo?.state === 'shut-here';
  return [
    {
      check: 'session',
      severity: 'error',
      what: `no sealed session with ${name}, so no traffic ${of}: ${why}`,
      cure: isShut ? 'See the line about its data port.' : cure,
    },
  ];
}
