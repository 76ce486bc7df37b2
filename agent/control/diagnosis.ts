import { release } from 'node:os';
import type { EchoStatus } from '../../proto/tunnel/echo.ts';
import { TABLE } from '../../proto/state/interface.ts';
import type { StateNode } from '../../proto/state/interface.ts';
import { macKeyHex, macText } from '../../proto/state/values/mac.ts';
import type { SwimNode } from '../../proto/swim/interface.ts';
import type { NetworkConflict } from '../../proto/networks/resolve.ts';
import { monotonicMs } from '../clock.ts';
import type { RunConfig } from '../config/run-config.ts';
import { thisMachine } from '../config/underlay.ts';
import type { Dataplane } from '../dataplane/dataplane.ts';
import { checkKeyringFile, checkStateDir } from '../doctor/file-checks.ts';
import type { Finding } from '../doctor/finding.ts';
import { sorted } from '../doctor/finding.ts';
import { checkMtu, checkPathMtus } from '../doctor/mtu-checks.ts';
import { checkDefinitions, checkDuplicates, checkKeys } from '../doctor/network-checks.ts';
import { checkPeers } from '../doctor/peer-checks.ts';
import { checkSeeds } from '../doctor/port-checks.ts';
import { checkLimits, checkOffloads, checkRights, checkTun } from '../doctor/process-checks.ts';
import type { KeyringEntry } from '../status.ts';
import type { Notices } from './notices.ts';
import type { Reconciler } from './reconciler.ts';
import type { StatusView } from './status-view.ts';

/** A running daemon examines itself: the daemon's half of `overlayd doctor`. */
export interface DiagnosisParts {
  readonly config: RunConfig;
  readonly view: StatusView;
  readonly swim: SwimNode;
  readonly state: StateNode;
  readonly reconciler: Reconciler;
  readonly dataplane: Dataplane;
  /** None without a keyring. */
  readonly keys: () => readonly KeyringEntry[];
  readonly echoes: () => readonly EchoStatus[];
  readonly notices: Notices;
  readonly conflicts: () => readonly NetworkConflict[];
}

/** Direct probes come by turns: by then each live host was asked several times. */
const PROBED_AFTER_MS = 6_000;
const PROBED_PER_PEER_MS = 2_000;
/** Endpoints whose claims are compared; a daemon with more is not held up by its doctor. */
const CLAIMS_MAX = 20_000;
const STALL_MS = 1_000;

export async function diagnose(parts: DiagnosisParts): Promise<Finding[]> {
  const { config, view, dataplane, notices } = parts;
  const peers = view.peers();
  const isAlone = !peers.some((peer) => peer.state === 'alive');
  return sorted([
    ...checkRights([config.dataPort, config.gossipPort]),
    ...checkTun(),
    ...checkLimits(),
    ...checkOffloads(dataplane.ioDescription, release()),
    ...checkStateDir(config.stateDir),
    ...checkKeyringFile(config.keyringFile),
    ...checkMtu(await mtuFacts(config, view)),
    ...checkPathMtus(peers, config.underlayMtu),
    ...checkPeers({
      peers,
      echoes: parts.echoes(),
      tcpOnly: tcpOnly(parts.swim),
      encrypted: new Set(
        view.networks().flatMap(({ name, encrypted, tap }) => (encrypted && tap ? [name] : [])),
      ),
      gossipPort: config.gossipPort,
      dataPort: config.dataPort,
      expectsPeers: config.join.length > 0,
    }),
    ...(isAlone ? await checkSeeds(config.join) : []),
    ...checkDefinitions(parts.conflicts()),
    ...checkKeys(parts.keys()),
    ...checkDuplicates(view.fdb(), contested(parts)),
    ...checkLoop(dataplane),
    ...checkTaps(config),
    ...notices.recent(monotonicMs()),
  ]);
}

async function mtuFacts(config: RunConfig, view: StatusView): Promise<Parameters<typeof checkMtu>[0]> {
  const { dataPathAddr } = config;
  const underlay = thisMachine.addresses().find(({ ip }) => ip === dataPathAddr)?.interfaceName;
  const taps = view
    .networks()
    .flatMap(({ name, tap, encrypted }) => (tap === undefined ? [] : [{ network: name, tap, encrypted }]));
  return {
    dataPathAddr,
    underlayMtu: underlay === undefined ? undefined : await thisMachine.mtu(underlay),
    taps: await Promise.all(taps.map(async (row) => ({ ...row, mtu: await thisMachine.mtu(row.tap) }))),
  };
}

/** A round trip is measured by UDP probes alone. */
function tcpOnly(swim: SwimNode): string[] {
  const members = swim.members();
  const patienceMs = Math.max(PROBED_AFTER_MS, members.length * PROBED_PER_PEER_MS);
  return members
    .filter(({ name, state, rttMs, stateChangeMs }) => {
      const isOld = monotonicMs() - stateChangeMs > patienceMs;
      return name !== swim.self.name && state === 'alive' && rttMs === undefined && isOld;
    })
    .map(({ name }) => name);
}

/** MACs that more than one live host claims. */
function contested({
  state,
  reconciler,
  view,
}: DiagnosisParts): { network: string; mac: string; owners: string[] }[] {
  const names = new Map(view.networks().map(({ vni, name }) => [vni, name]));
  const found: { network: string; mac: string; owners: string[] }[] = [];
  let looked = 0;
  for (const { vni, mac } of reconciler.view.endpoints()) {
    if (++looked > CLAIMS_MAX) break;
    const claims = state.claims(vni, TABLE.endpoint, macKeyHex(mac));
    if (claims.length < 2) continue;
    const owners = [...new Set(claims.filter(({ held }) => !held).map(({ owner }) => owner))].sort();
    if (owners.length > 1) found.push({ network: names.get(vni) ?? `vni-${vni}`, mac: macText(mac), owners });
  }
  return found;
}

function checkLoop(dataplane: Dataplane): Finding[] {
  const ageMs = dataplane.heartbeatAgeMs();
  const restarts = dataplane.counters().counters['worker-restarts'] ?? 0;
  const findings: Finding[] = [];
  if (ageMs > STALL_MS) {
    findings.push({
      check: 'workers',
      severity: 'error',
      what: `the packet loop has been silent for ${Math.round(ageMs / 1_000)} s`,
      cure: 'It is ended and started anew by itself; if this comes again, the machine is short of CPU.',
    });
  }
  if (restarts > 0) {
    findings.push({
      check: 'workers',
      severity: 'warn',
      what: `data path workers died and were started anew ${restarts} times`,
      cure: 'The log has the reason of each; please report it.',
    });
  }
  return findings;
}

function checkTaps({ removeTapsOnExit }: RunConfig): Finding[] {
  if (!removeTapsOnExit) return [];
  return [
    {
      check: 'docker-t5',
      // Somebody asked for it: good to know, and no illness.
      severity: 'info',
      what: 'with --remove-taps-on-exit containers lose their interfaces whenever overlayd ends',
      cure: 'Take it away, unless nothing runs on the TAPs.',
    },
  ];
}
