/** `overlayd networks create` and `rm`: what changes networks, for all hosts. */
import { Option } from 'commander';
import type { Command } from 'commander';
import { networkCreateSchema } from '../../config/schema.ts';
import type { NetworkCreate } from '../../config/schema.ts';
import { numberIfDigits } from '../../config/spec.ts';
import { OverlaydError } from '../../errors.ts';
import { describeUse } from '../../networks/uses.ts';
import { clientVerb, withClient } from '../client-command.ts';
import type { ClientOptions } from '../client-command.ts';
import type { CliContext } from '../context.ts';
import { printJson, printable } from '../output.ts';

interface CreateFlags {
  readonly subnet?: readonly string[];
  readonly gateway?: readonly string[];
  readonly vni?: string;
  readonly mtu?: string;
  readonly encrypted?: true;
  readonly internal?: true;
  readonly label?: readonly string[];
}

const collect = (text: string, before: readonly string[] = []): string[] => [...before, text];

export function createCommand(context: CliContext): Command {
  return clientVerb('create', 'make a network; all hosts know it then', [
    'overlayd networks create blue',
    'overlayd networks create blue --subnet 10.50.0.0/16 --gateway 10.50.0.1 --encrypted',
    'overlayd networks create blue --subnet 10.50.0.0/16 --subnet fd50::/64 --label team=web',
  ])
    .argument('<NAME>', 'name of the network, the same on every host')
    .addOption(
      new Option(
        '--subnet <CIDR>',
        'its addresses; once for IPv4, once for IPv6 (default: a free /20 from 10.43.0.0 on)',
      ).argParser(collect),
    )
    .addOption(new Option('--gateway <IP>', 'its gateway, in the subnet; as often').argParser(collect))
    .option('--vni <N>', 'VXLAN network identifier (default: a free one from 4097 on)')
    .option('--mtu <N>', 'MTU of interfaces on it (default: what the underlay of this host carries)')
    .option('--encrypted', 'seal it between hosts; all need a keyring')
    .option('--internal', 'no way out of it is wanted')
    .addOption(new Option('--label <KEY=VALUE>', 'a label; repeatable').argParser(collect))
    .action(async (name: string, _: unknown, command: Command) => {
      const options: ClientOptions & CreateFlags = command.optsWithGlobals();
      const spec = createSpec(name, options);
      const network = await withClient(options.socket, (client) => client.networkCreate(spec));
      if (options.output === 'json') printJson(context, network);
      else {
        const { vni, subnet, subnet6, mtu } = network;
        const subnets = [subnet, subnet6].filter((each) => each !== undefined).join(', ');
        context.out(
          printable(`network ${network.name}: VNI ${vni}, subnet ${subnets || 'none'}, MTU ${mtu}`) + '\n',
        );
      }
    });
}

export function removeCommand(context: CliContext): Command {
  return clientVerb('rm', 'remove a network from all hosts; refused while something uses it', [
    'overlayd networks rm blue',
    'overlayd networks rm blue --force    cuts containers off it, on every host',
  ])
    .argument('<NAME>', 'name or id of the network')
    .option('--force', 'also when it is used: the interfaces of containers on it go, on every host')
    .action(async (name: string, _: unknown, command: Command) => {
      const options: ClientOptions & { readonly force?: true } = command.optsWithGlobals();
      const { force = false } = options;
      const removal = await withClient(options.socket, (client) => client.networkRemove(name, force));
      if (options.output === 'json') printJson(context, removal);
      else {
        context.out(`network ${printable(removal.name)} removed\n`);
        for (const use of removal.cut) context.err(`cut: ${printable(describeUse(use))}\n`);
      }
    });
}

/** Checked here too, so that a mistyped flag is said by its name. */
function createSpec(name: string, flags: CreateFlags): NetworkCreate {
  const { subnet: subnets, gateway: gateways, vni, mtu, encrypted, internal, label } = flags;
  const given = {
    name,
    subnets,
    gateways,
    vni: vni === undefined ? undefined : numberIfDigits(vni),
    mtu: mtu === undefined ? undefined : numberIfDigits(mtu),
    encrypted,
    internal,
    labels: label && Object.fromEntries(label.map(labelOf)),
  };
  const result = networkCreateSchema.safeParse(
    Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  );
  if (result.success) return result.data;
  const messages = result.error.issues.map(({ path: [key], message }) => `${flagOf(key)}: ${message}`);
  throw new OverlaydError('OVL_USAGE', messages.join('\n'), { exitCode: 2 });
}

function flagOf(key: PropertyKey | undefined): string {
  if (key === 'name') return 'NAME';
  return `--${String(key).replace(/s$/, '').replace('label', 'label KEY=VALUE')}`;
}

function labelOf(text: string): [string, string] {
  const at = text.indexOf('=');
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
