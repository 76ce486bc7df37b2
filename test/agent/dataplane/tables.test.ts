/** Commands and events against the real core: what control writes is what the core's tables hold. */
import tap from 'tap';
import { CommandEncoder, CommandRing } from '../../../agent/dataplane/commands.ts';
import { readFdb, readPeer } from '../../../agent/dataplane/core-reader.ts';
import { loadCore, constant } from '../../../agent/dataplane/core.ts';
import type { TableChange } from '../../../agent/dataplane/dataplane.ts';
import { EventRing } from '../../../agent/dataplane/events.ts';

const MAC = 0x02_42_0a_2a_00_05;

function bench() {
  const core = loadCore({ seed: 1 });
  let wakes = 0;
  const ring = new CommandRing(core, () => wakes++);
  const encoder = new CommandEncoder(core.constants);
  const apply = (...changes: TableChange[]): void => {
    ring.push(changes.map((change) => encoder.change(change)));
    core.exports.runCommands(1000);
  };
  return { core, ring, encoder, apply, events: new EventRing(core), wakes: () => wakes };
}

void tap.test('rows reach the forwarding table and leave it', async (t) => {
  const { core, apply, wakes } = bench();
  apply(
    { op: 'network-put', network: 7, vni: 4096, suppress: true, sealed: false },
    { op: 'peer-put', peer: 3, addr: '10.0.0.3', port: 4789, maxPayload: 1472, learn: false },
    { op: 'flood-put', network: 7, peer: 3 },
    { op: 'fdb-put', network: 7, mac: MAC, peer: 3, pinned: false },
    { op: 'neighbour-put', network: 7, ip: '10.42.0.5', mac: MAC },
    { op: 'neighbour-put', network: 7, ip: 'fd42::5', mac: MAC },
  );
  t.equal(wakes(), 1, 'one wake for all');
  t.same(readFdb(core), [{ network: 7, mac: MAC, local: false, destination: 3, learned: false }]);
  t.not(core.exports.fdbFind(7, Math.floor(MAC / 2 ** 32), MAC >>> 0), 0);
  apply({ op: 'fdb-del', network: 7, mac: MAC });
  t.same(readFdb(core), []);
  apply({ op: 'fdb-put', network: 7, mac: MAC, peer: 3, pinned: true }, { op: 'peer-del', peer: 3 });
  t.same(readFdb(core), [], 'a peer takes its rows along');
  apply(
    { op: 'neighbour-del', network: 7, ip: 'fd42::5', mac: MAC },
    { op: 'flood-del', network: 7, peer: 3 },
  );
  apply({ op: 'network-del', network: 7 });
  t.same(readPeer(core, 3), { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0 });
});

void tap.test('local rows are told apart', async (t) => {
  const { core, ring, encoder, apply } = bench();
  apply({ op: 'network-put', network: 0, vni: 1, suppress: false, sealed: false });
  const spec = { network: 0, port: 9, name: 'tap0', mtu: 1450, macQuota: 10, persist: true, reflect: true };
  ring.push([encoder.port(spec, true, true), encoder.localMac(0, MAC, 9)]);
  core.exports.runCommands(10);
  t.same(readFdb(core), [{ network: 0, mac: MAC, local: true, destination: 9, learned: false }]);
  ring.push([encoder.localMacGone(0, MAC)]);
  core.exports.runCommands(10);
  t.same(readFdb(core), []);
});

void tap.test('a command that the core refuses comes back by name', async (t) => {
  const { core, apply, events } = bench();
  apply({
    op: 'network-put',
    network: constant(core.constants, 'NETWORK_MAX'),
    vni: 1,
    suppress: false,
    sealed: false,
  });
  t.same(events.drain(), [{ type: 'command-failed', op: 'network-put' }]);
  t.same(events.drain(), [], 'taken once');
  t.equal(events.takeLost(), false);
});

void tap.test('more commands than the ring holds wait their turn, in order', async (t) => {
  const { core, ring, encoder } = bench();
  const slots = constant(core.constants, 'COMMAND_SLOTS');
  const count = slots + 500;
  const changes: TableChange[] = [
    { op: 'network-put', network: 0, vni: 1, suppress: false, sealed: false },
    { op: 'peer-put', peer: 0, addr: 'fd77::9', port: 4789, maxPayload: 1452, learn: false },
  ];
  for (let i = 0; i < count; i++)
    changes.push({ op: 'fdb-put', network: 0, mac: 0x020000000000 + i, peer: 0, pinned: false });
  ring.push(changes.map((change) => encoder.change(change)));
  t.equal(ring.waiting, count + 2 - slots);
  core.exports.runCommands(100_000);
  ring.push([encoder.change({ op: 'fdb-del', network: 0, mac: 0x020000000000 + count - 1 })]);
  core.exports.runCommands(100_000);
  t.equal(ring.waiting, 0);
  t.equal(readFdb(core).length, count - 1, 'the deletion came after the last put');
  ring.close();
});

void tap.test('the backlog drains by itself', async (t) => {
  const { core, ring, encoder } = bench();
  const slots = constant(core.constants, 'COMMAND_SLOTS');
  const put = encoder.change({ op: 'network-put', network: 0, vni: 1, suppress: false, sealed: false });
  ring.push(Array.from({ length: slots + 10 }, () => put));
  while (ring.waiting > 0) {
    core.exports.runCommands(100_000);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  t.equal(core.exports.runCommands(100_000), 10);
});
