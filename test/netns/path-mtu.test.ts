/**
 * An underlay that takes less than it says and tells nobody (issue 5.5; checklist 3.16, 3.17): what passes is found out by
 * probes, connections go on, and senders hear of it from overlayd alone. Also 4a: forged probes and forged ICMP of the underlay.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { Container, Host } from '../../agent/demo/hosts.ts';
import type { Background } from '../../agent/demo/process.ts';
import { sleep, until } from '../../agent/demo/process.ts';
import { transfer } from '../../agent/demo/transfer.ts';
import { netnsTest } from './guard.ts';
import { NarrowUnderlay } from './narrow-underlay.ts';

const FLOW = fileURLToPath(new URL('flow-child.js', import.meta.url));
const FLOW_PORT = '5333';
const RECOVERY_MS = 5_000;
const MEBIBYTE = 1 << 20;
const STEP = 8;
const PROGRAMS = ['ping', 'ethtool'];
const KEY = randomBytes(32).toString('base64');
const OVERHEAD = { ipv4: 50, ipv6: 70, seal: 32 } as const;

function sealed(host: Host): string[] {
  const keyring = join(host.scratch, 'keyring');
  writeFileSync(keyring, `${KEY}\n`, { mode: 0o600 });
  return ['--keyring', keyring, '--network', 'name=overlay,vni=4096,subnet=10.42.0.0/16,tap=tap0,encrypted'];
}

/** A flow from one container to the other, and how long it ever paused. */
class Flow {
  readonly #sink: Background;
  readonly #source: Background;

  private constructor(sink: Background, source: Background) {
    this.#sink = sink;
    this.#source = source;
  }

  static async start(from: Container, to: Container): Promise<Flow> {
    const sink = to.spawn([process.execPath, FLOW, 'sink', to.ipv4, FLOW_PORT]);
    await until('the sink listens', 10_000, () => sink.log().includes('listening'));
    const flow = new Flow(sink, from.spawn([process.execPath, FLOW, 'source', to.ipv4, FLOW_PORT]));
    await until('the flow flows', 10_000, () => flow.#samples().length > 10);
    return flow;
  }

  /** Milliseconds of the longest pause that began after `since`, up to now. */
  longestPause(since: number): number {
    let longest = 0;
    let last = { atMs: since, bytes: -1 };
    for (const sample of this.#samples()) {
      if (sample.atMs < since || sample.bytes !== last.bytes) last = sample;
      longest = Math.max(longest, sample.atMs < since ? 0 : sample.atMs - last.atMs);
    }
    return longest;
  }

  async stop(): Promise<void> {
    await this.#source.stop('SIGKILL');
    await this.#sink.stop('SIGKILL');
  }

  #samples(): { atMs: number; bytes: number }[] {
    return [...this.#sink.log().matchAll(/^(\d+) (\d+)$/gm)].map(([, at, bytes]) => ({
      atMs: Number(at),
      bytes: Number(bytes),
    }));
  }
}

/** The largest packet that a container may send to another one with DF, as it learns by sending what it may, until that passes. */
async function learnt(from: Container, to: string, tapMtu: number): Promise<number> {
  const headers = to.includes(':') ? 48 : 28;
  let bytes = tapMtu;
  for (let asked = 0; asked < 6; asked++) {
    const size = `${bytes - headers}`;
    const { status, stdout, stderr } = await from.exec([
      'ping',
      '-n',
      '-c1',
      '-W1',
      '-M',
      'do',
      '-s',
      size,
      to,
    ]);
    if (status === 0) return bytes;
    const [, told = '0'] = /mtu[ :=]+(\d+)/i.exec(`${stdout}${stderr}`) ?? [];
    if (Number(told) === 0 || Number(told) >= bytes) return 0;
    bytes = Number(told);
  }
  return 0;
}

/** One cut in mid-flow, and everything that has to work after it. */
async function cut(t: Test, bed: NarrowUnderlay, flow: Flow, mtu: number, overhead: number): Promise<void> {
  const [a, b] = bed.containers;
  const since = Date.now();
  bed.narrow(mtu);
  const found = await bed.pathMtus(`a path of ${mtu} is found`, 10, (is) => is <= mtu && is > mtu - STEP);
  await sleep(Math.max(0, since + 3_000 - Date.now()));
  const pause = flow.longestPause(since);
  t.comment(`underlay ${mtu}: found ${found.join(' and ')}, the flow paused ${pause} ms`);
  t.ok(pause < RECOVERY_MS, `3.16: the flow went on after ${pause} ms`);
  const { received } = await transfer(a, b, b.ipv4, { bytes: MEBIBYTE });
  t.equal(received.bytes, MEBIBYTE, '1 MiB passes');
  const inner = Math.min(...found) - overhead;
  const tapMtu = 1500 - overhead;
  const said = await learnt(a, b.ipv4, tapMtu);
  t.ok(said <= mtu - overhead && said > inner - STEP, `an IPv4 sender is told ${said}, and that passes`);
  // Less than 1,280 is no IPv6 link.
  if (inner < 1280) return;
  const said6 = await learnt(a, b.ipv6, tapMtu);
  t.ok(said6 <= mtu - overhead && said6 > inner - STEP, `an IPv6 sender is told ${said6}, and that passes`);
}

async function narrower(
  t: Test,
  underlay: 'ipv4' | 'ipv6',
  isSealed: boolean,
  mtus: readonly number[],
): Promise<void> {
  const bed = await NarrowUnderlay.start(t, { underlay, ...(isSealed ? { argsOf: sealed } : {}) });
  const overhead = OVERHEAD[underlay] + (isSealed ? OVERHEAD.seal : 0);
  t.strictSame(await bed.pathMtus('1,500 pass', 20, (is) => is === 1500), [1500, 1500]);
  const flow = await Flow.start(...bed.containers);
  for (const mtu of mtus) await cut(t, bed, flow, mtu, overhead);
  await flow.stop();
  const drops = await Promise.all(bed.daemons.map(async (daemon) => (await daemon.status()).drops));
  t.strictSame(
    drops.map((by) => [by['send-failed'], by['bad-vxlan'], by['bad-seal'], by['replay']]),
    [
      [0, 0, 0, 0],
      [0, 0, 0, 0],
    ],
  );
}

for (const isSealed of [false, true]) {
  netnsTest(
    `3.16, 3.17, 5.5: the underlay narrows to 1450, 1400, 1280 and 1200 in mid-flow, IPv4 and IPv6, ${isSealed ? 'sealed' : 'clear'}`,
    PROGRAMS,
    async (t) => {
      const mtus = [1450, 1400, 1280, 1200];
      await Promise.all([
        t.test('IPv4', (sub) => narrower(sub, 'ipv4', isSealed, mtus)),
        t.test('IPv6', (sub) => narrower(sub, 'ipv6', isSealed, mtus)),
      ]);
    },
  );
}
