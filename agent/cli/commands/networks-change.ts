/** `overlayd networks create` and `rm`, for all hosts; `attach` and `detach`, for this one. */
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

export function attachCommand(context: CliContext): Command {
  return clientVerb('attach', 'put a TAP of this host on a network, for macvlan', [
    'overlayd networks attach blue',
    'overlayd networks attach blue --tap blue0',
    'sh -c "$(overlayd docker-command blue)"    then: a Docker network on it',
  ])
    .argument('<NAME>', 'name or id of the network')
    .option('--tap <IFNAME>', 'its interface (default: "ov" and the VNI)')
    .action(async (name: string, _: unknown, command: Command) => {
      const options: ClientOptions & { readonly tap?: string } = command.optsWithGlobals();
      const network = await withClient(options.socket, (client) => client.networkAttach(name, options.tap));
      if (options.output === 'json') printJson(context, network);
      else {
        const { tap = '-', mtu = '-' } = network;
        context.out(printable(`network ${network.name} is on ${tap}, MTU ${mtu}`) + '\n');
      }
    });
}

export function detachCommand(context: CliContext): Command {
  return clientVerb('detach', 'take that TAP away; refused while containers are seen on it', [
    'overlayd networks detach blue',
    'overlayd networks detach blue --force    containers on it lose their interface',
  ])
    .argument('<NAME>', 'name or id of the network')
    .option('--force', 'also when containers are on it')
    .action(async (name: string, _: unknown, command: Command) => {
      const options: ClientOptions & { readonly force?: true } = command.optsWithGlobals();
      const { force = false } = options;
      const network = await withClient(options.socket, (client) => client.networkDetach(name, force));
      if (options.output === 'json') printJson(context, network);
      else context.out(`network ${printable(network.name)} is detached here\n`);
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
