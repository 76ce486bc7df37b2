/** What the main thread remembers: commanded rows, local MACs, the control block, messages read back. */
import tap from 'tap';
import { ControlBlock } from '../../../agent/dataplane/control-block.ts';
import type { FdbRow, TableChange } from '../../../agent/dataplane/dataplane.ts';
import { LocalMacs } from '../../../agent/dataplane/local-macs.ts';
import { MessageReader } from '../../../agent/dataplane/message-reader.ts';
import { TableMirror } from '../../../agent/dataplane/tables.ts';
import { sockaddr } from '../../../agent/io/sockaddr.ts';

const network: TableChange = { op: 'network-put', network: 1, vni: 9, suppress: true, sealed: false };
const peer: TableChange = {
  op: 'peer-put',
  peer: 2,
  addr: '10.0.0.2',
  port: 4789,
  maxPayload: 1472,
  learn: false,
};
const flood: TableChange = { op: 'flood-put', network: 1, peer: 2 };
const row: TableChange = { op: 'fdb-put', network: 1, mac: 5, peer: 2, pinned: false };
const neighbour: TableChange = { op: 'neighbour-put', network: 1, ip: '10.42.0.5', mac: 5 };

void tap.test('the mirror gives back what was put, references first', async (t) => {
  const mirror = new TableMirror();
  for (const change of [row, neighbour, flood, peer, network, row]) mirror.apply(change);
  t.same([...mirror.rows()], [network, peer, row, neighbour, flood]);
  mirror.apply({ op: 'fdb-del', network: 1, mac: 5 });
  mirror.apply({ op: 'neighbour-del', network: 1, ip: '10.42.0.5', mac: 5 });
  t.same([...mirror.rows()], [network, peer, flood]);
  mirror.apply(row);
  mirror.apply({ op: 'peer-del', peer: 2 });
  t.same([...mirror.rows()], [network], 'a peer takes its rows along, as in the core');
  mirror.apply(neighbour);
  mirror.apply({ op: 'network-del', network: 1 });
  mirror.apply({ op: 'flood-del', network: 1, peer: 2 });
  t.same([...mirror.rows()], []);
});

function local(at: number, mac: number, port: number): FdbRow {
  return { network: at, mac, local: true, destination: port, learned: true };
}

void tap.test('lost events are found by comparing', async (t) => {
  const macs = new LocalMacs();
  macs.set(1, 10, 0);
  macs.set(1, 11, 0);
  macs.set(2, 10, 3);
  const remote = { network: 1, mac: 11, local: false, destination: 4, learned: false };
  t.same(macs.resync([local(1, 10, 0), local(2, 10, 4), local(1, 12, 0), remote]), [
    { type: 'mac-learned', network: 2, port: 4, mac: 10, from: undefined },
    { type: 'mac-learned', network: 1, port: 0, mac: 12, from: undefined },
    { type: 'mac-expired', network: 1, port: 0, mac: 11 },
  ]);
  t.same(macs.resync([local(1, 10, 0), local(2, 10, 4), local(1, 12, 0)]), []);
  macs.deleteNetwork(1);
  macs.delete(2, 10);
  t.same([...macs], []);
});

void tap.test('heartbeat ages survive the wrap of 32 bits', async (t) => {
  const block = ControlBlock.create();
  block.beat(2 ** 32 - 10);
  t.equal(block.heartbeatAgeMs(2 ** 32 + 15), 25);
  block.noteGap(40);
  block.noteGap(30);
  t.equal(block.takeLongestGapUs(), 40);
  t.equal(block.takeLongestGapUs(), 0);
  t.equal(block.ringDoorbell(), true);
  t.equal(block.ringDoorbell(), false, 'rung already');
  block.answerDoorbell();
  t.equal(block.ringDoorbell(), true);
  t.equal(block.stopRequested, false);
  block.requestStop();
  t.equal(new ControlBlock(block.buffer).stopRequested, true);
});

void tap.test('a prepared msghdr is cut at its UDP_SEGMENT size', async (t) => {
  const base = 0x7f00_1234_5000;
  const memory = new ArrayBuffer(1024);
  const view = new DataView(memory);
  const pointer = (at: number, to: number): void => view.setBigUint64(at, BigInt(base + to), true);
  new Uint8Array(memory).set(sockaddr('fd77::2', 4789), 512);
  new Uint8Array(memory).set([1, 2, 3, 4, 5], 600);
  const header = 64; // message 1 of a table at 0
  pointer(header, 512);
  pointer(header + 16, 256);
  view.setBigUint64(header + 24, 1n, true);
  pointer(256, 600);
  view.setBigUint64(264, 5n, true);
  const reader = new MessageReader(memory, base);
  const whole = reader.read(0, 1);
  t.same([...whole.ip], [0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
  t.equal(whole.port, 4789);
  t.same(
    whole.datagrams.map((bytes) => [...bytes]),
    [[1, 2, 3, 4, 5]],
  );
  pointer(header + 32, 300);
  view.setBigUint64(header + 40, 24n, true);
  view.setInt32(312, 103, true);
  view.setUint16(316, 2, true);
  t.same(
    reader.read(0, 1).datagrams.map((bytes) => [...bytes]),
    [[1, 2], [3, 4], [5]],
  );
});
