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
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Background } from '../../agent/demo/process.ts';
import { sleep, until } from '../../agent/demo/process.ts';
import { transfer } from '../../agent/demo/transfer.ts';
import type { NetworkSummary } from '../../agent/status.ts';
import { startCluster } from './cluster.ts';
import { netnsTest } from './guard.ts';
import { NarrowUnderlay } from './narrow-underlay.ts';

const HOSTILE = fileURLToPath(new URL('hostile-child.js', import.meta.url));
const FLOW = fileURLToPath(new URL('flow-child.js', import.meta.url));
const FLOW_PORT = '5333';
const RECOVERY_MS = 5_000;
const MEBIBYTE = 1 << 20;
const STEP = 8;
/** Of the sink, one each 50 ms. */
const SAMPLES = 10;
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
    await flow.moves();
    return flow;
  }

  /** Waits until it has moved for a while without a pause. */
  async moves(): Promise<void> {
    await until('the flow goes on', 15_000, () => {
      const last = this.#samples().slice(-SAMPLES);
      return (
        last.length === SAMPLES && last.every(({ bytes }, i) => i === 0 || bytes > (last[i - 1]?.bytes ?? 0))
      );
    });
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
      '-W3',
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
  await sleep(Math.max(0, since + 1_000 - Date.now()));
  await flow.moves();
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

const CUTS = {
  clear: { ipv4: [1450, 1400, 1280, 1200], ipv6: [1450, 1400, 1280, 1200] },
  sealed: { ipv4: [1450, 1280], ipv6: [1400, 1200] },
} as const;

for (const how of ['clear', 'sealed'] as const) {
  netnsTest(
    `3.16, 3.17, 5.5: the underlay narrows in mid-flow, down to 1200, ${how}`,
    PROGRAMS,
    async (t) => {
      // Side by side: they mostly wait.
      t.jobs = 2;
      const both = (['ipv4', 'ipv6'] as const).map((underlay) =>
        t.test(underlay, { buffered: true }, (sub) =>
          narrower(sub, underlay, how === 'sealed', CUTS[how][underlay]),
        ),
      );
      await Promise.all(both);
    },
  );
}

/** Sends datagrams to a data port from inside a host or container. */
async function hostile(t: Test, from: Host | Container, ...args: string[]): Promise<void> {
  const done = await from.exec([process.execPath, HOSTILE, 'datagrams', ...args]);
  t.equal(done.status, 0, `${args.join(' ')}: ${done.stderr}`);
}

netnsTest(
  '5.5, T6: an underlay narrow from the start: TAPs follow, forgeries change nothing',
  PROGRAMS,
  async (t) => {
    // One of them without offloads: there every segment is one of its own.
    const argsOf = ({ number }: Host): string[] => (number === 2 ? ['--io', 'dgram'] : []);
    const bed = await NarrowUnderlay.start(t, { underlay: 'ipv4', mtu: 1400, argsOf });
    const [a, b] = bed.containers;
    const [host, other] = bed.testbed.hosts as [Host, Host];
    const [first, second] = bed.daemons as [Daemon, Daemon];
    // Made at run time: its ports have other numbers than the network.
    await first.json('networks', 'create', 'red');
    await first.json('networks', 'create', 'blue', '--subnet', '10.50.0.0/16');
    await until('both know it', 10_000, async () => {
      return (await second.status()).networks.some(({ name }) => name === 'blue');
    });
    const made = await first.json<NetworkSummary>('networks', 'attach', 'red', '--tap', 'red0');
    t.equal(made.mtu, 1450, 'made for what the interface says');
    for (const daemon of bed.daemons) await daemon.json('networks', 'attach', 'blue', '--tap', 'blue0');
    const child = host.addContainer({ parent: 'blue0', ipv4: '10.50.1.2' });
    await bed.pathMtus('1,400 pass', 10, (is) => is === 1400);
    const { received } = await transfer(b, a, a.ipv4, { bytes: MEBIBYTE });
    t.equal(received.bytes, MEBIBYTE, '1 MiB passes');

    // Forged by a member (its own processes), by one who is none, and by the underlay.
    const drops = async (reason: string): Promise<number> => (await first.status()).drops[reason] ?? 0;
    const before = await drops('not-a-member');
    // Not all at once: of 256 that wait for control more are dropped before anybody looks at them.
    for (let i = 0; i < 5; i++) await hostile(t, other, host.ipv4, 'probe-answers', '100');
    await hostile(t, host, host.ipv4, 'probe-answers', '100');
    await until(
      'those of no member are counted',
      5_000,
      async () => (await drops('not-a-member')) >= before + 100,
    );
    await until('answers that nobody asked for too', 5_000, async () => {
      const get = "fetch('http://127.0.0.1:9472/metrics').then((got) => got.text()).then(console.log)";
      const { stdout } = await host.exec([process.execPath, '-e', get]);
      const of = (event: string): number =>
        Number(stdout.split(`overlayd_path_probes_total{event="drop:${event}"} `)[1]?.split('\n')[0]);
      return of('unknown-token') >= 200 && of('malformed') >= 200;
    });
    await hostile(t, other, host.ipv4, 'too-big:600', '50');
    await sleep(1_500);
    t.strictSame(
      (await first.peers()).map(({ pathMtu }) => pathMtu),
      [1400],
      'nothing has changed',
    );
    await until('nor is anything lost', 10_000, async () => ((await first.peers())[0]?.loss ?? 1) < 0.2);
    const answered = await a.exec(['ping', '-n', '-c1', '-W2', '-M', 'do', '-s', `${1350 - 28}`, b.ipv4]);
    t.equal(answered.status, 0, 'and the largest datagram passes as before');

    const mtus = async (daemon: Daemon): Promise<string> => {
      const { networks } = await daemon.status();
      return networks
        .map(({ name, mtu }) => `${name} ${mtu}`)
        .sort()
        .join();
    };
    const lower = 'blue 1350,overlay 1350,red 1450';
    await until('the TAPs are lowered', 40_000, async () => (await mtus(first)) === lower);
    t.match(host.ip('link', 'show', 'tap0'), /mtu 1350/);
    t.match(host.ip('link', 'show', 'blue0'), /mtu 1350/, 'that of a made network as well');
    t.match(child.ip('link', 'show', 'eth0'), /mtu 1350/);
    t.match(host.ip('link', 'show', 'red0'), /mtu 1450/, 'and not that of one where nobody else is');
    // Unless a round of probes for more is out just then.
    await until('who joins it now begins with what the path takes', 15_000, async () => {
      if ((await second.json<NetworkSummary>('networks', 'attach', 'red')).mtu === 1350) return true;
      await second.json('networks', 'detach', 'red');
      return false;
    });
    t.match(a.ip('link', 'show', 'eth0'), /mtu 1350/, 'and with it its child in the container');
    t.match(first.log(), /MTU of a TAP is lower than 1450/, 'not silently');

    await first.stop();
    const again = host.startDaemon({ join: [other] });
    await again.ready(1);
    t.equal(await mtus(again), lower, 'a restart knows');
    t.match(host.ip('link', 'show', 'blue0'), /mtu 1350/);
    child.remove();
    await again.json('networks', 'detach', 'blue', '--force');
    t.match(await again.json('networks', 'attach', 'blue'), { mtu: 1350 }, 'and so is a new TAP made');
    await again.stop();
  },
);

netnsTest('5.5: an underlay of 1,280, as WireGuard links have it, is used whole', ['ip'], async (t) => {
  const { daemons } = await startCluster(t, { hosts: 2, mtu: 1280 });
  for (const daemon of daemons) {
    await until(`${daemon.host.name}: the path is known`, 10_000, async () => {
      return (await daemon.peers()).some(({ pathMtu, rttMs }) => pathMtu === 1280 && rttMs !== undefined);
    });
    t.match(daemon.host.ip('link', 'show', 'tap0'), /mtu 1230/);
  }
});
