/**
 * What hosts say to each other, byte for byte, from fixed keys and a fixed "randomness": the wire of a release.
 *
 * wire-1.json was recorded with the code of before versions were told in handshakes (`node build/test/golden/wire.js`
 * prints it anew). test/proto/wire.test.ts holds the present code against it: checklist 3.7.
 */
import { tunnelCrypto, tunnelCryptoReady } from '../../agent/crypto/tunnel-crypto.ts';
import type { Rng } from '../../proto/env.ts';
import { toHex } from '../../proto/state/bytes.ts';
import { TABLE } from '../../proto/state/interface.ts';
import { State } from '../../proto/state/state.ts';
import { encodeEndpoint } from '../../proto/state/values/endpoint.ts';
import { encodeInterest, interestKey } from '../../proto/state/values/interest.ts';
import { macKey } from '../../proto/state/values/mac.ts';
import { encodeVtep, vtepKey } from '../../proto/state/values/vtep.ts';
import { encodeMeta } from '../../proto/swim/meta.ts';
import { Tunnels } from '../../proto/tunnel/tunnels.ts';
import { fakeSigner, fakeVerifier } from '../proto/state/fake-identity.ts';
import { pskOf, staticKeysOf } from '../proto/tunnel/host.ts';

export const VNI = 7;
export const EPOCH = 1_700_000_000_000n;
const WALL_MS = 1_800_000_000_000;
export const ADDRS = [
  { ip: '10.0.0.1', port: 4789 },
  { ip: '10.0.0.2', port: 4789 },
] as const;

export interface Wire {
  /** Meta of a host with all that it may say. */
  readonly meta: string;
  readonly tunnel: {
    /** In order; `from` 0 is the initiator. */
    readonly datagrams: readonly { readonly from: number; readonly hex: string }[];
    /** Of the session: sent with by the initiator, and by the responder. */
    readonly keys: readonly string[];
  };
  readonly state: {
    /** From host a to host b, in order. */
    readonly messages: readonly string[];
    readonly localState: string;
    readonly ackPayload: string;
    /** What b then has of a: scope, table, key, value. */
    readonly records: readonly string[];
  };
}

/** No randomness at all: the same bytes, whatever they are asked for and in which order. */
const constant = (byte: number): Rng => ({
  u32: () => byte * 0x0101_0101,
  float: () => 0.5,
  fill: (bytes) => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = byte;
  },
});

/** Two hosts that share a cluster key; the first one begins. `more`: of their options. */
export function tunnelPair(more: readonly object[] = [{}, {}]): Tunnels[] {
  const tunnels = [0, 1].map((i) => {
    const options = { crypto: tunnelCrypto, rng: constant(0x33 + i), staticKeys: staticKeysOf(i + 1) };
    return new Tunnels({ ...options, nowMs: 0, wallMs: WALL_MS, ...more[i] });
  });
  tunnels.forEach((host, i) => {
    host.setPsks(0, [pskOf(9)]);
    host.setPeer(0, `h${1 - i}`, { staticKey: staticKeysOf(2 - i).publicKey, addr: ADDRS[1 - i]! });
  });
  return tunnels;
}

/** Passes datagrams to and fro until `untilMs`; only the first host's timers run, so that it is the one who begins. */
export function exchange(tunnels: readonly Tunnels[], untilMs: number): Wire['tunnel'] {
  const datagrams: { from: number; hex: string }[] = [];
  const keys: string[] = ['', ''];
  for (let now = 0; now <= untilMs; now += 10) {
    tunnels[0]!.handleDeadline(now);
    for (let moved = true; moved;) {
      moved = false;
      tunnels.forEach((host, i) => {
        for (let event = host.pollSession(); event !== undefined; event = host.pollSession())
          if (event.type === 'install') keys[i] = toHex(event.sendKey.reveal());
        for (let out = host.pollTransmit(); out !== undefined; out = host.pollTransmit()) {
          moved = true;
          datagrams.push({ from: i, hex: toHex(out.bytes) });
          tunnels[1 - i]!.handleDatagram(now, out.bytes, ADDRS[i]!);
        }
      });
    }
  }
  return { datagrams, keys };
}

export function stateHost(name: string): State {
  return new State(
    { node: name, epoch: EPOCH },
    { rng: constant(0x33), wall: () => WALL_MS, signer: fakeSigner(name), verifier: fakeVerifier },
  );
}

/** What host b has of host a. */
export function recordsOf(b: State): string[] {
  const found: string[] = [];
  for (const scope of [0, VNI])
    for (const table of [TABLE.vtep, TABLE.interest, TABLE.endpoint] as const)
      for (const { owner, key, value } of b.records(scope, table))
        if (owner === 'a') found.push([scope, table, toHex(key), toHex(value)].join(' '));
  return found.sort();
}

function recordState(): Wire['state'] {
  const [a, b] = [stateHost('a'), stateHost('b')];
  a.handleMemberAlive(10, 'b', EPOCH);
  b.handleMemberAlive(10, 'a', EPOCH);
  b.put(20, 0, TABLE.interest, interestKey(VNI), encodeInterest());
  a.put(20, 0, TABLE.vtep, vtepKey('a'), encodeVtep(ADDRS[0]));
  a.put(20, 0, TABLE.interest, interestKey(VNI), encodeInterest());
  const messages: string[] = [];
  for (let now = 20; now < 5_000; now += 10) {
    if (now === 1_000) {
      const value = encodeEndpoint({ mobility: 1, ips: ['10.42.1.2', 'fd00::2'], flags: 0, name: '' });
      a.put(now, VNI, TABLE.endpoint, macKey(0x02_42_0a_2a_01_02), value);
    }
    for (const [from, to, name] of [
      [a, b, 'a'],
      [b, a, 'b'],
    ] as const) {
      if (from.nextDeadline() <= now) from.handleDeadline(now);
      for (let out = from.pollTransmit(); out !== undefined; out = from.pollTransmit()) {
        if (name === 'a') messages.push(toHex(out.bytes));
        to.handleMessage(now, name, out.bytes);
      }
    }
  }
  const localState = toHex(a.delegate.localState(5_000, true));
  const ackPayload = toHex(a.delegate.ackPayload(5_000));
  return { messages, localState, ackPayload, records: recordsOf(b) };
}

export async function recordWire(): Promise<Wire> {
  await tunnelCryptoReady;
  const vtep = { ip: 'fd00::1', port: 4790 };
  const meta = { stateProtocolMin: 1, stateProtocolMax: 1, epoch: EPOCH, vtep, keys: ['0123456789abcdef'] };
  return {
    meta: toHex(encodeMeta(meta)),
    tunnel: exchange(tunnelPair(), 40_000),
    state: recordState(),
  };
}

if (process.argv[1]?.endsWith('golden/wire.js') === true)
  process.stdout.write(`${JSON.stringify(await recordWire(), null, 2)}\n`);
