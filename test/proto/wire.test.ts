/**
 * Checklist 3.7, the wire between releases: what the present code says and hears against the recorded wire of before
 * (test/golden/wire-1.json), and hosts of different versions with each other.
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { fromHex, toHex } from '../../proto/state/bytes.ts';
import type { StateNode } from '../../proto/state/interface.ts';
import { feedState } from '../../proto/state/over-swim.ts';
import { VersionGate } from '../../proto/state/version-gate.ts';
import { decodeMeta, encodeMeta } from '../../proto/swim/meta.ts';
import type { Member } from '../../proto/swim/interface.ts';
import type { Tunnels } from '../../proto/tunnel/tunnels.ts';
import { TUNNEL_VERSIONS, commonVersion } from '../../proto/versions.ts';
import type { VersionRange } from '../../proto/versions.ts';
import { tunnelCryptoReady } from '../../agent/crypto/tunnel-crypto.ts';
import { ADDRS, EPOCH, exchange, recordWire, recordsOf, stateHost, tunnelPair } from '../golden/wire.ts';
import type { Wire } from '../golden/wire.ts';

await tunnelCryptoReady;

const GOLDEN = JSON.parse(
  readFileSync(new URL('../../../test/golden/wire-1.json', import.meta.url), 'utf8'),
) as Wire;
const V1 = { versions: { min: 1, max: 1 } };

void t.test('3.7 Meta of before reads as it did, and is written as it was', async (t) => {
  const meta = decodeMeta(fromHex(GOLDEN.meta))!;
  t.match(meta, {
    stateProtocolMin: 1,
    stateProtocolMax: 1,
    epoch: EPOCH,
    vtep: { ip: 'fd00::1', port: 4790 },
  });
  t.equal(toHex(encodeMeta(meta)), GOLDEN.meta);
});

void t.test('3.7 handshake and keepalives at version 1 are those of before, byte for byte', async (t) => {
  const now = exchange(tunnelPair([V1, V1]), 40_000);
  // Types after 5 are of later versions, and sent to those who speak them.
  t.strictSame(
    now.datagrams.filter(({ hex }) => hex.startsWith('0') && hex[1]! <= '5'),
    GOLDEN.tunnel.datagrams,
  );
  t.strictSame(now.keys, GOLDEN.tunnel.keys, 'and so are the keys of the session');
});

void t.test(
  '3.7 the recorded initiation of a host of before is answered, by code that speaks more',
  async (t) => {
    const [, responder] = tunnelPair() as [Tunnels, Tunnels];
    const [initiation, response] = GOLDEN.tunnel.datagrams;
    responder.handleDatagram(100, fromHex(initiation!.hex), ADDRS[0]);
    t.equal(toHex(responder.pollTransmit()!.bytes), response!.hex, 'as it was answered before');
    t.equal(responder.pollSession()?.type, 'install');
  },
);

void t.test('3.7 the records of a host of before come in', async (t) => {
  const b = stateHost('b');
  b.handleMemberAlive(10, 'a', EPOCH);
  const fresh = await recordWire();
  t.strictSame(fresh.state.records, GOLDEN.state.records, 'what is said means the same');
  b.put(20, 0, 2, Uint8Array.of(0, 0, 0, 7), new Uint8Array(0));
  let now = 20;
  for (const hex of GOLDEN.state.messages) b.handleMessage((now += 20), 'a', fromHex(hex));
  b.handleRemoteState(now, 'a', fromHex(GOLDEN.state.localState));
  b.handleAckPayload(now, 'a', fromHex(GOLDEN.state.ackPayload));
  t.strictSame(recordsOf(b), GOLDEN.state.records);
  t.equal(b.counters().get('drop:malformed') ?? 0, 0);
});

const between = (ours: VersionRange, theirs: VersionRange) => {
  const pair = tunnelPair([{ versions: ours }, { versions: theirs }]);
  const { datagrams } = exchange(pair, 2_000);
  const status = pair.map((host) => host.sessions(2_000)[0]!);
  return { status, datagrams, drops: pair.map((host) => host.counters().get('drop:version') ?? 0) };
};

void t.test(
  '3.7 every pair of ranges: the highest in common, or a refusal that both sides know',
  async (t) => {
    const ranges: VersionRange[] = [];
    for (let min = 1; min <= 4; min++) for (let max = min; max <= 4; max++) ranges.push({ min, max });
    for (const ours of ranges) {
      for (const theirs of ranges) {
        const what = `${ours.min}-${ours.max} with ${theirs.min}-${theirs.max}`;
        const version = commonVersion(ours, theirs);
        const { status, datagrams, drops } = between(ours, theirs);
        if (version !== undefined) {
          t.strictSame(
            status.map((each) => each.version),
            [version, version],
            what,
          );
          t.ok(
            status.every(({ state }) => state === 'established'),
            what,
          );
          continue;
        }
        t.ok(
          status.every(({ state }) => state === 'handshake'),
          `${what}: no session`,
        );
        t.equal(status[1]!.lastError, 'no common version', what);
        // Who is so old that it would take the answer for a session gets none.
        if (ours.max > 1) t.equal(status[0]!.lastError, 'no common version', what);
        else
          t.ok(
            datagrams.every(({ from }) => from === 0),
            `${what}: no answer`,
          );
        t.ok(drops[1]! > 0, what);
      }
    }
  },
);

void t.test('3.7 now: version 2, and version 1 with hosts of before in both roles', async (t) => {
  for (const [a, b, version] of [
    [{}, {}, TUNNEL_VERSIONS.max],
    [V1, {}, 1],
    [{}, V1, 1],
  ] as const) {
    const pair = tunnelPair([a, b]);
    exchange(pair, 30_000);
    for (const host of pair)
      t.match(host.sessions(30_000), [{ state: 'established', version, lastError: undefined }]);
  }
});

function member(meta: Uint8Array): Member {
  const addr = { ip: '10.0.0.3', port: 7946 };
  return { name: 'c', addr, meta, state: 'alive', incarnation: 1, stateChangeMs: 0, rttMs: undefined };
}

void t.test(
  '3.7 a host whose records cannot be understood: refused with the reason, and only it',
  async (t) => {
    const said: string[] = [];
    const gate = new VersionGate((name, why) => said.push(`${name}: ${why}`));
    const state = stateHost('b');
    const meta = (min: number, max: number) =>
      encodeMeta({ stateProtocolMin: min, stateProtocolMax: max, epoch: EPOCH });
    const alive = (bytes: Uint8Array): void =>
      feedState(10, state, { type: 'update', member: member(bytes) }, gate);
    alive(meta(3, 5));
    alive(meta(3, 5));
    t.strictSame(said, ['c: it speaks state protocol 3 to 5, this host 1: this host is the older one']);
    t.ok(gate.isRefused('c'));
    // What it says is not even looked at.
    for (const hex of GOLDEN.state.messages) {
      const bytes = fromHex(hex);
      const from = { bytes, addr: { ip: '10.0.0.3', port: 7946 }, node: 'c' };
      feedState(20, state, { type: 'user', reliable: false, ...from }, gate);
      feedState(20, state, { type: 'remote-state', join: false, ...from }, gate);
      feedState(20, state, { type: 'ack-payload', node: 'c', bytes }, gate);
    }
    t.strictSame(
      [...state.counters()].filter(([name]) => name.startsWith('in:')),
      [],
    );
    t.notOk((state as StateNode).interested(0).includes('c'));
    const newer = meta(1, 1);
    newer[2] = 9;
    alive(newer);
    t.match(said[1], /describes itself in version 9/);
    alive(meta(1, 4));
    t.notOk(gate.isRefused('c'), 'an update can mend it');
    t.ok(state.interested(0).includes('c'));
    alive(meta(2, 4));
    t.notOk(state.interested(0).includes('c'), 'or break it');
    t.ok(gate.admit('serf', Uint8Array.of(1, 2, 3)), 'members of other kinds have no records');
    // The other side, of which this one is the newer.
    const theirs = new VersionGate((name, why) => said.push(`${name}: ${why}`), { min: 3, max: 5 });
    t.notOk(theirs.admit('b', meta(1, 1)));
    t.equal(said.at(-1), 'b: it speaks state protocol 1, this host 3 to 5: it is the older one');
  },
);
