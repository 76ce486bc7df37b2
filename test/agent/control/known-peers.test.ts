import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { KnownPeers } from '../../../agent/control/known-peers.ts';
import type { Member, MemberState } from '../../../proto/swim/interface.ts';
import { recordingLog } from '../recording-log.ts';

const NOW = 1_700_000_000_000;
const HOUR = 3_600_000;

const member = (i: number, state: MemberState = 'alive'): Member => ({
  name: `n${i}`,
  addr: { ip: `10.0.${i >> 8}.${i & 255}`, port: 7946 },
  meta: new Uint8Array(),
  state,
  incarnation: 1,
  stateChangeMs: 0,
  rttMs: undefined,
});

void t.test('members of one run are known to the next, for 72 hours', (test) => {
  const dir = test.testdir();
  const { log, lines } = recordingLog();
  const first = new KnownPeers(dir, NOW, log);
  test.strictSame(first.addresses, []);
  first.note(NOW, [member(1), member(2), member(3)], 'n1');
  test.strictSame(new KnownPeers(dir, NOW + HOUR, log).addresses, [member(2).addr, member(3).addr]);
  test.strictSame(readdirSync(dir), ['peers.json']);
  test.equal(statSync(join(dir, 'peers.json')).mode & 0o777, 0o600);
  test.strictSame(new KnownPeers(dir, NOW + 73 * HOUR, log).addresses, []);
  test.strictSame(lines, []);
  test.end();
});

void t.test('the failed are remembered, who left is not', (test) => {
  const { log } = recordingLog();
  const dir = test.testdir();
  const peers = new KnownPeers(dir, NOW, log);
  peers.note(NOW, [member(2), member(3)], 'n1');
  peers.note(NOW + 1000, [member(2, 'dead'), member(3, 'left')], 'n1');
  test.strictSame(new KnownPeers(dir, NOW, log).addresses, [member(2).addr]);
  test.end();
});

void t.test('bounded, and written only when there is news', (test) => {
  const { log } = recordingLog();
  const dir = test.testdir();
  const peers = new KnownPeers(dir, NOW, log);
  const many = Array.from({ length: 700 }, (_, i) => member(i + 1));
  peers.note(NOW, many, 'n1');
  test.equal(peers.addresses.length, 512);
  const text = readFileSync(join(dir, 'peers.json'), 'utf8');
  peers.note(NOW + 5000, many, 'n1');
  test.equal(readFileSync(join(dir, 'peers.json'), 'utf8'), text);
  peers.note(NOW + HOUR, many, 'n1');
  test.not(readFileSync(join(dir, 'peers.json'), 'utf8'), text, 'but its times do not go stale');
  test.end();
});

void t.test('a damaged file is a warning and an empty list', (test) => {
  const peer = '{"name":"a","ip":"here","port":1,"seenMs":1}';
  for (const text of ['', '{', '{"version":2,"peers":[]}', `{"version":1,"peers":[${peer}]}`]) {
    const { log, lines } = recordingLog();
    test.strictSame(new KnownPeers(test.testdir({ 'peers.json': text }), NOW, log).addresses, []);
    test.equal(lines[0]?.level, 'warn', text);
  }
  test.end();
});
