import { RING_MAX } from '../../proto/keyring/keyring.ts';
import { RotationDriver } from '../../proto/keyring/rotation-driver.ts';
import type { KeyCommandError } from '../../proto/keyring/rotation.ts';
import type { SecretKey } from '../../proto/keyring/secret-key.ts';
import type { StateNode } from '../../proto/state/interface.ts';
import type { SwimNode } from '../../proto/swim/interface.ts';
import { monotonicMs } from '../clock.ts';
import { parseKey } from '../config/keyring-file.ts';
import { OverlaydError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { GossipEncryption, KeyringEntry } from '../status.ts';
import type { GossipKeys } from './gossip-keys.ts';

/**
 * Rotation at work in a daemon: its timer, its file, its log lines, and the operator's commands. Keys are named by their
 * fingerprints everywhere; their bytes go nowhere but into the file and, wrapped, into the cluster's state.
 */
export interface KeyringControlOptions {
  readonly keys: GossipKeys;
  readonly swim: SwimNode;
  readonly state: StateNode;
  /** Something was written or announced. */
  readonly onChange: () => void;
  readonly log: Log;
}

/** How old the age of the primary on disk may be. */
const SAVE_EVERY_MS = 10 * 60_000;
/** Changes come in crowds while a cluster rotates. */
const SOON_MS = 50;

export class KeyringControl {
  readonly #options: KeyringControlOptions;
  readonly #driver: RotationDriver;
  #timer: NodeJS.Timeout | undefined;
  #savedMs = monotonicMs();
  #primary: string;
  #isClosed = false;

  constructor(options: KeyringControlOptions) {
    this.#options = options;
    const { keys, swim, state } = options;
    const { rotation } = keys;
    this.#primary = rotation.keyring.primary.fingerprint;
    this.#driver = new RotationDriver({ rotation, swim, state, onRing: (now) => this.#save(now) });
    this.#sleep();
  }

  /** Keyring records or members changed. */
  touch(): void {
    if (this.#isClosed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#run(), SOON_MS);
  }

  list(): KeyringEntry[] {
    const { rotation } = this.#driver;
    return rotation.status(this.#driver.holders()).map((key) => {
      return { ...key, missing: [...key.missing], primaryOf: [...key.primaryOf] };
    });
  }

  summary(): GossipEncryption {
    const entries = this.list();
    const next = entries.find(({ state }) => state === 'next');
    return {
      mode: this.#options.keys.sealing.mode,
      primary: this.#driver.rotation.keyring.primary.fingerprint,
      keys: entries.length,
      ...(next !== undefined && { next: next.fingerprint, waitingFor: next.missing }),
    };
  }

  /** Base64; the error does not quote it. Throws OverlaydError. */
  add(text: string): KeyringEntry {
    return this.hold(parseKey(text.trim(), 'the key'));
  }

  /** For all hosts. Throws OverlaydError when the ring is full. */
  hold(key: SecretKey): KeyringEntry {
    return this.#command(key.fingerprint, (rotation) => rotation.add(key));
  }

  use(name: string): KeyringEntry {
    const fingerprint = this.#resolve(name);
    return this.#command(fingerprint, (rotation) => rotation.use(fingerprint));
  }

  remove(name: string): KeyringEntry {
    const fingerprint = this.#resolve(name);
    const before = this.list().find((entry) => entry.fingerprint === fingerprint);
    this.#command(fingerprint, (rotation) => rotation.remove(fingerprint));
    return this.list().find((entry) => entry.fingerprint === fingerprint) ?? { ...before!, state: 'leaving' };
  }

  /** Between automatic rotations, from now on. */
  setInterval(intervalMs: number): void {
    // Who still gossips in clear could not follow.
    const isTransition = this.#options.keys.sealing.mode === 'transition';
    this.#driver.rotation.intervalMs = isTransition ? Infinity : intervalMs;
    this.touch();
  }

  /** A new key for all, as soon as may be, also after a restart; false where rotation is off. */
  renew(): boolean {
    let isOn = true;
    try {
      isOn = this.#driver.renew(monotonicMs());
    } catch (err) {
      // It stands all the same, as long as this daemon runs.
      if (!(err instanceof OverlaydError)) throw err;
      this.#options.log.error(
        { err },
        'that a new gossip key is due could not be kept; a restart forgets it',
      );
    }
    if (isOn) this.touch();
    return isOn;
  }

  /** Throws OverlaydError when these would not fit; whoever is held already takes no room. */
  assertRoomFor(keys: readonly SecretKey[]): void {
    const { fingerprints } = this.#driver.rotation.keyring;
    const more = keys.filter(({ fingerprint }) => !fingerprints.includes(fingerprint));
    if (more[0] !== undefined && fingerprints.length + more.length > RING_MAX)
      throw refusal('full', more[0].fingerprint);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    try {
      this.#save(monotonicMs());
    } catch (err) {
      this.#options.log.error({ err }, 'gossip keys could not be kept; after a restart they are learnt anew');
    }
  }

  #command(
    fingerprint: string,
    run: (rotation: GossipKeys['rotation']) => KeyCommandError | undefined,
  ): KeyringEntry {
    const error = run(this.#driver.rotation);
    if (error !== undefined) throw refusal(error, fingerprint);
    this.#run();
    const entry = this.list().find((each) => each.fingerprint === fingerprint);
    return entry ?? { fingerprint, bits: 0, origin: 'hand', state: 'leaving', missing: [], primaryOf: [] };
  }

  /** A whole fingerprint, or as much of it as is clear. */
  #resolve(name: string): string {
    const known = this.#driver.rotation.keyring.fingerprints;
    const found = known.filter((fingerprint) => fingerprint.startsWith(name.toLowerCase()));
    const [only] = found;
    if (only !== undefined && found.length === 1) return only;
    const what = found.length === 0 ? 'there is no key' : `${found.length} keys are called`;
    throw new OverlaydError('OVL_KEY_NOT_FOUND', `${what} ${JSON.stringify(name)}`, {
      hint: `Keys here: ${[...known].sort().join(', ')}.`,
      exitCode: 5,
    });
  }

  #run(): void {
    clearTimeout(this.#timer);
    const now = monotonicMs();
    try {
      this.#driver.run(now);
      if (now - this.#savedMs > SAVE_EVERY_MS) this.#save(now);
    } catch (err) {
      if (!(err instanceof OverlaydError)) throw err;
      this.#options.log.error({ err }, 'gossip keys stay as they are');
    }
    const { fingerprint } = this.#driver.rotation.keyring.primary;
    if (fingerprint !== this.#primary) {
      this.#options.log.info({ fingerprint }, 'gossip is sealed with another key');
      this.#primary = fingerprint;
    }
    this.#options.onChange();
    this.#sleep();
  }

  #sleep(): void {
    if (this.#isClosed) return;
    const waitMs = Math.max(SOON_MS, this.#driver.nextDeadline() - monotonicMs());
    this.#timer = setTimeout(() => this.#run(), waitMs);
  }

  #save(now: number): void {
    const { file, rotation } = this.#options.keys;
    file.write(rotation.saved(now));
    this.#savedMs = now;
  }
}

function refusal(error: KeyCommandError, fingerprint: string): OverlaydError {
  const words: Readonly<Record<KeyCommandError, readonly [message: string, hint: string]>> = {
    unknown: ['is not there', 'overlayd keyring ls shows what is.'],
    primary: [
      'is the one that seals, or is to be',
      'Use another one first: overlayd keyring use FINGERPRINT.',
    ],
    last: [
      'is the last one that was not made by rotation: no new host could join',
      'Add another one first: overlayd keyring add.',
    ],
    full: [
      'does not fit: the ring is full',
      'Remove keys that are not used: overlayd keyring remove FINGERPRINT.',
    ],
  };
  const [message, hint] = words[error];
  return new OverlaydError('OVL_KEYRING_REFUSED', `key ${fingerprint} ${message}`, {
    hint,
    exitCode: error === 'unknown' ? 5 : 1,
  });
}
