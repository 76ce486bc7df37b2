/**
 * Fuzzing of the core's two entries (hostile and broken input): a saved corpus, and mutations of it.
 *
 * Held for every input: no trap, the accounting identity, nothing written outside the regions that packets may change,
 * and every pointer handed to the kernel inside the buffers meant for it. The seed is printed with a failure, along
 * with the input, to be added to test/golden/core-corpus as `name hex` or `name segment hex`.
 *
 *   FUZZ_INPUTS=1000000 npx tap run build/test/property/core-fuzz.test.js     longer than CI has patience for
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { ip, mac, must } from '../model/bytes.ts';
import { MAC_A, MAC_B } from '../model/frame.ts';
import { Dice } from '../model/dice.ts';
import { Harness } from '../model/harness.ts';

const CORPUS = new URL('../../../test/golden/core-corpus/', import.meta.url);
const INPUTS = Number(process.env['FUZZ_INPUTS'] ?? 15_000);
const SEED = Number(process.env['FUZZ_SEED'] ?? 20261122);
/** Inputs between two looks at the whole memory. */
const CHECK_EVERY = 1000;
const VNI = 4096;
const SEALED_VNI = 4097;
const LARGEST_READ = 65_565;

interface Input {
  readonly name: string;
  /** What UDP_GRO says; 0: nothing. Tunnel only. */
  readonly segment: number;
  readonly bytes: Uint8Array;
}

function corpus(file: 'tap.txt' | 'tunnel.txt'): Input[] {
  const lines = readFileSync(new URL(file, CORPUS), 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => {
    const fields = line.split(' ');
    const hex = fields.at(-1) ?? '';
    return {
      name: fields[0] ?? '',
      segment: file === 'tunnel.txt' ? Number(fields[1]) : 0,
      bytes: Uint8Array.from(Buffer.from(hex, 'hex')),
    };
  });
}

const NASTY = [0, 1, 2, 7, 8, 0x3f, 0x40, 0x7f, 0x80, 0xfe, 0xff] as const;

/** A few changes, each of a kind that found bugs in somebody's parser. */
function mutate(dice: Dice, input: Input, other: Input): Input {
  let bytes = input.bytes.slice();
  let { segment } = input;
  for (let changes = 1 + dice.roll(5); changes > 0; changes--) {
    // Headers are where the decisions are.
    const at = dice.roll(
      dice.roll(4) === 0 ? Math.max(1, bytes.length) : Math.max(1, Math.min(bytes.length, 110)),
    );
    switch (dice.roll(8)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << dice.roll(8));
        break;
      case 1:
        bytes[at] = NASTY[dice.roll(NASTY.length)] ?? 0;
        break;
      case 2:
        bytes[at] = dice.roll(256);
        break;
      case 3:
        bytes = bytes.slice(0, at);
        break;
      case 4: {
        const grown = new Uint8Array(
          Math.min(LARGEST_READ + 10, bytes.length + dice.roll(dice.roll(20) === 0 ? 66_000 : 100)),
        );
        grown.set(bytes.subarray(0, grown.length));
        bytes = grown;
        break;
      }
      case 5:
        bytes.set(
          other.bytes.subarray(at, Math.min(at + dice.roll(40), bytes.length)),
          at < bytes.length ? at : 0,
        );
        break;
      case 6:
        segment =
          [0, 1, 2, 30, segment + 1, Math.max(0, segment - 1), 0xffffffff, dice.roll(2000)][dice.roll(8)] ??
          0;
        break;
      default:
        bytes.fill(dice.roll(2) * 255, at, at + dice.roll(8));
    }
  }
  return { name: `${input.name}*`, segment, bytes };
}

function bench(build: 'release' | 'debug'): Harness {
  const h = new Harness(build);
  const c = (name: string): number => h.constant(name);
  h.network(1, VNI);
  h.port(0, 1, h.flags('PORT_OFFLOAD', 'PORT_USO', 'PORT_REFLECT'), 64);
  h.port(1, 1, 0, 64);
  h.port(2, 1, h.flags('PORT_OFFLOAD'), 64);
  h.peer(1, '192.0.2.1');
  h.peer(2, '192.0.2.2', 65507, c('PEER_LEARN'));
  h.flood(1, 1);
  h.flood(1, 2);
  h.fdb(1, mac(MAC_B), 2, c('FDB_STATIC'));
  h.fdb(1, mac(MAC_A), 0, c('FDB_LOCAL'));
  h.command('NEIGHBOUR_PUT', { a: 1, ip: ip('10.42.0.2'), mac: mac(MAC_B) });
  h.command('NEIGHBOUR_PUT', { a: 1, ip: ip('fd00::2'), mac: mac(MAC_B) });
  h.port(4, 1, h.flags('PORT_OFFLOAD', 'PORT_USO'), 64);
  h.command('BINDING_IP', { a: 4, b: 0, ip: ip('10.42.0.1') });
  h.command('BINDING_IP', { a: 4, b: 1, ip: ip('fd00::1') });
  h.command('BINDING_PUT', { a: 4, b: 2, mac: mac(MAC_A) });
  h.sealedNetwork(2, SEALED_VNI);
  h.port(3, 2);
  h.flood(2, 1);
  h.flood(2, 2);
  h.fdb(2, mac(MAC_B), 1);
  h.session(0, 0x01020304, 0x0a0b0c0d, 1, 1);
  h.session(1, 0x01020305, 0x0a0b0c0e, 2, 2);
  h.command('SESSION_USE', { a: 0 });
  return h;
}

/** Regions that no packet may change: below and above everything, flood lists, hashes, the peers' addresses, what is behind arenas. */
function untouchable(h: Harness): Uint8Array[] {
  const { bytes } = h.core;
  const c = (name: string): number => h.constant(name);
  const peer = c('PEER_BASE') + c('PEER_SIZE');
  const afterPeers = c('PEER_BASE') + c('PEER_SIZE') * c('PEER_MAX');
  const arenas = Array.from({ length: c('TX_SOCKETS') }, (_, table) => {
    const end = c('TX_ARENA_BASE') + (table + 1) * (c('TX_ARENA_SIZE') + c('TX_SLACK'));
    return bytes.subarray(end - c('TX_SLACK') + 16, end);
  });
  return [
    ...arenas,
    bytes.subarray(0, 4096),
    bytes.subarray(c('COMMAND_RING') - 4096, c('COMMAND_RING')),
    bytes.subarray(peer, peer + 60),
    bytes.subarray(afterPeers, c('FDB_BASE')),
    bytes.subarray(c('SESSION_BASE') + 2 * c('SESSION_SIZE'), c('SESSION_BASE') + 16_384),
    bytes.subarray(c('BINDING_BASE'), c('BINDING_BASE') + c('PORT_MAX') * c('BINDING_SIZE')),
    bytes.subarray(c('LAYOUT_END')),
  ];
}

function checkPointers(h: Harness): void {
  const c = (name: string): number => h.constant(name);
  const arenas = c('TX_ARENA_BASE');
  const arenasEnd = arenas + c('TX_SOCKETS') * (c('TX_ARENA_SIZE') + c('TX_SLACK'));
  const { view, exports } = h.core;
  for (let table = 0; table < c('TX_SOCKETS'); table++) {
    for (let i = 0; i < exports.txCount(table); i++) {
      const at = exports.txTable(table) + i * 64;
      const iov = Number(view.getBigUint64(at + 16, true));
      const start = Number(view.getBigUint64(iov, true));
      const length = Number(view.getBigUint64(iov + 8, true));
      must(start >= arenas && start + length <= arenasEnd && length <= 65507, 'a message outside the arenas');
      const control = Number(view.getBigUint64(at + 40, true));
      const size = view.getUint16(Number(view.getBigUint64(at + 32, true)) + 16, true);
      must(control === 0 || (size > 0 && Math.ceil(length / size) <= 64), 'segments that the kernel refuses');
    }
  }
  for (let i = 0; i < exports.outCount(); i++) {
    const iov = view.getUint32(c('OUT_TABLE') + i * c('OUT_RECORD_SIZE') + 12, true);
    const start = Number(view.getBigUint64(iov + 16, true));
    const length = Number(view.getBigUint64(iov + 24, true));
    must(start >= c('TAP_SLOT_BASE') && start + length <= arenasEnd, 'an out record outside the buffers');
    must(length >= 14 && length <= 65_553, 'a frame that is none');
  }
}

function feed(h: Harness, entry: 'tap' | 'tunnel', dice: Dice, input: Input): void {
  h.reset();
  h.core.exports.sealReset();
  if (entry === 'tap') {
    h.tap(dice.roll(5), input.bytes, new Uint8Array());
  } else {
    const from = dice.roll(2) === 0 ? '192.0.2.1' : '192.0.2.2';
    const segment = input.segment === 0 ? undefined : input.segment;
    h.tunnel(from, input.bytes.subarray(0, 65_536), segment, (messages) =>
      open(h, dice, h.core.exports.queueSealed(messages)),
    );
  }
  must(h.imbalance() === 0, 'a frame without a verdict');
  checkPointers(h);
  fail(h, dice);
  must(h.imbalance() === 0, 'a frame without a verdict after a failure');
}

/** A cipher that finds most tags right, whatever they are: the plaintext is as hostile as the rest. */
function open(h: Harness, dice: Dice, jobs: number): void {
  for (let i = 0; i < jobs; i++) {
    const at = h.constant('OPEN_TABLE') + i * h.constant('JOB_SIZE');
    if (h.core.view.getFloat64(at, true) === 0 || dice.roll(4) === 0) continue;
    h.core.view.setUint32(at + h.constant('OPEN_STATUS'), h.constant('OPEN_OK'), true);
  }
}

/** The kernel refuses something, or is said to have refused what never was. */
function fail(h: Harness, dice: Dice): void {
  const reason = h.constant('REASON_SEND_FAILED');
  h.core.exports.txFailed(dice.roll(9), dice.roll(3), reason);
  h.core.exports.outFailed(dice.roll(4), reason);
}

for (const build of ['release', 'debug'] as const) {
  for (const entry of ['tap', 'tunnel'] as const) {
    void t.test(`${build}: ${entry} takes anything`, async (sub) => {
      const h = bench(build);
      const dice = new Dice(SEED);
      const seeds = corpus(`${entry}.txt`);
      sub.ok(seeds.length > 20, 'the corpus is there');
      const guarded = untouchable(h);
      const before = guarded.map((region) => region.slice());
      let current: Input | undefined;
      const run = (input: Input): void => {
        current = input;
        feed(h, entry, dice, input);
      };
      const any = (): Input =>
        seeds[dice.roll(seeds.length)] ?? { name: '', segment: 0, bytes: new Uint8Array() };
      try {
        for (const input of seeds) run(input);
        for (let i = 0; i < INPUTS; i++) {
          if (i % CHECK_EVERY === 0) {
            h.pass(500);
            h.events();
            guarded.forEach((region, j) =>
              must(Buffer.compare(region, before[j] ?? region) === 0, `region ${j}`),
            );
          }
          run(mutate(dice, any(), any()));
        }
        guarded.forEach((region, j) =>
          must(Buffer.compare(region, before[j] ?? region) === 0, `region ${j}`),
        );
        sub.pass(`${INPUTS} inputs`);
      } catch (error) {
        const hex = Buffer.from(current?.bytes ?? []).toString('hex');
        sub.fail(
          `seed ${SEED}: ${String(error)}\n${current?.name} ${current?.segment} ${hex.slice(0, 4000)}`,
        );
      }
      sub.ok(h.core.exports.fdbCount() < 64 * 4 + 70_000, 'tables stay bounded');
    });
  }
}
