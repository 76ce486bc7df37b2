import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { tunnelCryptoReady } from '../../agent/crypto/tunnel-crypto.ts';
import { clearAnswer, clearProbe } from '../../proto/pmtu/messages.ts';
import { indexOf, pskIdOf } from '../../proto/tunnel/messages.ts';
import { missing, rootTest } from '../netns/guard.ts';
import { TunnelHost, agree, pskOf } from '../proto/tunnel/host.ts';

/** The Wireshark dissector, run by tshark on messages of two real tunnels, on clear VXLAN, and on what is none of ours. */
const SCRIPT = 'agent/dissector/overlayd.lua';
const PORT = 4789;

t.setTimeout(600_000);

rootTest('tshark shows every type, and VXLAN as ever', missing(['tshark']), async (test) => {
  await tunnelCryptoReady;
  const { messages, a, b } = talk();
  const [initiation, response, cookie, data, keepalive] = [1, 2, 3, 4, 5].map((type) => messages.get(type)!);
  test.ok(agree(a, b));
  const vxlan = Uint8Array.of(
    8,
    0,
    0,
    0,
    0,
    0,
    42,
    0,
    ...new Uint8Array(12).fill(2),
    0x88,
    0xb5,
    ...new Uint8Array(46),
  );
  const sealedAnswer = a.tunnels.sealProbe('b', { kind: 7, size: 1372, token: 9 });
  test.ok(sealedAnswer);
  const odd = Uint8Array.of(5, 1, 0, 7, ...keepalive!.subarray(4));
  const all = [
    initiation,
    response,
    cookie,
    data,
    keepalive,
    vxlan,
    initiation!.subarray(0, 151),
    Uint8Array.of(9, 9),
    odd,
    clearProbe(1472, 0x1234),
    clearAnswer(1472, 0x1234),
    sealedAnswer,
    clearProbe(1472, 1).subarray(0, 1400),
  ];
  const rows = dissect(all.map((bytes) => bytes!));

  const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
  const row = (i: number): Record<string, string> => rows[i]!;
  test.match(row(0), {
    proto: 'OVERLAYD',
    type: '1',
    sender: hex(indexOf(initiation!)),
    psk: hex(pskIdOf(initiation!)),
  });
  test.equal(row(0)['mac2'], Buffer.from(initiation!.subarray(136)).toString('hex'));
  test.match(row(1), { type: '2', receiver: hex(indexOf(response!)), mac2: '' });
  test.match(row(2), { type: '3', receiver: hex(indexOf(cookie!)), size: '' });
  test.match(row(3), { type: '4', receiver: hex(indexOf(data!)), counter: '2', tag: tailOf(data!) });
  test.match(row(4), { type: '5', answer: '1', counter: '0', tag: tailOf(keepalive!) });
  test.match(row(5), { proto: /^(?!OVERLAYD)/, type: '', vni: '42' });
  test.match(row(6), { type: '1', size: '1', sender: '' });
  test.match(row(7), { type: '9', unknown: '1' });
  test.match(row(8), { type: '5', odd: '1' });
  test.match(row(9), { type: '6', probe: '1472', token: '0x0000000000001234', sealed: '0', size: '' });
  test.match(row(10), { type: '7', probe: '1472', token: '0x0000000000001234', size: '' });
  test.match(row(11), {
    type: '7',
    probe: '1372',
    sealed: '1',
    receiver: hex(indexOf(sealedAnswer!)),
    token: '',
  });
  test.match(row(12), { type: '6', size: '1', probe: '' });
  for (const [i, { lua, malformed }] of rows.entries()) {
    test.equal(lua, '', `frame ${i}: no error in the script`);
    if (i < 6) test.equal(malformed, '', `frame ${i} is whole`);
  }
});

/** One message of each type, of a real handshake under load, with data behind it. */
function talk(): { messages: Map<number, Uint8Array>; a: TunnelHost; b: TunnelHost } {
  const a = new TunnelHost({ name: 'a', addr: { ip: '10.0.0.1', port: PORT }, seed: 1 });
  const timing = { dhPerSecond: 3, cookiesPerSecond: 1 };
  const b = new TunnelHost({ name: 'b', addr: { ip: '10.0.0.2', port: PORT }, seed: 2, timing });
  const messages = new Map<number, Uint8Array>();
  for (const host of [a, b]) host.tunnels.setPsks(0, [pskOf(1)]);
  a.setPeer(0, b);
  b.setPeer(0, a);
  // B has no room to compute for anybody: A gets cookies, and B's own initiation, late, is what A answers.
  for (let now = 0; now < 10_000 && !agree(a, b); now += 10) {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      from.tunnels.handleDeadline(now);
      for (const { bytes } of from.poll()) {
        if (!messages.has(bytes[0]!)) messages.set(bytes[0]!, bytes);
        if (from === a || now > 3_000 || bytes[0] === 3) to.handle(now, bytes, from.addr);
      }
    }
  }
  for (let i = 0; i < 3; i++) messages.set(4, a.seal(20_000, 'b', 'a frame, and its VXLAN header')!);
  return { messages, a, b };
}

const tailOf = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(-16)).toString('hex');

const FIELDS: Readonly<Record<string, string>> = {
  proto: '_ws.col.Protocol',
  type: 'overlayd.type',
  sender: 'overlayd.sender',
  receiver: 'overlayd.receiver',
  psk: 'overlayd.psk',
  counter: 'overlayd.counter',
  answer: 'overlayd.flags.answer',
  sealed: 'overlayd.flags.sealed',
  probe: 'overlayd.probe',
  token: 'overlayd.token',
  mac2: 'overlayd.mac2',
  tag: 'overlayd.tag',
  size: 'overlayd.size',
  unknown: 'overlayd.unknown',
  odd: 'overlayd.not_zero',
  vni: 'vxlan.vni',
  malformed: '_ws.malformed',
  lua: '_ws.lua.error',
};

/** What tshark says of each datagram, by the names of FIELDS. */
function dissect(datagrams: readonly Uint8Array[]): Record<string, string>[] {
  const folder = mkdtempSync(join(tmpdir(), 'overlayd-dissector.'));
  try {
    const file = join(folder, 'messages.pcap');
    writeFileSync(file, Buffer.concat([pcapHeader(), ...datagrams.map(pcapPacket)]));
    const fields = Object.values(FIELDS).flatMap((field) => ['-e', field]);
    const argv = [
      '-X',
      `lua_script:${SCRIPT}`,
      '-n',
      '-r',
      file,
      '-T',
      'fields',
      '-E',
      'separator=|',
      ...fields,
    ];
    const { status, stdout, stderr } = spawnSync('tshark', argv, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`tshark: ${stderr}`);
    const names = Object.keys(FIELDS);
    return stdout
      .trimEnd()
      .split('\n')
      .map((line) => Object.fromEntries(line.split('|').map((value, i) => [names[i]!, value])));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Classic pcap, little-endian, link type 228: bare IPv4. */
function pcapHeader(): Uint8Array {
  const bytes = Buffer.alloc(24);
  bytes.writeUInt32LE(0xa1b2_c3d4, 0);
  bytes.writeUInt16LE(2, 4);
  bytes.writeUInt16LE(4, 6);
  bytes.writeUInt32LE(65_535, 16);
  bytes.writeUInt32LE(228, 20);
  return bytes;
}

function pcapPacket(payload: Uint8Array): Uint8Array {
  const head = Buffer.alloc(16 + 28);
  const size = 28 + payload.length;
  head.writeUInt32LE(size, 8);
  head.writeUInt32LE(size, 12);
  const [ip, udp] = [head.subarray(16, 36), head.subarray(36)];
  ip[0] = 0x45;
  ip.writeUInt16BE(size, 2);
  ip.set([64, 17], 8);
  ip.set([10, 0, 0, 1, 10, 0, 0, 2], 12);
  udp.writeUInt16BE(49_152, 0);
  udp.writeUInt16BE(PORT, 2);
  udp.writeUInt16BE(8 + payload.length, 4);
  return Buffer.concat([head, payload]);
}
