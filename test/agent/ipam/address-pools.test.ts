/** `Addresses` as the daemon opens it: pools that are there already, after a restart (issue 5.2; checklist T8, 3.15). */
import t from 'tap';
import type { Test } from 'tap';
import { AddressPools } from '../../../agent/ipam/address-pools.ts';
import { decodeRangeMessage, encodeAsk } from '../../../proto/ipam/ask.ts';
import { estateKey } from '../../../proto/ipam/records.ts';
import { fromHex } from '../../../proto/state/bytes.ts';
import { recordingLog } from '../recording-log.ts';
import { BLUE, PoolHosts } from './pool-hosts.ts';

const red = { ...BLUE, id: 'e'.repeat(32), name: 'red', vni: 8, subnet: '10.43.0.0/24' };
const ipv4 = { family: 4 } as const;

interface Opened {
  readonly pools: AddressPools;
  readonly cluster: PoolHosts;
  readonly sent: { readonly to: string; readonly bytes: Uint8Array }[];
}

/**
 * Host a has founded its pools in an earlier run, and handed out one address of each. They are closed before `test` ends:
 * it takes its folder away before its teardown.
 */
async function nextRun(test: Test, use: (opened: Opened) => Promise<void> | void): Promise<void> {
  const cluster = new PoolHosts(test.testdir());
  cluster.networks = [BLUE, red];
  const { handOut, folder } = cluster.start('a');
  const asked = [handOut.request('blue', ipv4), handOut.request('red', ipv4)];
  cluster.run(5_000);
  await Promise.all(asked);
  const sent: Opened['sent'] = [];
  const pools = new AddressPools({
    self: 'a',
    session: 100,
    leaseMs: 86_400_000,
    stateDir: folder,
    state: cluster.state('a'),
    networks: cluster.known,
    isConfigured: () => false,
    alive: () => ['a'],
    isSettled: () => true,
    endpoints: (vni) => (vni === BLUE.vni ? cluster.endpoints : []),
    send: (to, bytes) => sent.push({ to, bytes }),
    wrote: () => undefined,
    log: recordingLog().log,
  });
  try {
    await use({ pools, cluster, sent });
  } finally {
    pools.close();
  }
}

void t.test('3.15: who asks for addresses says what it holds; the rest comes round again', (test) =>
  nextRun(test, async ({ pools }) => {
    pools.restore([{ network: BLUE.id, ip: '10.42.0.2' }]);
    test.equal(await pools.request('blue', ipv4), '10.42.0.3/24');
    test.equal(await pools.request('red', ipv4), '10.43.0.2/24');
    test.strictSame(pools.totals(), [
      { name: 'blue', owned: 256, free: 251 },
      { name: 'red', owned: 256, free: 252 },
    ]);
    await pools.release('blue', '10.42.0.2');
    test.equal(pools.totals()[0]?.free, 252);
    test.equal(await pools.dockerRange('blue', { size: 16 }), '10.42.0.240/28');
    const row = { host: 'a', family: 4, guardians: [], moving: [] } as const;
    test.strictSame(pools.ranges('blue'), [
      { ...row, cidrs: ['10.42.0.0/24'], docker: ['10.42.0.240/28'], free: '237' },
    ]);
    test.strictSame(pools.ranges(red.id), [{ ...row, cidrs: ['10.43.0.0/24'], docker: [], free: '252' }]);
  }),
);

void t.test('T8: static addresses from outside that collide are named, by address', (test) =>
  nextRun(test, ({ pools, cluster }) => {
    cluster.endpoint('c', 1, '10.42.0.9');
    cluster.endpoint('b', 2, '10.42.0.7');
    cluster.endpoint('c', 3, '10.42.0.7');
    cluster.endpoint('a', 4, '10.42.0.2');
    test.strictSame(pools.collisions('blue'), [
      { address: '10.42.0.7', hosts: ['b', 'c'], owner: 'a', kind: 'duplicate' },
      { address: '10.42.0.9', hosts: ['c'], owner: 'a', kind: 'foreign' },
    ]);
    test.strictSame(pools.collisions('red'), [], 'of another network');
    test.throws(() => pools.collisions('green'), { code: 'OVL_NETWORK_NOT_FOUND' });
  }),
);

void t.test('who asks for a pool that is not here is told so; what is no message is dropped', (test) =>
  nextRun(test, ({ pools, sent }) => {
    const pool = estateKey(fromHex('c'.repeat(32)), 4);
    pools.handleMessage('b', encodeAsk({ kind: 'ask', pool, session: 5, life: 0, address: undefined }, 4));
    test.match(
      sent.map(({ to, bytes }) => ({ to, ...decodeRangeMessage(bytes) })),
      [{ to: 'b', kind: 'refuse', session: 5, reason: 'unknown-pool' }],
    );
    pools.handleMessage('b', new Uint8Array([255, 1, 2]));
    test.equal(sent.length, 1);
  }),
);
