/** The start-up report: what the daemon took and made, in one place, and how to put containers on it. */
import { formatHostPort } from '../config/address.ts';
import type { StartupNetwork, StartupReport } from '../status.ts';
import { IP_RANGE_NOTE, dockerLine } from './docker-line.ts';
import { renderTable } from './output.ts';

export function renderReport(report: StartupReport): string {
  const { networks } = report;
  const lines = [
    `overlayd ${report.version} is up`,
    `  node        ${report.node}`,
    `  gossip      ${formatHostPort(report.advertiseAddr, report.gossipPort)} (UDP and TCP)`,
    `  sealing     ${sealingText(report)}`,
    `  data        ${formatHostPort(report.dataPathAddr, report.dataPort)} (UDP, VXLAN)`,
    `  io          ${report.io}, ${report.workers} ${report.workers === 1 ? 'worker' : 'workers'}`,
    ...(report.sealing === undefined ? [] : [`  cipher      ${report.sealing}`]),
    `  seeds       ${report.seeds.length === 0 ? 'none: waiting to be joined' : report.seeds.join(', ')}`,
    `  socket      ${report.socket}`,
    `  docker      ${dockerText(report)}`,
    `  metrics     ${report.metricsAddr === undefined ? 'off' : `http://${report.metricsAddr}/metrics`}`,
    '',
    indent(networkTable(networks)),
    'To put containers on a network, on every host:',
    ...networks.map((network) => `  ${dockerHelp(network)}`),
  ];
  if (networks.some(({ ipRange }) => ipRange === undefined)) lines.push('', `Note: ${IP_RANGE_NOTE}`);
  return `${lines.join('\n')}\n`;
}

function sealingText({ gossipEncryption: { mode, primary } }: StartupReport): string {
  if (mode === 'off') return 'none: gossip in clear (--keyring seals it)';
  const also = mode === 'transition' ? '; clear gossip is taken too (--gossip-encryption transition)' : '';
  return `gossip, key ${primary ?? '-'}${also}`;
}

function dockerText({ dockerDriver }: StartupReport): string {
  if (dockerDriver === undefined) return 'no network driver';
  return `network driver "${dockerDriver.name}" on ${dockerDriver.path}`;
}

function networkTable(networks: readonly StartupNetwork[]): string {
  return renderTable(
    networks,
    [
      { title: 'NETWORK', value: ({ name }) => name },
      { title: 'VNI', value: ({ vni }) => vni },
      { title: 'TAP', value: ({ tap, tapExisted }) => (tapExisted ? `${tap} (was there)` : tap) },
      { title: 'MTU', value: ({ mtu }) => mtu },
      { title: 'SUBNET', value: ({ subnet }) => subnet },
      { title: 'ENCRYPTION', value: ({ encrypted }) => (encrypted ? 'sealed' : 'none') },
    ],
    { output: 'table', header: true },
  );
}

export function dockerHelp({ subnet, ...network }: StartupNetwork): string {
  if (subnet === undefined) return `network "${network.name}" has no subnet: give it one with subnet=CIDR`;
  return dockerLine({ subnet, ...network });
}

function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '  ');
}
