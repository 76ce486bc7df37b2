import * as fc from 'fast-check';
import t from 'tap';
import { TABLE } from '../../../proto/state/interface.ts';
import type { StateChange } from '../../../proto/state/interface.ts';
import { encodeEndpoint } from '../../../proto/state/values/endpoint.ts';
import { encodeInterest, interestKey } from '../../../proto/state/values/interest.ts';
import { macKey } from '../../../proto/state/values/mac.ts';
import { encodeVtep, vtepKey } from '../../../proto/state/values/vtep.ts';
import { ForwardingView } from '../../../proto/view/forwarding.ts';
import type { OwnNetwork, StaticPeer } from '../../../proto/view/rows.ts';
import { FakeSource } from './fake-source.ts';
import { RowModel, canonicalLines } from './row-model.ts';

const VNI = 4096;
const NETWORK: OwnNetwork = { network: 0, vni: VNI, suppress: true, sealed: false };
const MAC = 0x02_00_00_00_00_01;
const OPTIONS = { self: 'me', maxPayload: 1_450 };

const endpoint = (mobility = 0, ips: readonly string[] = []): Uint8Array =>
  encodeEndpoint({ mobility, ips, flags: 0, name: '' });

/** A view with what it reads and what it writes. */
class Bench {
  readonly source = new FakeSource();
  readonly view = new ForwardingView(OPTIONS, this.source);
  readonly model = new RowModel();
  now = 0;

  constructor(networks: readonly OwnNetwork[] = [NETWORK]) {
    this.view.setNetworks(0, networks);
    this.sync();
  }

  look(change: StateChange): void {
    this.view.handleChange(this.now, change);
    this.sync();
  }

  sync(): number {
    const changes = this.view.takeChanges();
    this.model.apply(changes);
    return changes.length;
  }

  host(owner: string, ip: string, vni = VNI): void {
    this.look(this.source.set(owner, 0, TABLE.vtep, vtepKey(owner), encodeVtep({ ip, port: 4789 })));
    this.look(this.source.set(owner, 0, TABLE.interest, interestKey(vni), encodeInterest()));
  }

  claim(owner: string, mac: number, mobility = 0, ips: readonly string[] = [], held = false): void {
    this.look(this.source.set(owner, VNI, TABLE.endpoint, macKey(mac), endpoint(mobility, ips), held));
  }

  unclaim(owner: string, mac: number): void {
    this.look(this.source.unset(owner, VNI, TABLE.endpoint, macKey(mac)));
  }

  /** Where frames for a MAC go: the address of its peer. */
  route(mac: number): string | undefined {
    const row = this.model.rows.get(`fdb 0 ${mac}`);
    return row?.op === 'fdb-put' ? this.view.peerRow(row.peer)?.addr : undefined;
  }

  neighbour(ip: string): number | undefined {
    const row = this.model.rows.get(`neighbour 0 ${ip}`);
    return row?.op === 'neighbour-put' ? row.mac : undefined;
  }
}

void t.test('a remote claim gives a forwarding and a neighbour row, ours gives none', async (test) => {
  const bench = new Bench();
  bench.host('b', '192.0.2.2');
  bench.claim('b', MAC, 0, ['10.42.0.2', 'fd00::2']);
  bench.claim('me', MAC + 1, 0, ['10.42.0.3']);
  test.equal(bench.route(MAC), '192.0.2.2');
  test.equal(bench.neighbour('10.42.0.2'), MAC);
  test.equal(bench.neighbour('fd00::2'), MAC);
  test.equal(bench.route(MAC + 1), undefined);
  test.equal(bench.neighbour('10.42.0.3'), undefined);
  test.same([...bench.view.endpoints(VNI)].map((e) => e.owner).sort(), ['b', 'me']);
});

void t.test('claims that come before the address wait for it', async (test) => {
  const bench = new Bench();
  bench.claim('b', MAC);
  test.equal(bench.route(MAC), undefined);
  bench.host('b', '192.0.2.2');
  test.equal(bench.route(MAC), '192.0.2.2');
  bench.host('b', '192.0.2.9');
  test.equal(bench.route(MAC), '192.0.2.9', 'the host moved');
  test.equal([...bench.model.rows.keys()].filter((key) => key.startsWith('peer')).length, 1);
});

void t.test('the delete of a loser does not take the row of the winner', async (test) => {
  const bench = new Bench();
  bench.host('b', '192.0.2.2');
  bench.host('c', '192.0.2.3');
  bench.claim('b', MAC, 0, ['10.42.0.2']);
  bench.claim('c', MAC, 1, ['10.42.0.2']);
  test.equal(bench.route(MAC), '192.0.2.3');
  bench.unclaim('b', MAC);
  test.equal(bench.route(MAC), '192.0.2.3');
  test.equal(bench.neighbour('10.42.0.2'), MAC);
  bench.unclaim('c', MAC);
  test.equal(bench.route(MAC), undefined);
  test.equal(bench.neighbour('10.42.0.2'), undefined);
});

void t.test('a MAC that moves here loses its remote row', async (test) => {
  const bench = new Bench();
  bench.host('b', '192.0.2.2');
  bench.claim('b', MAC, 3);
  bench.claim('me', MAC, 4);
  test.equal(bench.route(MAC), undefined);
});

void t.test('an address used by two MACs goes to the later claim', async (test) => {
  const bench = new Bench();
  bench.host('b', '192.0.2.2');
  bench.claim('b', MAC, 0, ['10.42.0.2']);
  bench.claim('b', MAC + 1, 0, ['10.42.0.2']);
  test.equal(bench.neighbour('10.42.0.2'), MAC + 1);
  bench.unclaim('b', MAC + 1);
  test.equal(bench.neighbour('10.42.0.2'), MAC);
});

void t.test('two owners at one address share a peer, which goes with the last', async (test) => {
  const bench = new Bench();
  bench.host('old', '192.0.2.2');
  bench.host('new', '192.0.2.2');
  const peers = (): number => [...bench.model.rows.keys()].filter((key) => key.startsWith('peer')).length;
  test.equal(peers(), 1);
  for (const owner of ['old', 'new']) {
    test.equal(peers(), 1);
    bench.look(bench.source.unset(owner, 0, TABLE.interest, interestKey(VNI)));
    bench.look(bench.source.unset(owner, 0, TABLE.vtep, vtepKey(owner)));
  }
  test.same(bench.model.lines(), canonicalLines([{ op: 'network-put', ...NETWORK }]));
});

void t.test('static peers flood, learn, and pin what is configured', async (test) => {
  const bench = new Bench();
  const peer: StaticPeer = { addr: '192.0.2.77', port: 4789, vni: VNI, macs: [MAC] };
  bench.host('b', '192.0.2.2');
  bench.claim('b', MAC, 9);
  bench.view.setStaticPeers([peer]);
  bench.sync();
  test.equal(bench.route(MAC), '192.0.2.77', 'configured beats claimed');
  const row = [...bench.view.wanted()].find((r) => r.op === 'peer-put' && r.addr === peer.addr);
  test.match(row, { learn: true });
  bench.view.setStaticPeers([peer]);
  test.equal(bench.sync(), 0, 'the same again changes nothing');
  bench.view.setStaticPeers([]);
  bench.sync();
  test.equal(bench.route(MAC), '192.0.2.2');
});

void t.test('5.5: what a peer can be sent changes at run time, and who takes part is told', async (test) => {
  const bench = new Bench();
  bench.host('b', '192.0.2.2');
  const { peer = 0 } = bench.view.vtep('b') ?? {};
  bench.sync();
  bench.view.setMaxPayload(peer, 1_372);
  bench.view.setMaxPayload(peer, 1_372);
  test.match(bench.view.takeChanges(), [{ op: 'peer-put', peer, addr: '192.0.2.2', maxPayload: 1_372 }]);
  bench.view.setMaxPayload(99, 1_000);
  test.same(bench.view.takeChanges(), [], 'nobody has that number');
  test.equal(bench.view.peerRow(peer)?.maxPayload, 1_372);
  const taking = [...bench.view.participants()].map(({ own, owners }) => [own.vni, [...owners]]);
  test.same(taking, [[VNI, ['b']]]);
});

void t.test('bad values are counted and invisible', async (test) => {
  const bench = new Bench();
  bench.host('b', '192.0.2.2');
  bench.host('c', '192.0.2.3');
  bench.look(bench.source.set('c', VNI, TABLE.endpoint, macKey(MAC), new Uint8Array([0xff])));
  bench.claim('b', MAC);
  test.equal(bench.route(MAC), '192.0.2.2');
  bench.look(bench.source.set('c', 0, TABLE.vtep, vtepKey('c'), new Uint8Array([4, 1])));
  bench.look(bench.source.set('c', VNI, TABLE.endpoint, new Uint8Array(3), endpoint()));
  test.equal(bench.view.vtep('c'), undefined);
  test.equal(bench.view.counters().get('bad-vtep'), 1);
  test.ok(bench.view.counters().get('bad-endpoint')! >= 1);
});

void t.test('a MAC that moves too often is frozen, told of, and thawed', async (test) => {
  const bench = new Bench();
  bench.host('b', '192.0.2.2');
  bench.host('c', '192.0.2.3');
  for (let i = 0; i < 12; i++) {
    bench.now = i * 1_000;
    bench.claim(i % 2 === 0 ? 'b' : 'c', MAC, i);
  }
  test.same(bench.view.pollEvent(), { type: 'duplicate-mac', vni: VNI, mac: MAC, owners: ['b', 'c'] });
  test.equal(bench.view.pollEvent(), undefined);
  test.equal(bench.route(MAC), '192.0.2.2', 'frozen at the sixth move, though c claims higher');
  bench.now = bench.view.nextDeadline();
  test.equal(bench.now, 6_000 + 180_000);
  bench.view.handleDeadline(bench.now);
  bench.sync();
  test.equal(bench.route(MAC), '192.0.2.3');
  test.equal(bench.view.nextDeadline(), Infinity);
});

void t.test('one change among many touches one row', async (test) => {
  const bench = new Bench();
  bench.host('b', '192.0.2.2');
  bench.host('c', '192.0.2.3');
  for (let i = 0; i < 20_000; i++) bench.claim('b', MAC + i);
  bench.view.handleChange(1, bench.source.set('c', VNI, TABLE.endpoint, macKey(MAC + 5), endpoint(1)));
  test.equal(bench.sync(), 1);
});

// Random work: the stream of changes must leave exactly what a view made from scratch wants.

const OWNERS = ['me', 'b', 'c', 'd'];
const owner = fc.constantFrom(...OWNERS);
const small = fc.integer({ min: 1, max: 6 });
const NETWORKS: readonly OwnNetwork[] = [NETWORK, { network: 1, vni: 7, suppress: false, sealed: false }];
const step = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant('claim'), owner, small, small, fc.boolean()) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('unclaim'), owner, small, small, fc.boolean()) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('vtep'), owner, small, small, fc.boolean()) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('interest'), owner, small, small, fc.boolean()) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('networks'), owner, small, small, fc.boolean()) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('static'), owner, small, small, fc.boolean()) },
);

class Play {
  readonly source = new FakeSource();
  readonly view = new ForwardingView({ ...OPTIONS, moveLimit: Infinity }, this.source);
  readonly model = new RowModel();
  networks: readonly OwnNetwork[] = NETWORKS;
  statics: readonly StaticPeer[] = [];

  constructor() {
    this.view.setNetworks(0, this.networks);
  }

  run([op, who, a, b, flag]: readonly [string, string, number, number, boolean]): void {
    const vni = a % 2 === 0 ? VNI : 7;
    const ips = [`10.0.0.${b % 3}`, `10.0.0.${a}`];
    if (op === 'claim') {
      this.look(this.source.set(who, vni, TABLE.endpoint, macKey(b), endpoint(a, ips), flag && who !== 'me'));
    } else if (op === 'unclaim') {
      this.look(this.source.unset(who, vni, TABLE.endpoint, macKey(b)));
    } else if (op === 'vtep') {
      const value = encodeVtep({ ip: `192.0.2.${b % 3}`, port: 4789 });
      this.look(
        flag
          ? this.source.set(who, 0, TABLE.vtep, vtepKey(who), value)
          : this.source.unset(who, 0, TABLE.vtep, vtepKey(who)),
      );
    } else if (op === 'interest') {
      const key = interestKey(vni);
      this.look(
        flag
          ? this.source.set(who, 0, TABLE.interest, key, encodeInterest())
          : this.source.unset(who, 0, TABLE.interest, key),
      );
    } else if (op === 'networks') {
      this.networks = flag ? NETWORKS : NETWORKS.slice(0, a % 3);
      this.view.setNetworks(0, this.networks);
    } else {
      const peer = { addr: `192.0.2.${b % 4}`, port: 4789, vni, macs: [b] };
      this.statics = flag ? [...this.statics.slice(-2), peer] : [];
      this.view.setStaticPeers(this.statics);
    }
    this.model.apply(this.view.takeChanges());
  }

  look(change: StateChange): void {
    this.view.handleChange(0, change);
  }

  check(): void {
    const fresh = new ForwardingView({ ...OPTIONS, moveLimit: Infinity }, this.source);
    fresh.setStaticPeers(this.statics);
    fresh.setNetworks(0, this.networks);
    const want = canonicalLines(fresh.wanted()).join('\n');
    const claimed = canonicalLines(this.view.wanted()).join('\n');
    const actual = this.model.lines().join('\n');
    if (claimed !== want) throw new Error(`wanted differs from scratch:\n${claimed}\n--- scratch\n${want}`);
    if (actual !== want) throw new Error(`changes left:\n${actual}\n--- scratch\n${want}`);
  }
}

void t.test('incremental changes leave what a view from scratch wants', async (test) => {
  const property = fc.property(fc.array(step, { minLength: 1, maxLength: 80 }), (steps) => {
    const play = new Play();
    for (const s of steps) {
      play.run(s);
      play.check();
    }
  });
  fc.assert(property, { seed: 20_261_122, numRuns: 300 });
  test.pass();
});

void t.test(
  '5.1 hosts that mean another network by the VNI are strangers: no flood, no rows',
  async (test) => {
    const bench = new Bench();
    const meanings: Record<string, string> = { me: 'blue', b: 'blue', c: 'red' };
    bench.source.set('me', 0, TABLE.interest, interestKey(VNI), encodeInterest());
    for (const [i, name] of ['b', 'c', 'd'].entries()) {
      bench.host(name, `192.0.2.${i + 2}`);
      bench.claim(name, MAC + i, 0, [`10.43.0.${i + 2}`]);
    }
    const routes = (): (string | undefined)[] => [0, 1, 2].map((i) => bench.route(MAC + i));
    const floods = (): number => [...bench.model.rows.values()].filter(({ op }) => op === 'flood-put').length;
    const means = (): void => {
      bench.view.setMeaning(0, (_vni, name) => meanings[name]);
      bench.sync();
    };
    test.same(
      [routes(), floods()],
      [['192.0.2.2', '192.0.2.3', '192.0.2.4'], 3],
      'nobody says: all belong together',
    );
    means();
    test.same(routes(), ['192.0.2.2', undefined, '192.0.2.4'], 'd does not say, c means another');
    test.equal(floods(), 2);
    test.equal(bench.neighbour('10.43.0.3'), undefined);
    test.ok(bench.view.isStranger(VNI, 'c'));
    bench.claim('c', MAC, 5);
    test.equal(bench.route(MAC), '192.0.2.2', 'and its claims take nothing away');
    bench.unclaim('c', MAC);
    meanings['c'] = 'blue';
    means();
    test.same([routes(), floods()], [['192.0.2.2', '192.0.2.3', '192.0.2.4'], 3], 'the two became one');
    test.same(canonicalLines(bench.view.wanted()), canonicalLines(bench.model.rows.values()));
  },
);
