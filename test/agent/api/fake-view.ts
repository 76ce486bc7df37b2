/** A daemon that is not there: fixed answers behind the real API, and a note of what it was told to do. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApi } from '../../../agent/api/server.ts';
import type { Finding } from '../../../agent/doctor/finding.ts';
import { createLog } from '../../../agent/log.ts';
import type {
  DaemonMetrics,
  DaemonView,
  FdbEntry,
  Identity,
  KeyringEntry,
  NetworkDetail,
  NetworkUse,
  Peer,
  Status,
} from '../../../agent/status.ts';
import { OverlaydError } from '../../../agent/errors.ts';
import type { NotReady } from '../../../agent/readiness.ts';
import { networkSummarySchema } from '../../../agent/status.ts';

const OVERLAY: NetworkDetail = {
  name: 'overlay',
  vni: 4096,
  tap: 'tap0',
  mtu: 1450,
  subnet: '10.42.0.0/16',
  encrypted: false,
  peers: 2,
  macs: 3,
  gateway: '10.42.0.1',
  ipRange: '10.42.1.0/24',
  members: ['host-b', 'host-c'],
  staticPeers: [{ ip: '192.0.2.9', macs: ['02:00:00:00:00:09'] }],
};
const BARE: NetworkDetail = {
  name: 'bare',
  vni: 7,
  tap: 'tap1',
  mtu: 1450,
  encrypted: false,
  peers: 0,
  macs: 0,
  members: [],
  staticPeers: [],
};
const OPEN: NetworkDetail = { ...BARE, name: 'open', vni: 8, tap: 'tap2', subnet: 'fd00::/64' };
/** Known from other hosts only. */
const ELSEWHERE: NetworkDetail = {
  name: 'elsewhere',
  vni: 9,
  encrypted: false,
  peers: 1,
  members: ['host-c'],
  staticPeers: [],
};
/** Of both families, with a TAP here. */
const DUAL: NetworkDetail = {
  ...OPEN,
  name: 'dual',
  vni: 10,
  tap: 'tap3',
  subnet: '10.44.0.0/16',
  gateway: '10.44.0.1',
  subnet6: 'fd44::/64',
  gateway6: 'fd44::1',
};
const USES: NetworkUse[] = [
  {
    host: 'host-b',
    endpoints: 5,
    names: ['web 10.43.0.2', '02:42:0a:2b:00:03'],
    attached: true,
    away: false,
  },
  { host: 'host-c', endpoints: 1, names: ['db 10.43.0.9'], attached: false, away: true },
];
/** Made at run time, and in conflict. */
const BLUE = {
  name: 'blue',
  vni: 5_000_000,
  mtu: 1450,
  subnet: '10.43.16.0/20',
  subnet6: 'fd43::/64',
  gateway: '10.43.16.1',
  gateway6: 'fd43::1',
  id: '0123456789abcdef0123456789abcdef',
  internal: true,
  status: 'conflict',
  encrypted: true,
  peers: 2,
  labels: { team: 'web' },
  createdBy: 'host-b',
  configuredOn: [],
  uses: USES,
  conflicts: [{ reason: 'same-vni', message: 'two networks have one VNI', hint: 'Make one again.' }],
  members: ['host-b'],
  staticPeers: [],
} satisfies NetworkDetail;
// Not in order, so that somebody has to sort them.
const NETWORKS: NetworkDetail[] = [OVERLAY, BARE, OPEN, ELSEWHERE, BLUE, DUAL];

const PEERS: Peer[] = [
  {
    name: 'host-c',
    addr: '192.0.2.3:7946',
    state: 'suspect',
    sealed: false,
    networks: ['overlay'],
  },
  {
    name: 'host-b',
    addr: '192.0.2.2:7946',
    dataPathAddr: '198.51.100.2',
    state: 'alive',
    sealed: false,
    rttMs: 0.4321,
    pathMtu: 1500,
    loss: 0.025,
    path: 'direct',
    networks: ['bare', 'overlay'],
  },
  // A name that would clear the screen of whoever lists it.
  { name: 'evil\u001B[2J\nname', addr: '192.0.2.66:7946', state: 'dead', sealed: false, networks: [] },
];

const FDB: FdbEntry[] = [
  { network: 'blue', vni: 5_000_000, mac: '02:42:0a:2b:10:02', ips: [], owner: 'host-b', local: false },
  {
    network: 'overlay',
    vni: 4096,
    mac: '02:42:0a:2a:02:02',
    ips: ['10.42.2.2', 'fd00::2'],
    owner: 'host-b',
    vtep: '198.51.100.2',
    local: false,
  },
  { network: 'overlay', vni: 4096, mac: '02:00:00:00:00:09', ips: [], vtep: '192.0.2.9', local: false },
  {
    network: 'bare',
    vni: 7,
    mac: '02:42:0a:2a:01:02',
    ips: ['10.42.1.2'],
    owner: 'host-a',
    local: true,
  },
];

const KEYRING: KeyringEntry[] = [
  {
    fingerprint: '3f1c000000000001',
    bits: 256,
    origin: 'rotated',
    state: 'primary',
    missing: [],
    primaryOf: ['host-b'],
  },
  {
    fingerprint: 'a9d0000000000002',
    bits: 128,
    origin: 'hand',
    state: 'next',
    missing: ['host-c'],
    primaryOf: [],
  },
  {
    fingerprint: '0b77000000000003',
    bits: 256,
    origin: 'file',
    state: 'leaving',
    missing: [],
    primaryOf: [],
  },
];

const REVOKED = { by: 'host-b', at: '2026-11-29T12:00:00.000Z', as: 'revoked' } as const;
const IDENTITIES: Identity[] = [
  {
    name: 'host-a',
    fingerprint: '00000000000000000000000000000001',
    key: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=',
    known: 'self',
    state: 'pinned',
    admin: true,
  },
  {
    name: 'host-b',
    fingerprint: '00000000000000000000000000000002',
    key: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI=',
    known: 'first-sight',
    state: 'pinned',
    disputed: [{ ...REVOKED, by: 'host-c' }],
  },
  {
    name: 'host-c',
    fingerprint: '00000000000000000000000000000003',
    key: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAM=',
    known: 'revocation',
    state: 'revoked',
    revoked: REVOKED,
  },
];

const STATUS: Status = {
  node: 'host-a',
  version: '0.1.0',
  ready: true,
  uptimeSeconds: 93_784.5,
  advertiseAddr: '192.0.2.1',
  dataPathAddr: '198.51.100.1',
  gossipPort: 7946,
  dataPort: 4789,
  io: 'batch',
  workers: 1,
  peers: { alive: 1, suspect: 1, dead: 1, left: 0 },
  networks: NETWORKS.map((network) => networkSummarySchema.parse(network)),
  frames: { fromTap: 10, toTap: 20, fromTunnel: 21, toTunnel: 9 },
  drops: { 'unknown-vni': 3, 'bad-length': 0 },
  gossipEncryption: {
    mode: 'required',
    primary: '3f1c000000000001',
    keys: 3,
    next: 'a9d0000000000002',
    waitingFor: ['host-c'],
  },
};

const FINDINGS: Finding[] = [
  {
    check: 'data-port',
    severity: 'error',
    what: 'UDP 4789 of host-b (198.51.100.2:4789) gives no answer: no traffic passes',
    cure: 'Open UDP 4789 to 198.51.100.2 in firewalls and security groups.',
  },
  { check: 'peer', severity: 'warn', what: 'evil\u001B[2J\nname (192.0.2.66) is down' },
  { check: 'kernel', severity: 'info', what: 'kernel 6.1 lacks USO', cure: 'Linux 6.2 or newer has it.' },
];

const METRICS: DaemonMetrics = {
  frames: { fromTap: 10, toTap: 20, fromTunnel: 21, toTunnel: 9 },
  bytes: { fromTap: 1000, toTap: 2000, fromTunnel: 2100, toTunnel: 900 },
  verdicts: { sent: 8, delivered: 19, answered: 1, punted: 0 },
  drops: { 'unknown-vni': 3, 'bad-length': 0 },
  fdbEntries: { overlay: 3, bare: 0 },
  addresses: [{ name: 'overlay', owned: 32_766, free: 32_000 }],
  members: { alive: 2, suspect: 1, dead: 1, left: 0 },
  peerRttSeconds: { 'host-b': 0.0004 },
  pathMtuBytes: { 'host-b': 1500 },
  pathProbes: new Map([['drop:unknown-token', 7]]),
  peerLossRatio: { 'host-b': 0.025 },
  fitted: { shrunk: 4, told: 1 },
  sealedSessions: 0,
  rekeys: 0,
  tableRepairs: 2,
  gossip: new Map([
    ['ping:in', 5],
    ['ping:out', 6],
    ['drop:bad-crc', 2],
  ]),
  state: new Map([
    ['in:update', 9],
    ['refused:signature', 4],
    ['refused:old-epoch', 1],
    ['drop:malformed', 3],
    ['withheld', 2],
  ]),
  loopStallSeconds: 0.002,
};

/** What a test may turn. */
export interface FakeView extends DaemonView {
  notReadyBy: NotReady | undefined;
  heartbeatMs: number;
  current: DaemonMetrics;
  aliveAfter: number;
  readonly joined: string[][];
  /** What the verbs about keys and networks were told, in order. */
  readonly keyed: string[];
  left: number;
  failWith: Error | undefined;
  findings: Finding[];
  readonly moreNetworks: NetworkDetail[];
}

export function fakeView(): FakeView {
  const view: FakeView = {
    notReadyBy: undefined,
    heartbeatMs: 10,
    current: METRICS,
    aliveAfter: 0,
    joined: [],
    keyed: [],
    left: 0,
    failWith: undefined,
    findings: FINDINGS,
    moreNetworks: [],
    status() {
      if (view.failWith !== undefined) throw view.failWith;
      view.aliveAfter--;
      const alive = view.aliveAfter > 0 ? 0 : STATUS.peers.alive;
      const ready = view.notReadyBy === undefined;
      return { ...STATUS, ready, notReady: view.notReadyBy, peers: { ...STATUS.peers, alive } };
    },
    peers: () => PEERS,
    networks: () => [...STATUS.networks, ...view.moreNetworks],
    network: (name) =>
      [...NETWORKS, ...view.moreNetworks].find(({ name: its, id }) => its === name || id === name),
    fdb: (network) => FDB.filter((entry) => network === undefined || entry.network === network),
    join(addresses) {
      view.joined.push([...addresses]);
      const errors = addresses
        .filter((addr) => addr.startsWith('down'))
        .map((addr) => ({ addr, error: 'connection refused' }));
      return Promise.resolve({ joined: addresses.length - errors.length, errors });
    },
    networkCreate(spec) {
      view.keyed.push(`create ${JSON.stringify(spec)}`);
      return Promise.resolve({ ...OVERLAY, ...BLUE, ...spec, labels: { ...spec.labels } });
    },
    networkRemove(name, force) {
      view.keyed.push(`remove ${name} ${force}`);
      if (force || name !== 'blue') return Promise.resolve({ name, id: BLUE.id, cut: force ? USES : [] });
      return Promise.reject(
        new OverlaydError('OVL_NETWORK_IN_USE', `network "${name}" is in use`, { hint: 'Give --force.' }),
      );
    },
    networkAttach(name, tap = 'ov5000000') {
      view.keyed.push(`attach ${name} ${tap}`);
      return Promise.resolve({ ...BLUE, tap });
    },
    networkDetach(name, force) {
      view.keyed.push(`detach ${name} ${force}`);
      return Promise.resolve(BLUE);
    },
    ranges: (name) => {
      if (name !== 'overlay') return [];
      const rest = { family: 4, moving: [] } as const;
      return [
        {
          ...rest,
          host: 'host-a',
          cidrs: ['10.42.0.0/17'],
          docker: ['10.42.127.0/24'],
          guardians: ['host-b', 'host-c'],
          free: '32000',
        },
        {
          ...rest,
          host: 'host-b',
          cidrs: ['10.42.128.0/18', '10.42.224.0/19'],
          docker: [],
          guardians: ['host-a'],
          moving: [{ cidr: '10.42.192.0/19', to: 'host-c' }],
          free: '>=16384',
        },
      ];
    },
    collisions: (name) => {
      if (name !== 'overlay') return [];
      return [
        { address: '10.42.0.9', hosts: ['host-a', 'host-b'], owner: 'host-a', kind: 'duplicate' },
        { address: '10.42.127.9', hosts: ['host-b'], owner: 'host-a', kind: 'docker-range' },
        { address: '10.42.3.9', hosts: ['host-b'], owner: 'host-a', kind: 'foreign' },
        { address: '10.42.200.1', hosts: ['host-a'], owner: undefined, kind: 'reclaimed' },
      ];
    },
    dockerRange(name, size, family) {
      view.keyed.push(`docker-range ${name} ${size} ${family}`);
      return Promise.resolve(family === undefined && name === DUAL.name ? '10.44.3.0/24' : 'fd00::100/120');
    },
    reclaim(host) {
      view.keyed.push(`reclaim ${host}`);
      const hint = 'Stop overlayd there first.';
      const done = { network: 'overlay', cidrs: ['10.42.64.0/18'] };
      if (host === 'host-x') return Promise.resolve([done]);
      if (host === 'host-y') {
        const refused = new OverlaydError('OVL_RECLAIM_ELSEWHERE', 'host-c has the copy', {
          hint: 'Run this there.',
        });
        return Promise.resolve([{ network: 'blue', cidrs: [], refused }, done]);
      }
      return Promise.reject(
        new OverlaydError('OVL_RECLAIM_ALIVE', `host "${host}" was heard just now`, { hint }),
      );
    },
    leave() {
      view.left++;
      return Promise.resolve();
    },
    keyring: () => KEYRING,
    keyringAdd(key) {
      view.keyed.push(`add ${key}`);
      return KEYRING[0]!;
    },
    keyringUse(fingerprint) {
      view.keyed.push(`use ${fingerprint}`);
      return KEYRING[1]!;
    },
    keyringRemove(fingerprint) {
      view.keyed.push(`remove ${fingerprint}`);
      return KEYRING[2]!;
    },
    doctor: () => Promise.resolve(view.findings),
    identities: () => IDENTITIES,
    revoke({ node, fingerprint = '', undo = false }) {
      view.keyed.push(`revoke ${node} ${fingerprint} ${undo}`);
      if (undo) return { identity: IDENTITIES[1]!, gossipKey: 'kept' };
      return { identity: IDENTITIES[2]!, gossipKey: 'rotating' };
    },
    identityForget(name) {
      view.keyed.push(`forget ${name}`);
      return { identity: IDENTITIES[2]!, gossipKey: 'clear' };
    },
    metrics: () => view.current,
    notReady: () => view.notReadyBy,
    heartbeatAgeMs: () => view.heartbeatMs,
  };
  return view;
}

export const silentLog = createLog({ level: 'error', format: 'json' }, { write: () => undefined });

export interface FakeDaemon {
  readonly view: FakeView;
  readonly socket: string;
  close(): Promise<void>;
}

/** The real API over a fake view, on a socket of its own. */
export async function startFakeDaemon(): Promise<FakeDaemon> {
  const directory = scratchDirectory();
  const socket = join(directory, 'overlayd.sock');
  const view = fakeView();
  const api = await startApi(view, socket, silentLog);
  return {
    view,
    socket,
    async close() {
      await api.close();
      rmSync(directory, { recursive: true });
    },
  };
}

export function scratchDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'overlayd-test-'));
}
