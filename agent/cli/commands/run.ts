/** `overlayd run`: the daemon. Flags are made from the table of options. */
import { Option } from 'commander';
import type { Command } from 'commander';
import type { FlagValues } from '../../config/environment.ts';
import { OPTIONS } from '../../config/options.ts';
import { verb } from '../client-command.ts';
import type { CliContext } from '../context.ts';

const SPEC_HELP = `
SPEC = name=NAME,vni=N[,subnet=CIDR][,gateway=IP][,ip-range=CIDR][,tap=IFNAME][,mtu=N][,encrypted]
Flags beat environment (OVERLAYD_ADVERTISE_ADDR, …; lists parted by spaces) beats file beats default.
SIGTERM and SIGINT leave the cluster and keep the TAPs; a second one ends at once. SIGHUP reloads.`;

export function runCommand(context: CliContext): Command {
  const run = verb('run', 'the daemon, in the foreground', [
    'overlayd run',
    'overlayd run --join 192.0.2.1',
    'overlayd run --network name=web,vni=100,subnet=10.50.0.0/16 --network name=db,vni=101,subnet=10.51.0.0/16',
    'overlayd run --config /etc/overlayd/overlayd.yaml',
  ]).addOption(new Option('--config <FILE>', 'YAML file; its keys are the names of the flags'));
  const keyOfAttribute = new Map<string, string>();
  for (const { flag, key, kind, value, description, default: fallback } of OPTIONS) {
    const text = fallback === undefined ? description : `${description} (default: ${fallback})`;
    const option = new Option(kind === 'switch' ? `--${flag}` : `--${flag} <${value}>`, text);
    if (kind === 'list') {
      option.argParser<string[]>((item, items: string[] | undefined) => [...(items ?? []), item]);
    }
    keyOfAttribute.set(option.attributeName(), key);
    run.addOption(option);
  }
  return run.addHelpText('after', SPEC_HELP).action(async ({ config, ...values }: RunOptions) => {
    const flags: FlagValues = Object.fromEntries(
      Object.entries(values).map(([attribute, value]) => [keyOfAttribute.get(attribute) ?? attribute, value]),
    );
    // Not before it is asked for: client verbs need neither FFI nor the data path.
    const { serve } = await import('../serve.ts');
    context.exitCode = await serve({ flags, environment: context.environment, configFile: config }, context);
  });
}

type RunOptions = { readonly config?: string } & FlagValues;
