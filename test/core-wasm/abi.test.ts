/** The ABI: what the binary imports and exports, and that the layout's regions do not touch each other. */
import t from 'tap';
import { compileCore, createCoreMemory, loadCore, readDrops } from '../../agent/dataplane/core.ts';
import { Harness } from '../model/harness.ts';

const REQUIRED = [
  'TAP_SLOTS TAP_SLOT_BASE TAP_SLOT_SIZE TX_SOCKETS RX_VLEN RX_TABLE RX_DATA_BASE RX_DATA_SIZE',
  'RX_NAME_BASE RX_NAME_SIZE RX_CONTROL_BASE RX_CONTROL_SIZE OUT_TABLE OUT_RECORD_SIZE',
  'COMMAND_RING COMMAND_SLOTS COMMAND_SIZE COMMAND_HEAD COMMAND_TAIL',
  'EVENT_RING EVENT_SLOTS EVENT_SIZE EVENT_HEAD EVENT_TAIL EVENTS_LOST COUNTER_BASE DROP_BASE',
  'PEER_BASE PEER_SIZE PEER_MAX PEER_RX_FRAMES PEER_RX_BYTES PEER_TX_FRAMES PEER_TX_BYTES',
  'FDB_BASE FDB_SLOTS FDB_ENTRY_SIZE FDB_LOCAL FDB_STATIC FDB_LEARNED NETWORK_MAX PORT_MAX',
  'NETWORK_SUPPRESS PORT_REFLECT PORT_OFFLOAD PORT_USO PEER_LEARN',
  'CONFIG_AGEING_SECONDS CONFIG_UNKNOWN_PPS CONFIG_BROADCAST_PPS CONFIG_LEARN_PPS CONFIG_REFLECT_UNKNOWN',
].flatMap((line) => line.split(' '));

for (const build of ['release', 'debug'] as const) {
  void t.test(`${build}: imports its memory and nothing else`, async (sub) => {
    sub.same(WebAssembly.Module.imports(compileCore(build)), [
      { module: 'env', name: 'memory', kind: 'memory' },
    ]);
  });

  void t.test(`${build}: exports every constant that the host relies on`, async (sub) => {
    const { core } = new Harness(build);
    for (const name of REQUIRED) sub.type(core.constants[name], 'number', name);
    for (const family of [core.reasons, core.counters, core.ops, core.events]) {
      sub.equal(new Set(family).size, family.length, 'no two of a family share a number');
    }
    sub.notOk('none' in readDrops(core), 'no frame is dropped for no reason');
    sub.ok(core.reasons.includes('unknown-vni') && core.counters.includes('from-tap-bytes'));
  });

  void t.test(`${build}: the regions the host reads and writes lie apart, in order, aligned`, async (sub) => {
    const h = new Harness(build);
    const c = (name: string): number => h.constant(name);
    const regions: [string, number, number][] = [
      ['counters', c('COUNTER_BASE'), 256 * 8],
      ['drops', c('DROP_BASE'), 256 * 8],
      ['commands', c('COMMAND_RING'), c('COMMAND_SLOTS') * c('COMMAND_SIZE')],
      ['events', c('EVENT_RING'), c('EVENT_SLOTS') * c('EVENT_SIZE')],
      ['peers', c('PEER_BASE'), c('PEER_MAX') * c('PEER_SIZE')],
      ['fdb', c('FDB_BASE'), c('FDB_SLOTS') * c('FDB_ENTRY_SIZE')],
      ['neighbours', c('NEIGHBOUR_BASE'), c('NEIGHBOUR_SLOTS') * c('NEIGHBOUR_SIZE')],
      ['tap slots', c('TAP_SLOT_BASE'), c('TAP_SLOTS') * c('TAP_SLOT_SIZE')],
      ['rx table', c('RX_TABLE'), c('RX_VLEN') * 64],
      ['rx names', c('RX_NAME_BASE'), c('RX_VLEN') * c('RX_NAME_SIZE')],
      ['rx control', c('RX_CONTROL_BASE'), c('RX_VLEN') * c('RX_CONTROL_SIZE')],
      ['rx data', c('RX_DATA_BASE'), c('RX_VLEN') * c('RX_DATA_SIZE')],
      ['tx tables', h.core.exports.txTable(0), c('TX_SOCKETS') * c('TX_MESSAGES') * 128],
      ['arenas', c('TX_ARENA_BASE'), c('TX_SOCKETS') * (c('TX_ARENA_SIZE') + c('TX_SLACK'))],
      ['out', c('OUT_TABLE'), c('OUT_MAX') * c('OUT_RECORD_SIZE')],
    ];
    let end = 4096;
    for (const [name, start, size] of regions) {
      sub.ok(start >= end, `${name} begins behind what came before`);
      sub.equal(start % 8, 0, `${name} is aligned`);
      end = start + size;
    }
    sub.ok(c('LAYOUT_END') >= end && c('LAYOUT_END') <= h.core.memory.buffer.byteLength);
    sub.ok(c('TAP_SLOT_SIZE') >= 12 + 14 + 4 + 65535);
    sub.ok(c('FDB_LIMIT') >= 1_000_000, 'a million entries at half load');
  });

  void t.test(`${build}: a second instance over the memory reads, and disturbs nothing`, async (sub) => {
    const memory = createCoreMemory();
    const h = new Harness(build, memory);
    h.network(1, 4096);
    h.peer(1, '192.0.2.1');
    const address = Uint8Array.of(2, 0, 0, 0, 0, 9);
    h.fdb(1, address, 1);
    const before = h.core.bytes.slice(4096, h.constant('FDB_BASE'));
    const auditor = loadCore({ build, memory, attach: true });
    sub.equal(auditor.exports.fdbCount(), 1);
    sub.not(auditor.exports.fdbFind(1, 0x0200, 9), 0);
    sub.equal(auditor.exports.fdbFind(1, 0x0200, 8), 0);
    sub.equal(auditor.exports.fdbFind(2, 0x0200, 9), 0);
    sub.equal(Buffer.compare(before, h.core.bytes.slice(4096, h.constant('FDB_BASE'))), 0);
  });

  void t.test(`${build}: pointers are written for the process, not for the memory`, async (sub) => {
    const base = 0x7f00_1234_5000;
    const core = loadCore({ build, addressOf: () => base });
    const table = core.constants['RX_TABLE'] ?? 0;
    const data = core.constants['RX_DATA_BASE'] ?? 0;
    const iov = Number(core.view.getBigUint64(table + 16, true)) - base;
    sub.equal(Number(core.view.getBigUint64(iov, true)), base + data);
    sub.equal(core.view.getBigUint64(iov + 8, true), 65536n);
  });
}
