import t, { type Test } from 'tap';
import { Reconciler } from '../../../agent/control/reconciler.ts';
import type { Dataplane, DataplaneEvent, FdbRow, TableChange } from '../../../agent/dataplane/dataplane.ts';
import { SeededRng } from '../../../proto/rng.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import { State } from '../../../proto/state/state.ts';
import { encodeEndpoint } from '../../../proto/state/values/endpoint.ts';
import { encodeInterest, interestKey } from '../../../proto/state/values/interest.ts';
import { macKey, macKeyHex } from '../../../proto/state/values/mac.ts';
import { encodeVtep, vtepKey } from '../../../proto/state/values/vtep.ts';
import { recordingLog } from '../recording-log.ts';
import { fakeSigner, fakeVerifier } from '../../proto/state/fake-identity.ts';

const VNI = 42;
const MAC = 0x02_42_0a_2a_00_02;

/** A data path that only remembers what it was told. */
class FakeDataplane {
  readonly applied: TableChange[] = [];
  readonly rows = new Map<number, FdbRow>();
  #listener: (event: DataplaneEvent) => void = () => undefined;

  apply(changes: readonly TableChange[]): void {
    this.applied.push(...changes);
    for (const change of changes) {
      if (change.op === 'fdb-put') {
        const { network, mac, peer } = change;
        this.rows.set(mac, { network, mac, local: false, destination: peer, learned: false });
      } else if (change.op === 'fdb-del') this.rows.delete(change.mac);
    }
  }

  onEvent(listener: (event: DataplaneEvent) => void): void {
    this.#listener = listener;
  }

  fdb(): FdbRow[] {
    return [...this.rows.values()];
  }

  emit(event: DataplaneEvent): void {
    this.#listener(event);
  }
}

/** Two states that hear each other at once and without loss, and the reconciler of the first. */
function pair(t: Test, auditIntervalMs = 3_600_000) {
  const make = (node: string, seed: number): State =>
    new State(
      { node, epoch: 1n },
      { rng: new SeededRng(seed), wall: () => 1_000, signer: fakeSigner(node), verifier: fakeVerifier },
    );
  const here = make('here', 1);
  const there = make('there', 2);
  here.handleMemberAlive(0, 'there', 1n);
  there.handleMemberAlive(0, 'here', 1n);
  here.put(0, 0, TABLE.interest, interestKey(VNI), encodeInterest());
  there.put(0, 0, TABLE.interest, interestKey(VNI), encodeInterest());
  there.put(0, 0, TABLE.vtep, vtepKey('there'), encodeVtep({ ip: '192.0.2.2', port: 4789 }));
  const dataplane = new FakeDataplane();
  const { log, lines } = recordingLog();
  const reconciler = new Reconciler(
    {
      self: 'here',
      networks: [{ network: 0, vni: VNI, suppress: true, sealed: false }],
      staticPeers: [],
      maxPayload: 1_472,
      auditIntervalMs,
      log,
    },
    here,
    dataplane as unknown as Dataplane,
    () => undefined,
  );
  t.teardown(() => {
    reconciler.close();
  });
  let now = 0;
  const settle = (): void => {
    for (let round = 0; round < 50; round++) {
      now += 20;
      for (const [from, to, name] of [
        [here, there, 'here'],
        [there, here, 'there'],
      ] as const) {
        from.handleDeadline(now);
        for (let out = from.pollTransmit(); out !== undefined; out = from.pollTransmit()) {
          to.handleMessage(now, name, out.bytes);
        }
      }
      const changes = [];
      for (let change = here.pollChange(); change !== undefined; change = here.pollChange())
        changes.push(change);
      if (changes.length > 0) reconciler.handleChanges(changes);
    }
  };
  return { here, there, dataplane, reconciler, settle, lines };
}

function endpoint(mobility: number, ips: string[]): Uint8Array {
  return encodeEndpoint({ mobility, ips, flags: 0, name: '' });
}

void t.test('3.10 what the state says is in the tables: peer, flood list, MAC, neighbour', (t) => {
  const { there, dataplane, settle } = pair(t);
  t.match(dataplane.applied[0], { op: 'network-put', network: 0, vni: VNI, suppress: true, sealed: false });
  there.put(0, VNI, TABLE.endpoint, macKey(MAC), endpoint(0, ['10.42.0.2']));
  settle();
  const peer = dataplane.applied.find((change) => change.op === 'peer-put');
  t.match(peer, { op: 'peer-put', addr: '192.0.2.2', port: 4789, maxPayload: 1_472, learn: false });
  const index = (peer as { peer: number }).peer;
  t.match(
    dataplane.applied.find((c) => c.op === 'flood-put'),
    { network: 0, peer: index },
  );
  t.match(dataplane.rows.get(MAC), { local: false, destination: index });
  t.match(
    dataplane.applied.find((c) => c.op === 'neighbour-put'),
    { ip: '10.42.0.2', mac: MAC },
  );

  there.delete(1_000, VNI, TABLE.endpoint, macKey(MAC));
  settle();
  t.equal(dataplane.rows.size, 0, 'a withdrawn MAC is gone');
  t.end();
});

void t.test('3.11 a MAC that shows up here is announced above the claim that it had elsewhere', (t) => {
  const { here, there, dataplane, reconciler, settle } = pair(t);
  there.put(0, VNI, TABLE.endpoint, macKey(MAC), endpoint(3, []));
  settle();
  dataplane.emit({ type: 'mac-learned', network: 0, port: 0, mac: MAC, from: 0 });
  settle();
  t.equal(here.claims(VNI, TABLE.endpoint, macKeyHex(MAC))[0]?.owner, 'here');
  t.equal(there.claims(VNI, TABLE.endpoint, macKeyHex(MAC))[0]?.owner, 'here', 'and the other host follows');
  t.equal(dataplane.rows.has(MAC), false, 'our own MAC is no remote row');
  dataplane.emit({ type: 'ip-learned', network: 0, port: 0, mac: MAC, ip: '10.42.0.9' });
  t.strictSame([...reconciler.announced()], [{ vni: VNI, mac: MAC, ips: ['10.42.0.9'] }]);
  dataplane.emit({ type: 'mac-expired', network: 0, port: 0, mac: MAC });
  t.strictSame([...reconciler.announced()], []);
  t.end();
});

void t.test('what an earlier run had is announced again, for our networks only', (t) => {
  const { here, reconciler } = pair(t);
  reconciler.restore([
    { vni: VNI, mac: MAC, ips: ['10.42.0.2'] },
    { vni: 9_999, mac: MAC, ips: [] },
  ]);
  t.equal(here.claims(VNI, TABLE.endpoint, macKeyHex(MAC)).length, 1);
  t.equal(here.claims(9_999, TABLE.endpoint, macKeyHex(MAC)).length, 0);
  t.end();
});

void t.test('3.10 the auditor puts right what differs, and leaves local and learnt rows alone', async (t) => {
  const { there, dataplane, reconciler, settle, lines } = pair(t, 5);
  there.put(0, VNI, TABLE.endpoint, macKey(MAC), endpoint(0, []));
  settle();
  const right = dataplane.rows.get(MAC) as FdbRow;
  const stray = { network: 0, mac: 77, local: false, destination: 5, learned: false };
  const local = { network: 0, mac: 78, local: true, destination: 0, learned: true };
  const learnt = { network: 0, mac: 79, local: false, destination: 5, learned: true };
  for (const row of [stray, local, learnt]) dataplane.rows.set(row.mac, row);
  dataplane.rows.set(MAC, { ...right, destination: 1_000 });
  while (reconciler.repairs === 0) await new Promise((resolve) => setImmediate(resolve));
  t.strictSame(dataplane.rows.get(MAC), right);
  t.strictSame(new Set(dataplane.rows.keys()), new Set([MAC, 78, 79]));
  t.equal(reconciler.repairs, 2);
  t.ok(lines.some(({ level, fields }) => level === 'warn' && fields['rows'] === 2));
});
