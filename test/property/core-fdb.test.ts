/** The forwarding table against a Map: whatever is put, moved and deleted, in whatever order (seeded). */
import * as fc from 'fast-check';
import t from 'tap';
import { must } from '../model/bytes.ts';
import { Harness } from '../model/harness.ts';

const SEED = 4096;
const NETWORKS = 3;
const PEERS = 5;
const PORTS = 3;

type Step =
  | {
      readonly kind: 'put';
      readonly network: number;
      readonly mac: number;
      readonly to: number;
      readonly local: boolean;
    }
  | { readonly kind: 'delete'; readonly network: number; readonly mac: number; readonly local: boolean }
  | { readonly kind: 'peer' | 'network' | 'port'; readonly index: number };

const network = fc.integer({ min: 0, max: NETWORKS - 1 });
/** Few addresses, so that steps meet; enough to make the table grow and clusters form. */
const address = fc.integer({ min: 1, max: 3000 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 60,
    arbitrary: fc.record({
      kind: fc.constant('put' as const),
      network,
      mac: address,
      to: fc.nat({ max: PEERS - 1 }),
      local: fc.boolean(),
    }),
  },
  {
    weight: 40,
    arbitrary: fc.record({
      kind: fc.constant('delete' as const),
      network,
      mac: address,
      local: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('peer' as const, 'network' as const, 'port' as const),
      index: fc.nat({ max: 2 }),
    }),
  },
);

interface Row {
  readonly network: number;
  readonly local: boolean;
  readonly to: number;
}

function macBytes(value: number): Uint8Array {
  return Uint8Array.of(2, 0, 0, 0, value >> 8, value & 255);
}

function bench(build: 'release' | 'debug'): Harness {
  const h = new Harness(build);
  for (let i = 0; i < NETWORKS; i++) restore(h, 'network', i);
  for (let i = 0; i < PORTS; i++) restore(h, 'port', i);
  for (let i = 0; i < PEERS; i++) restore(h, 'peer', i);
  return h;
}

function restore(h: Harness, kind: 'peer' | 'network' | 'port', index: number): void {
  if (kind === 'network') h.network(index, 100 + index);
  else if (kind === 'port') h.port(index, index);
  else h.peer(index, `192.0.2.${index + 1}`);
}

function apply(h: Harness, model: Map<string, Row>, s: Step): void {
  if (s.kind === 'put') {
    // A port belongs to the network of its index.
    const to = s.local ? s.network : s.to;
    must(h.fdb(s.network, macBytes(s.mac), to, s.local ? h.constant('FDB_LOCAL') : 0), 'the row is taken');
    model.set(`${s.network}/${s.mac}`, { network: s.network, local: s.local, to });
  } else if (s.kind === 'delete') {
    const key = `${s.network}/${s.mac}`;
    h.command('FDB_DEL', {
      a: s.network,
      mac: macBytes(s.mac),
      flags: s.local ? h.constant('FDB_LOCAL') : 0,
    });
    if (model.get(key)?.local === s.local) model.delete(key);
  } else {
    h.command(`${s.kind.toUpperCase()}_DEL`, { a: s.index });
    for (const [key, row] of model) {
      const gone =
        s.kind === 'network'
          ? row.network === s.index
          : row.local === (s.kind === 'port') && row.to === s.index;
      if (gone) model.delete(key);
    }
    restore(h, s.kind, s.index);
  }
}

function compare(h: Harness, model: Map<string, Row>): void {
  must(h.core.exports.fdbCount() === model.size, `${h.core.exports.fdbCount()} rows, not ${model.size}`);
  for (let n = 0; n < NETWORKS; n++) {
    for (let m = 1; m <= 3000; m++) {
      const row = model.get(`${n}/${m}`);
      const found = h.destination(n, macBytes(m));
      must(found?.destination === row?.to, `destination of ${n}/${m}`);
      must(!found || ((found.flags & h.constant('FDB_LOCAL')) !== 0) === row?.local, `kind of ${n}/${m}`);
    }
  }
}

for (const build of ['release', 'debug'] as const) {
  void t.test(`${build}: the table is a map`, async (sub) => {
    const property = fc.property(fc.array(step, { minLength: 1, maxLength: 6000, size: 'max' }), (steps) => {
      const h = bench(build);
      const model = new Map<string, Row>();
      for (const s of steps) apply(h, model, s);
      compare(h, model);
    });
    sub.doesNotThrow(() => fc.assert(property, { seed: SEED, numRuns: 8, endOnFailure: true }));
  });
}
