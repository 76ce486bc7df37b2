/**
 * The annotated configuration file, made from the table of options and the schemas: packaging/overlayd.yaml is a copy, and a
 * test holds it against this, so that no key is without its line.
 */
import { OPTIONS, environmentName } from './options.ts';
import type { OptionRow } from './options.ts';
import { networkSchema, staticPeerSchema } from './schema.ts';

const WIDTH = 100;

/** What stands behind the key where the default is no value that could be written there. */
const EXAMPLES: Readonly<Record<string, string>> = {
  'node-name': 'host-a',
  'advertise-addr': '192.0.2.1',
  'data-path-addr': '198.51.100.1',
  join: '[192.0.2.2, host-b:7946]',
  keyring: '/etc/overlayd/keyring',
  identities: '/etc/overlayd/identities',
  'gossip-encryption': 'required',
  io: 'batch',
  'log-format': 'json',
};

const NETWORK: Readonly<Record<string, readonly [example: string, meaning: string]>> = {
  name: ['blue', 'the same on all hosts; needed'],
  vni: ['100', 'VXLAN network identifier, 1 to 16777215, the same on all hosts; needed'],
  subnet: ['10.50.0.0/16', 'the same on all hosts'],
  gateway: ['10.50.0.1', 'for docker-command; the same on all hosts'],
  'ip-range': ['10.50.1.0/24', "addresses that Docker on this host gives out; each host's own"],
  tap: ['tap1', 'interface that containers hang on; default: tap0 for the first network, tap1 for the next'],
  mtu: ['1450', 'of the TAP; default: what the underlay carries'],
  encrypted: ['true', 'sealed between hosts; needs a keyring'],
};

const STATIC_PEER: Readonly<Record<string, readonly [example: string, meaning: string]>> = {
  ip: ['192.0.2.20', 'underlay address of the VXLAN endpoint; needed'],
  network: ['overlay', 'name of the network that it is on; needed'],
  macs: ['["02:00:00:00:00:09"]', 'MACs behind it; others are learnt from its frames'],
};

export function renderReference(): string {
  const parts = [
    comment([
      'Configuration of overlayd: overlayd run --config FILE. All keys, with their defaults; none is needed.',
      'Each is a flag and an environment variable too: flags beat environment beats this file beats the default.',
      'Made from the schema; "reload" says that SIGHUP (systemctl reload) takes a change over without a restart.',
    ]),
    ...OPTIONS.map(optionText),
  ];
  return `${parts.join('\n\n')}\n`;
}

function optionText(option: OptionRow): string {
  const { key, flag, kind, description, default: fallback, reloadable } = option;
  const facts = [
    `default: ${fallback ?? (kind === 'switch' ? 'false' : 'none')}`,
    reloadable === true ? 'reload' : 'restart',
    `--${flag}`,
    environmentName(flag),
  ];
  return [comment([`${key}: ${description}.`, facts.join(' · ')]), ...valueLines(option)].join('\n');
}

function valueLines({ key, kind, default: fallback }: OptionRow): string[] {
  if (key === 'networks') return listLines(key, Object.keys(networkSchema.shape), NETWORK);
  if (key === 'static-peers') return listLines(key, Object.keys(staticPeerSchema.shape), STATIC_PEER);
  return [`#${key}: ${EXAMPLES[key] ?? (kind === 'switch' ? 'false' : (fallback ?? ''))}`];
}

/** One item of a list of mappings, a key a line. */
function listLines(
  key: string,
  fields: readonly string[],
  texts: Readonly<Record<string, readonly [string, string]>>,
): string[] {
  const lines = fields.map((field, index) => {
    const [example = '', meaning = ''] = texts[field] ?? [];
    return `#  ${index === 0 ? '-' : ' '} ${`${field}: ${example}`.padEnd(30)} # ${meaning}`;
  });
  return [`#${key}:`, ...lines];
}

/** Lines that begin with "# " are words; those with "#" and no blank, and the items under them, are keys. */
function comment(paragraphs: readonly string[]): string {
  return paragraphs.flatMap((paragraph) => wrap(paragraph)).join('\n');
}

function wrap(paragraph: string): string[] {
  const lines: string[] = [];
  let line = '#';
  for (const word of paragraph.split(' ')) {
    if (line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = '#';
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}
