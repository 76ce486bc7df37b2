/** `overlayd demo`: the product at work on one machine. The work itself is in agent/demo. */
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { verb } from '../client-command.ts';
import type { CliContext } from '../context.ts';

export function demoCommand(context: CliContext): Command {
  return verb('demo', 'real daemons in namespaces of this machine, and traffic between them', [
    'sudo overlayd demo',
    'sudo overlayd demo --hosts 5',
  ])
    .option('--hosts <N>', 'how many hosts to make', parseCount, 3)
    .option('--encrypted', 'with a sealed network', false)
    .action(async (options: { hosts: number; encrypted: boolean }) => {
      const { runDemo } = await import('../../demo/demo.ts');
      context.exitCode = await runDemo({ ...options, out: (line) => context.out(`${line}\n`) });
    });
}

function parseCount(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new InvalidArgumentError('Expected a number.');
  return Number(text);
}
