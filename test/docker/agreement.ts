/** Docker's word against overlayd's: what each engine has must be what the driver wrote down and what all hosts know, no more, no less. */
import { isDeepStrictEqual } from 'node:util';
import { until } from '../../agent/demo/process.ts';
import type { DriverHosts } from './driver-hosts.ts';
import type { Engine } from './engine.ts';

/** What a host said in an earlier run is in force for half a minute, until the next one has said everything again. */
const AGREE_MS = 45_000;

interface Inspected {
  readonly Id: string;
  readonly Name: string;
  readonly Containers: Readonly<
    Record<string, { readonly EndpointID: string; readonly MacAddress: string; readonly IPv4Address: string }>
  >;
}

/** Waits until all agree, or just the host with this index; says what does not. */
export async function allAgree(hosts: DriverHosts, only?: number): Promise<string[]> {
  let found: string[] = [];
  await until('all agree', AGREE_MS, async () => {
    const all = await disagreements(hosts);
    found = all.flatMap(({ index, problem }) => (only === undefined || index === only ? problem : []));
    return found.length === 0;
  }).catch(() => undefined);
  return found;
}

async function disagreements(hosts: DriverHosts): Promise<{ index: number; problem: string }[]> {
  const shown = await Promise.all(hosts.engines.map(networksOf));
  const problems: { index: number; problem: string }[] = [];
  const endpoints = shown.map((networks) => networks.flatMap(({ Containers }) => Object.values(Containers)));
  const everywhere = new Set(shown.flat().map(({ Name }) => Name));
  const macs = hosts.engines.flatMap(({ host }, index) =>
    (shown[index] ?? []).flatMap(({ Name, Containers }) =>
      Object.values(Containers).map(({ MacAddress, IPv4Address }) => ({
        network: Name,
        text: `${Name} ${MacAddress} ${bare(IPv4Address)} ${host.name}`,
      })),
    ),
  );
  for (const [index, { host }] of hosts.engines.entries()) {
    const say = (problem: string): void => void problems.push({ index, problem: `${host.name}: ${problem}` });
    const compare = (what: string, docker: readonly string[], ours: readonly string[]): void => {
      const [theirs, own] = [docker.toSorted(), ours.toSorted()];
      if (!isDeepStrictEqual(theirs, own)) say(`${what}: Docker ${theirs.join()}, we ${own.join()}`);
    };
    const records = hosts.records(index);
    const here = endpoints[index] ?? [];
    const keys = (kind: string): string[] => records.filter((row) => row.kind === kind).map(({ key }) => key);
    const ids = (shown[index] ?? []).map(({ Id }) => Id);
    const pools = records.filter(({ kind }) => kind === 'pool');
    const addresses = records.filter(({ use }) => use === 'endpoint');
    compare('networks', ids, keys('network'));
    compare(
      'pools',
      ids,
      pools.map(({ value }) => (value['network'] as string | undefined) ?? 'nobody'),
    );
    compare(
      'endpoints',
      here.map(({ EndpointID }) => EndpointID),
      keys('endpoint'),
    );
    compare(
      'addresses',
      here.map(({ IPv4Address }) => bare(IPv4Address)),
      addresses.map(({ value }) => String(value['ip'])),
    );
    const gateways = records.filter(({ use }) => use === 'gateway').length;
    if (gateways !== ids.length) say(`${gateways} gateways of ${ids.length} networks`);
    const left = [...host.ip('-o', 'link').matchAll(/ (ovl[0-9a-f]+)[:@]/g)].map(([, name]) => name);
    if (left.length > 0) say(`interfaces of no container: ${left.join()}`);
    const daemon = hosts.daemon(index);
    const known = (await daemon.status()).networks.map(({ name }) => name);
    compare('known networks', ['overlay', ...everywhere], known);
    // Only who takes part in a network hears of the others on it.
    const parts = new Set((shown[index] ?? []).filter(hasContainers).map(({ Name }) => Name));
    const rows = (await daemon.fdb()).filter(({ network }) => network !== 'overlay');
    compare(
      'forwarding',
      macs.filter(({ network }) => parts.has(network)).map(({ text }) => text),
      rows.map(({ network, mac, ips, owner }) => `${network} ${mac} ${ips.join('+')} ${owner}`),
    );
  }
  return problems;
}

async function networksOf(engine: Engine): Promise<Inspected[]> {
  const ids = await engine.docker('network', 'ls', '-q', '--no-trunc', '-f', 'driver=overlayd');
  if (ids === '') return [];
  return JSON.parse(await engine.docker('network', 'inspect', ...ids.split('\n'))) as Inspected[];
}

function hasContainers({ Containers }: Inspected): boolean {
  return Object.keys(Containers).length > 0;
}

function bare(cidr: string): string {
  return cidr.split('/')[0] ?? '';
}
