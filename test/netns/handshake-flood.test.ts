/**
 * Issue 4.5, section 4 "Handshake DoS": 100,000 initiations a second under forged addresses against a real daemon. The
 * established session carries on, memory is bounded, and next to nothing is answered.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import tap from 'tap';
import { tunnelCrypto } from '../../agent/crypto/tunnel-crypto.ts';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Container, Host } from '../../agent/demo/hosts.ts';
import { until } from '../../agent/demo/process.ts';
import { tunnelPsk } from '../../proto/tunnel/psk.ts';
import { allLearnt, startCluster, unreachable } from './cluster.ts';
import { netnsTest } from './guard.ts';

tap.setTimeout(600_000);

const FLOOD = fileURLToPath(new URL('flood-child.js', import.meta.url));
const KEY = randomBytes(32);
const SPEC = 'name=overlay,vni=4096,subnet=10.42.0.0/16,tap=tap0,encrypted';
const SECONDS = 4;
const PER_SECOND = 100_000;
const PING_EVERY_S = 0.02;
const MIB = 1 << 20;

function rssBytes(daemon: Daemon): number {
  const status = readFileSync(`/proc/${daemon.process.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

/** Bytes that a host has taken in and sent on its underlay. */
function traffic(host: Host): { rx: number; tx: number } {
  const [link] = JSON.parse(host.ip('-j', '-s', 'link', 'show', 'dev', 'eth0')) as [
    { stats64: { rx: { bytes: number }; tx: { bytes: number } } },
  ];
  return { rx: link.stats64.rx.bytes, tx: link.stats64.tx.bytes };
}

netnsTest(
  '4.5 a flood of initiations from everywhere, and from the address of a member',
  ['ping'],
  async (t) => {
    const argsOf = (host: Host): string[] => {
      const keyring = join(host.scratch, 'keyring');
      writeFileSync(keyring, `${KEY.toString('base64')}\n`, { mode: 0o600 });
      return ['--keyring', keyring, '--network', SPEC];
    };
    const { testbed, daemons } = await startCluster(t, { hosts: 2, argsOf });
    const [target, member] = testbed.hosts as [Host, Host];
    const [daemon] = daemons as [Daemon];
    const attacker = testbed.addHost();
    const [a, b] = testbed.hosts.slice(0, 2).map((host) => host.addContainer()) as [Container, Container];
    await until('a session stands', 20_000, async () => (await daemon.peers()).every(({ sealed }) => sealed));
    await allLearnt(daemons, [a, b]);
    t.strictSame(await unreachable([a, b]), []);
    const session = (await daemon.peers())[0]?.session?.rekeys;

    const [link] = JSON.parse(target.ip('-j', 'link', 'show', 'dev', 'eth0')) as [{ address: string }];
    const psk = tunnelPsk(tunnelCrypto, KEY).id;
    const rssBefore = rssBytes(daemon);
    const before = traffic(target);
    const count = Math.round((SECONDS + 1) / PING_EVERY_S);
    const args = ['eth0', link.address, target.ipv4, member.ipv4, `${psk}`, `${SECONDS}`, `${PER_SECOND}`];
    const flood = attacker.exec([process.execPath, FLOOD, ...args], 60_000);
    await until('the flood has begun', 30_000, () => traffic(target).rx - before.rx > 1_000_000);
    const ping = b.exec(['ping', '-n', '-q', '-i', `${PING_EVERY_S}`, '-c', `${count}`, '-W', '3', a.ipv4]);
    await new Promise((resolve) => setTimeout(resolve, (SECONDS * 1_000) / 2));
    const asked = performance.now();
    await daemon.status();
    const answerMs = Math.round(performance.now() - asked);
    const done = await flood;
    t.equal(done.status, 0, done.stderr);
    const { sent, tookMs } = JSON.parse(done.stdout) as { sent: number; tookMs: number };
    const after = traffic(target);
    const rssAfter = rssBytes(daemon);
    const { drops } = await daemon.status();
    const { stdout } = await ping;
    const [, transmitted = '0', received = '0'] =
      /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? [];
    const lost = Number(transmitted) - Number(received);

    t.comment(
      `${sent} initiations in ${tookMs} ms (${Math.round(sent / tookMs)} k/s); status answered in ${answerMs} ms`,
    );
    t.comment(`RSS ${Math.round(rssBefore / MIB)} MiB before, ${Math.round(rssAfter / MIB)} MiB after`);
    t.comment(
      `${lost} of ${transmitted} pings lost; the host took in ${after.rx - before.rx} bytes, sent ${after.tx - before.tx}`,
    );
    t.ok(sent >= (SECONDS * PER_SECOND) / 4, 'there was a flood');
    t.equal(lost, 0, 'the established session is not disturbed');
    t.ok(rssAfter - rssBefore < 48 * MIB, 'memory is bounded');
    t.ok(after.tx - before.tx < (after.rx - before.rx) / 10, 'no amplification');
    t.ok(
      (drops['not-a-member'] ?? 0) > 0 && (drops['punt-rate'] ?? 0) > 0,
      'it is counted, and control is spared',
    );
    t.equal((await daemon.peers())[0]?.session?.rekeys, session, 'the session is the same one');
    t.strictSame(await unreachable([a, b]), []);
  },
);
