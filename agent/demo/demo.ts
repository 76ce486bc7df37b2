/**
 * `overlayd demo`: the product at work on one machine, in under a minute.
 *
 * Makes hosts as network namespaces, runs real daemons in them, puts a container on each, and shows traffic between
 * all of them, also while one daemon is killed and comes back. Every step is checked, and the exit code is 0 only when
 * all went well. Nothing stays behind.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OverlaydError } from '../errors.ts';
import type { Daemon } from './daemon.ts';
import type { Container } from './hosts.ts';
import { Ping } from './ping.ts';
import { runNow, sleep, until } from './process.ts';
import { Testbed } from './testbed.ts';
import { transfer } from './transfer.ts';

export interface DemoOptions {
  readonly hosts: number;
  readonly encrypted: boolean;
  readonly out: (line: string) => void;
}

const HOSTS_MIN = 2;
const HOSTS_MAX = 16;
const TRANSFER_BYTES = 256 << 20;
const KEY_BYTES = 32;
const ENCRYPTED_NETWORK = 'name=overlay,vni=4096,subnet=10.42.0.0/16,tap=tap0,encrypted';
/** Runs the demonstration; returns the exit code. Throws `OverlaydError` when it cannot be begun. */
export async function runDemo(options: DemoOptions): Promise<number> {
  if (!Number.isInteger(options.hosts) || options.hosts < HOSTS_MIN || options.hosts > HOSTS_MAX) {
    throw new OverlaydError('OVL_USAGE', `the demo runs with ${HOSTS_MIN} to ${HOSTS_MAX} hosts`, {
      exitCode: 2,
    });
  }
  const begin = performance.now();
  checkPing();
  const testbed = new Testbed();
  const daemons: Daemon[] = [];
  try {
    const allWell = await perform(testbed, daemons, options);
    const seconds = ((performance.now() - begin) / 1000).toFixed(0);
    options.out('');
    options.out(
      `${allWell ? 'All of it worked' : 'NOT all of it worked'}, in ${seconds} s. Everything is being removed.`,
    );
    return allWell ? 0 : 1;
  } catch (error) {
    options.out(`The demo broke off: ${error instanceof Error ? error.message : String(error)}`);
    for (const daemon of daemons)
      options.out(`${daemon.host.name}'s log ends with: ${lastLine(daemon.log())}`);
    return 1;
  } finally {
    testbed.close();
  }
}

function checkPing(): void {
  try {
    runNow(['ping', '-V']);
  } catch {
    throw new OverlaydError('OVL_DEMO_IMPOSSIBLE', 'the command ping is missing', {
      hint: 'Install it: apt-get install iputils-ping.',
    });
  }
}

async function perform(
  testbed: Testbed,
  daemons: Daemon[],
  { hosts, encrypted, out }: DemoOptions,
): Promise<boolean> {
  out(`1. ${hosts} hosts, each a network namespace with an address on one underlay (10.77.0.0/24)`);
  for (let made = 0; made < hosts; made++) testbed.addHost();
  for (const host of testbed.hosts) out(`   ${host.name}  ${host.ipv4}  ${host.ipv6}`);

  out('2. overlayd on every host; all but the first are told one thing, --join of the first');
  const joining = performance.now();
  const args = encrypted ? sealingArgs(testbed) : [];
  for (const host of testbed.hosts) daemons.push(host.startDaemon({ args }));
  for (const daemon of daemons) {
    await daemon.ready(hosts - 1);
  }
  out(`   all know each other after ${secondsSince(joining)} s`);
  if (encrypted) await awaitSealed(daemons, out);

  out('3. a container on every host: a namespace with a macvlan child of tap0, as Docker makes it');
  const containers = testbed.hosts.map((host) => host.addContainer());
  for (const container of containers) {
    out(
      `   ${container.name} on ${container.host.name}  ${container.mac}  ${container.ipv4}  ${container.ipv6}`,
    );
  }

  out('4. ping from each container to each, IPv4 and IPv6');
  const pingsWell = await pingAll(containers, out);

  const [first, second] = containers;
  if (first === undefined || second === undefined) return false;
  out(`5. ${TRANSFER_BYTES >> 20} MiB by TCP from ${first.name} to ${second.name}`);
  const { received } = await transfer(first, second, second.ipv4, { bytes: TRANSFER_BYTES });
  const gigabits = (received.bytes * 8) / received.seconds / 1e9;
  const arrived = received.bytes === TRANSFER_BYTES;
  out(
    `   ${received.bytes >> 20} MiB arrived in ${received.seconds.toFixed(2)} s: ${gigabits.toFixed(2)} Gb/s`,
  );

  out(`6. what ${first.host.name} knows`);
  for (const row of (await daemons[0]?.fdb()) ?? []) {
    out(`   ${row.mac}  ${row.local ? 'here' : `on ${row.owner ?? row.vtep}`}  ${row.ips.join(' ')}`);
  }
  const survived = await killOne(containers, daemons, args, out);
  return pingsWell && arrived && survived;
}

/** A key of this demo alone, and the default network, encrypted. */
function sealingArgs(testbed: Testbed): string[] {
  const keyring = join(testbed.scratch, 'keyring');
  writeFileSync(keyring, `${randomBytes(KEY_BYTES).toString('base64')}\n`, { mode: 0o600 });
  return ['--keyring', keyring, '--network', ENCRYPTED_NETWORK];
}

async function awaitSealed(daemons: readonly Daemon[], out: (line: string) => void): Promise<void> {
  const begin = performance.now();
  for (const daemon of daemons) {
    await until(`${daemon.host.name} has keys with every other host`, 30_000, async () =>
      (await daemon.peers()).every(({ sealed }) => sealed),
    );
  }
  out(`   each pair of them has made keys of its own ${secondsSince(begin)} s later; nothing goes in clear`);
}

async function pingAll(containers: readonly Container[], out: (line: string) => void): Promise<boolean> {
  let answered = 0;
  let asked = 0;
  for (const from of containers) {
    const others = containers.filter((other) => other !== from);
    const targets = others.flatMap((other) => [other.ipv4, other.ipv6]);
    const results = await Promise.all(
      targets.map((target) => from.exec(['ping', '-c', '1', '-W', '2', target])),
    );
    for (const [index, result] of results.entries()) {
      asked++;
      if (result.status === 0) answered++;
      else out(`   ${from.name} got no answer from ${targets[index]}`);
    }
  }
  out(`   ${answered} of ${asked} answered`);
  return answered === asked;
}

/** Kills the last host's daemon with -9 while the first two containers ping each other, and starts it again. */
async function killOne(
  containers: readonly Container[],
  daemons: readonly Daemon[],
  args: readonly string[],
  out: (line: string) => void,
): Promise<boolean> {
  const [first, second] = containers;
  const victim = containers.at(-1);
  const daemon = daemons.at(-1);
  if (first === undefined || second === undefined || victim === undefined || daemon === undefined)
    return false;
  // With two hosts there are no third parties to watch.
  const bystanders = containers.length > 2 ? new Ping(first, second.ipv4) : undefined;
  const interrupted = new Ping(first, victim.ipv4);

  out(`7. overlayd on ${victim.host.name} is killed with -9 and started again after two seconds`);
  await until('pings flow', 10_000, () => interrupted.count().answered > 10);
  await daemon.stop('SIGKILL');
  const before = interrupted.count().answered;
  await sleep(2000);
  const restart = performance.now();
  victim.host.startDaemon({ args });
  await until(`${victim.name} answers again`, 30_000, () => interrupted.count().answered > before + 10);
  out(`   ${victim.name} kept its interface; it answers again ${secondsSince(restart)} s after the start`);

  await interrupted.stop();
  const others = await bystanders?.stop();
  if (others === undefined) return true;
  out(
    `   meanwhile ${first.name} and ${second.name}: ${others.answered} pings answered, ${others.lost} lost`,
  );
  return others.answered > 0 && others.lost === 0;
}

function secondsSince(instant: number): string {
  return ((performance.now() - instant) / 1000).toFixed(1);
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
