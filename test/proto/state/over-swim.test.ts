/** What the state layer sends leaves by membership, by packet where it fits one and by stream where not. */
import t from 'tap';
import { recordBytes, recordHash } from '../../../proto/state/record.ts';
import type { LogRecord } from '../../../proto/state/record.ts';
import { TABLE_GOODBYE } from '../../../proto/state/record.ts';
import { add64 } from '../../../proto/state/hash.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import { encodePull, encodeUpdate } from '../../../proto/state/messages.ts';
import { sendState } from '../../../proto/state/over-swim.ts';
import { blockStatement } from '../../../proto/state/signing.ts';
import { interestKey } from '../../../proto/state/values/interest.ts';
import { Bench } from '../swim/bench.ts';
import { Cluster } from './cluster.ts';
import { fakeSigner, fakeVerifier } from './fake-identity.ts';

const EMPTY = new Uint8Array(0);
const HASHES = 500;

/** A good-bye that a member signed together with hundreds of hashes of nothing: no packet takes the block. */
function longGoodbye(owner: string, epoch: bigint): Uint8Array {
  const signer = fakeSigner(owner);
  const to = 10 + HASHES;
  const rest = { tombstone: false, epoch, seq: to, hlc: 1n, bornMs: 0, mark: 0, slot: 0 };
  const goodbye: LogRecord = { table: TABLE_GOODBYE, key: EMPTY, keyHex: '', value: EMPTY, ...rest };
  const entries = [goodbye, ...Array.from({ length: HASHES }, () => new Uint8Array(16))];
  const hashes = new Uint8Array(entries.length * 16);
  hashes.set(fakeVerifier.hash(recordBytes(goodbye)));
  const name = { scope: 0, owner, epoch };
  const head = { from: 0, to, digest: add64(0n, recordHash(goodbye)) };
  const signature = signer.sign(blockStatement(name, head, hashes));
  return encodeUpdate({ ...name, key: signer.publicKey, from: 0, blocks: [{ ...head, signature, entries }] });
}

/** State b of three that know each other, and a member that it sends by, to which c is known. */
function hostB(): { cluster: Cluster; bench: Bench } {
  const cluster = new Cluster(1);
  for (const name of ['a', 'b', 'c']) cluster.start(name, [7]);
  cluster.meet();
  cluster.run(60_000);
  const bench = new Bench();
  bench.alive('c', 3);
  bench.forget();
  return { cluster, bench };
}

void t.test('a good-bye that fits no packet is shown by a stream', (test) => {
  const { cluster, bench } = hostB();
  const b = cluster.state('b');
  const { epoch } = cluster.state('a');
  const bytes = longGoodbye('a', epoch);
  test.ok(bytes.length > 8_000);
  b.handleMessage(cluster.now, 'a', bytes);
  test.equal(b.counters().get('goodbyes'), 1);
  while (b.pollTransmit() !== undefined);
  b.handleMessage(cluster.now, 'c', encodePull({ scope: 0, owner: 'a', epoch }, 0));
  sendState(bench.now, b, bench.swim);
  bench.poll();
  test.match(bench.actions, [{ type: 'dial', to: { ip: '10.0.0.3', port: 7946 } }]);
  test.same(bench.said('user'), []);
  test.end();
});

void t.test('what fits goes by packet', (test) => {
  const { cluster, bench } = hostB();
  const b = cluster.state('b');
  b.put(cluster.now, 0, TABLE.interest, interestKey(8), EMPTY);
  cluster.now += 50;
  b.handleDeadline(cluster.now);
  sendState(bench.now, b, bench.swim);
  bench.poll();
  test.same(bench.actions, []);
  test.equal(bench.said('user').length, 1);
  test.end();
});
