/** `overlayd wait`: blocks until something holds, for scripts. A daemon that is not up yet is waited for too. */
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../../api/client.ts';
import { canonicalMac } from '../../config/address.ts';
import { OverlaydError } from '../../errors.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import { EXIT } from '../context.ts';
import { parseDuration } from '../duration.ts';

const POLL_INTERVAL_MS = 100;
const DEFAULT_TIMEOUT = '30s';

interface Condition {
  readonly text: string;
  holds(client: ApiClient): Promise<boolean>;
}

export function waitCommand(): Command {
  return clientVerb('wait', 'wait until something holds; exit code 1 when it does not in time', [
    'overlayd wait --for ready',
    'overlayd wait --for peers=2 --timeout 1m',
    'overlayd wait --for mac=02:42:0a:2a:00:02',
  ])
    .requiredOption('--for <CONDITION>', 'ready, peers=N (at least N alive) or mac=MAC', parseCondition)
    .option('--timeout <DURATION>', `such as 500ms, 30s or 2m (default: ${DEFAULT_TIMEOUT})`, parseDuration)
    .action(async (options: ClientOptions & { for: Condition; timeout?: number }) => {
      await withClient(options.socket, (client) =>
        waitFor(client, options.for, options.timeout ?? parseDuration(DEFAULT_TIMEOUT)),
      );
    });
}

function parseCondition(text: string): Condition {
  const [, name, value] = /^(ready|peers|mac)(?:=(.+))?$/.exec(text) ?? [];
  const mac = canonicalMac(value ?? '');
  if (name === 'ready' && value === undefined) {
    return { text, holds: async (client) => (await client.status()).ready };
  }
  if (name === 'peers' && /^\d{1,6}$/.test(value ?? '')) {
    return { text, holds: async (client) => (await client.status()).peers.alive >= Number(value) };
  }
  if (name === 'mac' && mac !== undefined) {
    return { text, holds: async (client) => (await client.fdb()).some((entry) => entry.mac === mac) };
  }
  throw new InvalidArgumentError('Expected ready, peers=N or mac=MAC.');
}

async function waitFor(client: ApiClient, condition: Condition, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  let isHeard = false;
  for (;;) {
    let unreachable: OverlaydError | undefined;
    try {
      // One that hangs takes no more of the time than there is.
      if (await condition.holds(client.within(deadline - performance.now()))) return;
      isHeard = true;
    } catch (error) {
      // Nobody there may become somebody there; anything else will not mend itself.
      if (!(error instanceof OverlaydError) || error.exitCode !== EXIT.unreachable) throw error;
      // The last question was cut short by our own deadline: that says nothing of a daemon that answered until then.
      const isCut = (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT';
      unreachable = isCut && isHeard ? undefined : error;
    }
    if (performance.now() >= deadline) {
      throw unreachable ?? timedOut(condition, timeoutMs);
    }
    await sleep(Math.min(POLL_INTERVAL_MS, Math.max(1, deadline - performance.now())));
  }
}

function timedOut({ text }: Condition, timeoutMs: number): OverlaydError {
  return new OverlaydError('OVL_WAIT_TIMEOUT', `"${text}" did not come true in ${timeoutMs / 1000} s`, {
    hint: 'See "overlayd status" and "overlayd peers", or give a longer --timeout.',
  });
}
