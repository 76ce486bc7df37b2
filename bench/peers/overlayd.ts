/**
 * overlayd itself: a real daemon on each host, started as users start it, the second joining the first by gossip.
 * Network, VNI, TAP and ports are the defaults.
 */

import { randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Service } from '../harness/command.ts';
import { BenchError, PeerUnavailable, messageOf } from '../harness/errors.ts';
import { SIDES } from '../harness/testbed.ts';
import type { Side, Testbed } from '../harness/testbed.ts';
import type { Peer, RunningPeer } from './peer.ts';

const MAIN = fileURLToPath(new URL('../../agent/main.js', import.meta.url));
const TAP = 'tap0';
const KEY_BYTES = 32;
const READY_WITHIN_MS = 20_000;

export const overlaydBatchPeer: Peer = {
  id: 'overlayd-batch',
  title: 'overlayd --io batch',
  up: (bed) => upOverlayd(bed, 'batch', false),
};

export const overlaydSealedPeer: Peer = {
  id: 'overlayd-sealed',
  title: 'overlayd, encrypted',
  up: (bed) => upOverlayd(bed, 'batch', true),
};

export const overlaydDgramPeer: Peer = {
  id: 'overlayd-dgram',
  title: 'overlayd --io dgram',
  up: (bed) => upOverlayd(bed, 'dgram', false),
};

async function upOverlayd(bed: Testbed, io: 'batch' | 'dgram', isSealed: boolean): Promise<RunningPeer> {
  if (!existsSync(MAIN)) throw new PeerUnavailable('overlayd is not built (npm run build)');
  const scratch = bed.scratch('state of overlayd');
  const daemons: Service[] = [];
  const sealing = isSealed ? sealingOptions(scratch) : {};
  for (const side of SIDES) daemons.push(startDaemon(bed, side, scratch, { '--io': io, ...sealing }));
  const version = await waitForCluster(bed, daemons, scratch, io);
  return {
    devices: [TAP, TAP],
    isLayer2: true,
    daemonPids: daemons.map((daemon) => daemon.pid),
    version,
  };
}

/** Resolves with the version once both see each other; a failure carries what the daemons said as its hint. */
async function waitForCluster(
  bed: Testbed,
  daemons: readonly Service[],
  scratch: string,
  io: string,
): Promise<string> {
  try {
    for (const side of SIDES) {
      await daemons[side]!.waitUntil(() => existsSync(socketIn(scratch, side)), READY_WITHIN_MS, bed.signal);
      await client(bed, side, scratch, [
        'wait',
        '--for',
        'peers=1',
        '--timeout',
        `${READY_WITHIN_MS / 1000}s`,
      ]);
    }
    const status = JSON.parse(await client(bed, 0, scratch, ['status', '-o', 'json'])) as {
      io: string;
      version: string;
    };
    if (status.io === io) return status.version;
    throw new PeerUnavailable(`overlayd was asked for --io ${io} and runs ${status.io}`);
  } catch (error) {
    throw new BenchError(messageOf(error), {
      cause: error,
      hint: daemons.map((daemon) => daemon.output).join('\n'),
    });
  }
}

/** The default network, encrypted. */
function sealingOptions(scratch: string): Record<string, string> {
  const keyring = join(scratch, 'keyring');
  writeFileSync(keyring, `${randomBytes(KEY_BYTES).toString('base64')}\n`, { mode: 0o600 });
  return {
    '--keyring': keyring,
    '--network': `name=overlay,vni=4096,subnet=10.42.0.0/16,tap=${TAP},encrypted`,
  };
}

function startDaemon(bed: Testbed, side: Side, scratch: string, more: Record<string, string>): Service {
  const options = {
    '--node-name': `bench-${side}`,
    '--advertise-addr': bed.underlay[side],
    ...more,
    '--socket': socketIn(scratch, side),
    '--state-dir': join(scratch, `state-${side}`),
    '--metrics-addr': 'none',
    '--docker-socket': 'none',
    '--docker-plugin': 'none',
    ...(side === 1 && { '--join': bed.underlay[0] }),
  };
  return bed.start(side, [process.execPath, MAIN, 'run', ...Object.entries(options).flat()]);
}

/** A client verb against the daemon of a host; resolves with its stdout. */
function client(bed: Testbed, side: Side, scratch: string, verb: readonly string[]): Promise<string> {
  return bed.run(side, [process.execPath, MAIN, ...verb, '--socket', socketIn(scratch, side)]);
}

function socketIn(scratch: string, side: Side): string {
  return join(scratch, `overlayd-${side}.sock`);
}
