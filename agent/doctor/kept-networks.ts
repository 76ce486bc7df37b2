/**
 * The networks of this host while no daemon runs: those of the configuration, and what the state folder tells of TAPs that
 * were attached by a word and of the ranges of addresses. Looks, and changes nothing.
 */
import { parseBlock, blockText } from '../../proto/ipam/block.ts';
import { configuredId } from '../../proto/networks/resolve.ts';
import type { RunConfig } from '../config/run-config.ts';
import { RangeFile } from '../ipam/range-file.ts';
import { LocalFiles } from '../networks/local-files.ts';
import { NetworkFile } from '../networks/network-file.ts';
import type { OwnNetwork, OwnRange } from './own-networks.ts';
import { ownSubnets } from './own-networks.ts';

type KeptNetwork = Omit<OwnNetwork, 'mtu' | 'persistent'>;

/** What cannot be read is of no use here, and the daemon says it. */
const NO_LOG = { error: (): void => undefined, warn: (): void => undefined };

export function keptNetworks({
  networks,
  stateDir,
}: Pick<RunConfig, 'networks' | 'stateDir'>): KeptNetwork[] {
  const made = new NetworkFile(stateDir, NO_LOG).peek()?.made ?? [];
  const attached = new Map(
    new LocalFiles(stateDir, NO_LOG).attachments().map(({ network, tap }) => [network, tap]),
  );
  const configured = networks.map((network) => {
    // A made one of its name may be the one that stands.
    const ids = [configuredId(network), ...made.filter(({ name }) => name === network.name).map(idOf)];
    const { name, tap, subnet } = network;
    return { name, tap, subnets: ownSubnets(network, rangesOf(stateDir, ids, [subnet])), peers: 0 };
  });
  const byWord = made.flatMap((network): KeptNetwork[] => {
    const tap = attached.get(idOf(network));
    if (tap === undefined) return [];
    const { name, subnet, gateway, made: more } = network;
    const addressing = { subnet, gateway, subnet6: more.subnet6, gateway6: more.gateway6 };
    const known = Object.fromEntries(Object.entries(addressing).filter(([, text]) => text !== ''));
    const ranges = rangesOf(stateDir, [idOf(network)], [subnet, more.subnet6]);
    return [{ name, tap, subnets: ownSubnets(known, ranges), peers: 0 }];
  });
  return [...configured, ...byWord];
}

const idOf = ({ made }: { readonly made: { readonly id: string } }): string => made.id;

/** Ours, and those of which we keep a copy. */
function rangesOf(
  stateDir: string,
  ids: readonly string[],
  subnets: readonly (string | undefined)[],
): OwnRange[] {
  return subnets.flatMap((text): OwnRange[] => {
    const subnet = text === undefined ? undefined : parseBlock(text);
    if (subnet === undefined) return [];
    const { block, family } = subnet;
    for (const id of ids) {
      const holding = new RangeFile(stateDir, { id, family, subnet: block }, NO_LOG).peek()?.holding;
      // Not part of the pool under this id.
      if (holding === undefined || holding.life === 0) continue;
      const wards = [...holding.wards].map(([host, { estate }]) => ({ host, isOurs: false, estate }));
      return [{ host: '', isOurs: true, estate: holding.estate }, ...wards].map(
        ({ host, isOurs, estate: { own, docker } }) => ({
          host,
          isOurs,
          cidrs: own.map((each) => blockText(each, family)),
          docker: docker.map((each) => blockText(each, family)),
        }),
      );
    }
    return [];
  });
}
