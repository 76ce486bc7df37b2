/**
 * `overlayd doctor` put together. A daemon that answers examines itself (agent/control/diagnosis.ts); without one, what
 * can be looked at from here is: configuration, rights, ports, files. Docker is asked from here in both cases.
 */
import type { ApiClient } from '../api/client.ts';
import type { Environment } from '../config/environment.ts';
import { loadConfig } from '../config/load.ts';
import type { RunConfig } from '../config/run-config.ts';
import { thisMachine } from '../config/underlay.ts';
import { OverlaydError } from '../errors.ts';
import { NOT_READY } from '../readiness.ts';
import type { FdbEntry, Status } from '../status.ts';
import { checkDocker } from './docker-checks.ts';
import type { OwnFacts } from './docker-checks.ts';
import { checkKeyringFile, checkStateDir } from './file-checks.ts';
import type { Finding } from './finding.ts';
import { findingOf, sorted } from './finding.ts';
import { checkMtu } from './mtu-checks.ts';
import { keptNetworks } from './kept-networks.ts';
import type { OwnNetwork } from './own-networks.ts';
import { checkOrdering, ownNetwork, ownSubnets } from './own-networks.ts';
import { checkPortsFree, checkSeeds } from './port-checks.ts';
import { checkLimits, checkRights, checkTun } from './process-checks.ts';

export interface ExamineOptions {
  readonly client: ApiClient;
  readonly environment: Environment;
  /** Looked at when no daemon answers. */
  readonly configFile: string | undefined;
  readonly dockerSocket: string;
}

export async function examine(options: ExamineOptions): Promise<Finding[]> {
  const { client, dockerSocket } = options;
  let own: OwnFacts | undefined;
  const findings: Finding[] = [];
  try {
    const status = await client.status();
    findings.push(...readiness(status), ...(await client.doctor()));
    own = await factsOf(client, status);
  } catch (error) {
    findings.push(findingOf('daemon', error));
    if (error instanceof OverlaydError && error.code === 'OVL_DAEMON_UNREACHABLE') {
      const local = await withoutDaemon(options);
      findings.push(...local.findings);
      own = local.own;
    }
  }
  if (own !== undefined) findings.push(...(await checkDockerAt(dockerSocket, own)));
  return sorted(findings);
}

function readiness({ ready, notReady = 'alone' }: Status): Finding[] {
  if (ready) return [];
  const { what, cure } = NOT_READY[notReady];
  return [{ check: 'daemon', severity: 'error', what: `the daemon is up but not ready: ${what}`, cure }];
}

async function factsOf(client: ApiClient, status: Status): Promise<OwnFacts> {
  const [networks, fdb] = await Promise.all([client.networks(), client.fdb()]);
  const own: OwnNetwork[] = [];
  for (const { name, tap, peers, subnet } of networks) {
    if (tap === undefined) continue;
    const { ranges } = subnet === undefined ? { ranges: [] } : await client.ranges(name);
    const known = ranges.map((range) => ({ ...range, isOurs: range.host === status.node }));
    const subnets = ownSubnets(await client.network(name), known);
    own.push(await ownNetwork({ name, tap, subnets, peers }, thisMachine));
  }
  return { networks: own, ports: [status.dataPort, status.gossipPort], remote: remoteOf(fdb) };
}

function remoteOf(fdb: readonly FdbEntry[]): OwnFacts['remote'] {
  return fdb.flatMap(({ network, mac, ips, owner, local }) =>
    local || owner === undefined ? [] : [{ network, mac, ips, owner }],
  );
}

/** What a start would meet. */
async function withoutDaemon({
  environment,
  configFile,
}: ExamineOptions): Promise<{ findings: Finding[]; own: OwnFacts | undefined }> {
  const findings: Finding[] = [...checkTun(), ...checkLimits()];
  let config: RunConfig;
  try {
    const loaded = await loadConfig({ flags: {}, environment, configFile }, thisMachine);
    ({ config } = loaded);
    for (const what of loaded.warnings) findings.push({ check: 'config', severity: 'warn', what });
  } catch (error) {
    return { findings: [...findings, ...checkRights([]), findingOf('config', error)], own: undefined };
  }
  findings.push(
    ...checkRights([config.dataPort, config.gossipPort]),
    ...checkStateDir(config.stateDir),
    ...checkKeyringFile(config.keyringFile),
    ...(await checkPortsFree(config)),
    ...(await checkSeeds(config.join)),
  );
  const networks = await Promise.all(keptNetworks(config).map((network) => ownNetwork(network, thisMachine)));
  const taps = networks.flatMap(({ name: network, tap, mtu }, i) => {
    // Before the first start there is none yet: that is no illness.
    return mtu === undefined
      ? []
      : [{ network, tap, mtu, encrypted: config.networks[i]?.encrypted === true }];
  });
  findings.push(...checkMtu({ dataPathAddr: config.dataPathAddr, underlayMtu: config.underlayMtu, taps }));
  return { findings, own: { networks, ports: [config.dataPort, config.gossipPort], remote: [] } };
}

async function checkDockerAt(socket: string, own: OwnFacts): Promise<Finding[]> {
  // The client of Docker takes longer to load than all the rest of the doctor.
  const { readDocker } = await import('./docker-facts.ts');
  try {
    return [...checkDocker(await readDocker(socket), own), ...(await checkOrdering())];
  } catch (error) {
    const { message, cause } = error as Error;
    const { code } = (cause ?? error) as NodeJS.ErrnoException;
    // No Docker here, or not started.
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return [];
    const denied = code === 'EACCES' || code === 'EPERM';
    return [
      {
        check: 'docker',
        severity: 'info',
        what: `Docker was not examined: ${denied ? `no right to open ${socket}` : message}`,
        cure: denied
          ? 'Run the doctor as root, or as a member of the group docker.'
          : 'Give its socket with --docker-socket.',
      },
    ];
  }
}
