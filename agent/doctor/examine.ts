/**
 * `overlayd doctor` put together. A daemon that answers examines itself (agent/control/diagnosis.ts); without one, what
 * can be looked at from here is: configuration, rights, ports, files. Docker is asked from here in both cases.
 */
import { existsSync } from 'node:fs';
import type { ApiClient } from '../api/client.ts';
import type { Environment } from '../config/environment.ts';
import { readConfigFile } from '../config/file.ts';
import { loadConfig } from '../config/load.ts';
import type { RunConfig } from '../config/run-config.ts';
import { thisMachine } from '../config/underlay.ts';
import { OverlaydError } from '../errors.ts';
import { NOT_READY } from '../readiness.ts';
import type { FdbEntry, Status } from '../status.ts';
import { checkDocker } from './docker-checks.ts';
import type { OwnFacts } from './docker-checks.ts';
import { checkIdentitiesFile, checkKeyringFile, checkStateDir } from './file-checks.ts';
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
  /** Looked at when no daemon answers. Undefined: that of the unit, where it is there. */
  readonly configFile: string | undefined;
  /** Asked for by the user; undefined: the daemon's own, or Docker's usual one. */
  readonly dockerSocket: string | undefined;
  /** Docker's usual one. */
  readonly defaultDockerSocket: string;
  /** For tests. */
  readonly unitConfig?: string;
}

/** What the shipped unit runs with. */
const UNIT_CONFIG = '/etc/overlayd/overlayd.yaml';

export async function examine(options: ExamineOptions): Promise<Finding[]> {
  const { client } = options;
  const configFile = configFileOf(options);
  let own: OwnFacts | undefined;
  const findings: Finding[] = [];
  try {
    const status = await client.status();
    findings.push(...readiness(status), ...(await client.doctor()));
    own = await factsOf(client, status);
  } catch (error) {
    findings.push(findingOf('daemon', error));
    if (error instanceof OverlaydError && error.code === 'OVL_DAEMON_UNREACHABLE') {
      const local = await withoutDaemon(options.environment, configFile);
      findings.push(...local.findings);
      own = local.own;
    }
  }
  const docker = dockerSocketOf(options, configFile);
  if (own !== undefined && docker !== undefined) findings.push(...(await checkDockerAt(docker, own)));
  return sorted(findings);
}

function configFileOf({
  configFile,
  environment,
  unitConfig = UNIT_CONFIG,
}: ExamineOptions): string | undefined {
  return configFile ?? (environment['OVERLAYD_CONFIG'] || (existsSync(unitConfig) ? unitConfig : undefined));
}

interface DockerSocket {
  readonly path: string;
  /** The daemon was told to ask there: that nobody answers is wrong. */
  readonly isConfigured: boolean;
}

/** Undefined: the daemon is not to ask Docker. */
function dockerSocketOf(
  { dockerSocket, environment, defaultDockerSocket }: ExamineOptions,
  configFile: string | undefined,
): DockerSocket | undefined {
  if (dockerSocket !== undefined) return { path: dockerSocket, isConfigured: false };
  const configured = environment['OVERLAYD_DOCKER_SOCKET'] || dockerSocketIn(configFile);
  if (configured === undefined) return { path: defaultDockerSocket, isConfigured: false };
  return configured === 'none' ? undefined : { path: configured, isConfigured: true };
}

/** What is wrong with the file is said by who loads all of it. */
function dockerSocketIn(configFile: string | undefined): string | undefined {
  try {
    return configFile === undefined ? undefined : readConfigFile(configFile).values['docker-socket'];
  } catch {
    return undefined;
  }
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
async function withoutDaemon(
  environment: Environment,
  configFile: string | undefined,
): Promise<{ findings: Finding[]; own: OwnFacts | undefined }> {
  const what = `no daemon runs: examined is what one would meet with ${configFile ?? 'the defaults'}`;
  const cure = 'Its own file: --config FILE. Flags of the daemon are not known here.';
  const findings: Finding[] = [
    { check: 'examined', severity: 'info', what, cure },
    ...checkTun(),
    ...checkLimits(),
  ];
  let config: RunConfig;
  try {
    const loaded = await loadConfig({ flags: {}, environment, configFile }, thisMachine);
    ({ config } = loaded);
    for (const warning of loaded.warnings)
      findings.push({ check: 'config', severity: 'warn', what: warning });
  } catch (error) {
    return { findings: [...findings, ...checkRights([]), findingOf('config', error)], own: undefined };
  }
  findings.push(
    ...checkRights([config.dataPort, config.gossipPort]),
    ...checkStateDir(config.stateDir),
    ...checkKeyringFile(config.keyringFile),
    ...checkIdentitiesFile(config.identitiesFile),
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

async function checkDockerAt(docker: DockerSocket, own: OwnFacts): Promise<Finding[]> {
  const { path: socket, isConfigured } = docker;
  // The client of Docker takes longer to load than all the rest of the doctor.
  const { readDocker } = await import('./docker-facts.ts');
  try {
    return [...checkDocker(await readDocker(socket), own), ...(await checkOrdering())];
  } catch (error) {
    const { message, cause } = error as Error;
    const { code } = (cause ?? error) as NodeJS.ErrnoException;
    // No Docker here, or not started.
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return isConfigured ? [nobodyAt(socket)] : [];
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

function nobodyAt(socket: string): Finding {
  return {
    check: 'docker',
    severity: 'warn',
    what: `nobody answers on ${socket}, where the daemon is to ask Docker for names`,
    cure: 'Start Docker, or correct docker-socket (--docker-socket, OVERLAYD_DOCKER_SOCKET): none, where there is no Docker.',
  };
}
