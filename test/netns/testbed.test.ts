/** A test bed leaves nothing behind: neither at its end, nor by Ctrl-C, nor (after the next one) by kill -9. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { until } from '../../agent/demo/process.ts';
import { Testbed } from '../../agent/demo/testbed.ts';
import { netnsTest } from './guard.ts';

const CHILD = fileURLToPath(new URL('testbed-child.js', import.meta.url));

interface Made {
  readonly id: string;
  readonly scratch: string;
  readonly pid: number;
}

/** Starts the child, ends it with `signal` once its test bed stands, and returns what it had made. */
async function makeAndEnd(signal: NodeJS.Signals): Promise<Made> {
  const child = spawn(process.execPath, [CHILD], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const made = JSON.parse(line.toString()) as Made;
  child.kill(signal);
  await once(child, 'exit');
  return made;
}

/** Names of namespaces, records and folders of that test bed that are still there. */
function leftOf({ id, scratch }: Made): string[] {
  const namespaces = readdirSync('/run/netns').filter((name) => name.includes(`-${id}-`));
  const records = readdirSync('/run/overlayd-testbeds').filter((name) => name.startsWith(id));
  return [...namespaces, ...records, ...(existsSync(scratch) ? [scratch] : [])];
}

netnsTest('Ctrl-C removes everything', [], async (t) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const made = await makeAndEnd(signal);
    t.strictSame(leftOf(made), [], `${signal}: no namespace, record or folder`);
    await until('the process is gone', 5000, () => !existsSync(`/proc/${made.pid}`));
  }
});

netnsTest('what a killed run left is removed by the next', [], async (t) => {
  const made = await makeAndEnd('SIGKILL');
  t.ok(leftOf(made).length >= 4, 'two namespaces, a record and a folder are left');
  await until('its process died with it', 5000, () => !existsSync(`/proc/${made.pid}`));
  const other = new Testbed();
  t.teardown(() => other.close());
  await until('they are gone after another test bed was made', 10_000, () => leftOf(made).length === 0);
  t.ok(existsSync(other.scratch), 'while that one stands');
});
