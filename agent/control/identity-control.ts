import type { IdentityList } from '../../proto/state/identities.ts';
import { toHex } from '../../proto/state/bytes.ts';
import type { Revocation, RevocationAction } from '../../proto/state/revocation.ts';
import { canonicalHex } from '../../proto/state/revocation.ts';
import type { State } from '../../proto/state/state.ts';
import { TokenBucket } from '../../proto/state/token-bucket.ts';
import type { SwimNode } from '../../proto/swim/interface.ts';
import { monotonicMs } from '../clock.ts';
import { OverlaydError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Identity, RevokeRequest, RevokeResult } from '../status.ts';
import { identityFingerprint, keyText } from './identity-names.ts';
import type { Notices } from './notices.ts';
import type { RevocationFile } from './revocation-file.ts';

/**
 * Keys of hosts at work in a daemon: what the operator sees and orders, the file, the log lines. What is void and who may say so
 * is decided in proto/state.
 */
export interface IdentityControlOptions {
  readonly self: string;
  readonly selfKey: Uint8Array;
  readonly state: Pick<State, 'identities' | 'revocations' | 'revoke' | 'setListed'>;
  readonly swim: Pick<SwimNode, 'member'>;
  readonly file: RevocationFile;
  /** A new gossip key for all; false: rotation is off; undefined: gossip goes in clear. */
  readonly renewGossipKey: () => boolean | undefined;
  /** Something was said or does not count any more. */
  readonly onChange: () => void;
  /** For the doctor. */
  readonly notices: Pick<Notices, 'note'>;
  readonly log: Log;
}

type RevokedNote = NonNullable<Identity['revoked']>;

const FINGERPRINT_MIN = 8;
const LINES_PER_MINUTE = 30;

export class IdentityControl {
  readonly #options: IdentityControlOptions;
  readonly #selfHex: string;
  #told = new Set<string>();
  #isSelfTold = false;
  /** A member that says things again and again fills no disk with it. */
  readonly #lines = new TokenBucket(LINES_PER_MINUTE / 60, LINES_PER_MINUTE);

  constructor(options: IdentityControlOptions) {
    this.#options = options;
    this.#selfHex = toHex(options.selfKey);
    const { identities, revocations } = options.state;
    identities.onStranger = (name, keyHex, why) => this.#stranger(name, keyHex, why);
    // What is known from the last run is no news.
    this.#told = new Set(revocations.list().map((word) => idOf(word, true)));
    this.#checkListed();
  }

  /** To be called every few seconds: what was heard is kept, and told in the log. */
  tick(): void {
    const { state, file, log } = this.#options;
    try {
      file.write(state.revocations.version, () => state.revocations.saved());
    } catch (err) {
      log.error({ err }, 'revocations could not be kept; after a restart they are learnt anew');
    }
    this.tell();
  }

  /** Words may have changed: the log follows. */
  tell(): void {
    const { revocations } = this.#options.state;
    const words = [
      ...revocations.list().map((word) => ({ word, isObeyed: true })),
      ...revocations.refused().map((word) => ({ word, isObeyed: false })),
    ];
    const before = this.#told;
    this.#told = new Set(words.map(({ word, isObeyed }) => idOf(word, isObeyed)));
    for (const { word, isObeyed } of words) if (!before.has(idOf(word, isObeyed))) this.#tell(word, isObeyed);
    this.#tellSelf();
  }

  /** The operator's list is another. */
  setListed(listed: IdentityList | undefined): void {
    this.#options.state.setListed(monotonicMs(), listed);
    this.#checkListed();
    this.#options.onChange();
  }

  get fingerprint(): string {
    return identityFingerprint(this.#selfHex);
  }

  /** Why the others have nothing to do with this host any more. */
  revokedSelf(): RevokedNote | undefined {
    const word = this.#options.state.revocations.ofSelf(monotonicMs());
    return word && noteOf(word);
  }

  /** By name; a name has several entries when several keys came with it. */
  list(): Identity[] {
    const { identities, revocations } = this.#options.state;
    const found = new Map<string, Identity>();
    const add = (name: string, keyHex: string, known: Identity['known']): void => {
      const id = `${name} ${canonicalHex(keyHex)}`;
      if (!found.has(id)) found.set(id, this.#entry(name, keyHex, known));
    };
    add(this.#options.self, this.#selfHex, 'self');
    for (const [name, { keyHex }] of identities.listed ?? []) add(name, keyHex, 'file');
    if (identities.listed === undefined)
      for (const { name, keyHex } of identities.pins()) add(name, keyHex, 'first-sight');
    for (const { name, keyHex, action } of revocations.list())
      if (action !== 'restore') add(name, keyHex, 'revocation');
    for (const [name, keys] of identities.strangers()) for (const keyHex of keys) add(name, keyHex, 'seen');
    return [...found.values()].sort(
      (a, b) => compare(a.name, b.name) || compare(a.fingerprint, b.fingerprint),
    );
  }

  revoke({ node, fingerprint, undo = false }: RevokeRequest): RevokeResult {
    this.#checkRight();
    if (node === this.#options.self && !undo) {
      throw new OverlaydError('OVL_REVOKE_SELF', 'a host cannot revoke itself', {
        hint: 'Say it on another host, or take this one out with "overlayd leave".',
        exitCode: 2,
      });
    }
    if (undo)
      return this.#say(
        'restore',
        this.#keyOf(node, fingerprint, ({ state }) => state === 'revoked'),
      );
    return this.#say(
      'revoke',
      this.#keyOf(node, fingerprint, ({ state }) => state === 'pinned'),
    );
  }

  forget(name: string): RevokeResult {
    this.#checkRight();
    const { identities } = this.#options.state;
    if (name === this.#options.self || identities.listed?.has(name) === true) {
      throw new OverlaydError('OVL_IDENTITY_LISTED', `the key of "${name}" is not one that was seen first`, {
        hint: 'Change its line in the file of --identities on every host, and reload with SIGHUP.',
        exitCode: 2,
      });
    }
    return this.#say(
      'forget',
      this.#keyOf(name, undefined, ({ known, state }) => {
        return known === 'first-sight' || state === 'revoked';
      }),
    );
  }

  #say(action: RevocationAction, { name, key }: Identity): RevokeResult {
    const { state, swim, renewGossipKey, onChange } = this.#options;
    const keyHex = Buffer.from(key, 'base64').toString('hex');
    state.revoke(monotonicMs(), { action, name, keyHex, addr: swim.member(name)?.addr });
    const said = state.revocations.about(keyHex);
    if (said?.action !== action) {
      throw new OverlaydError('OVL_REVOCATION_REFUSED', `the word about "${name}" was not taken`, {
        hint: 'There are too many already: undo those that are not needed ("overlayd identities ls").',
      });
    }
    // Kept before the word is: a crash in between costs a key too many, not one too few.
    const isRotating = action === 'restore' ? false : renewGossipKey();
    this.tick();
    onChange();
    const gossipKey = isRotating === undefined ? 'clear' : isRotating ? 'rotating' : 'kept';
    return {
      identity: this.#entry(name, keyHex, action === 'restore' ? 'first-sight' : 'revocation'),
      gossipKey,
    };
  }

  #checkRight(): void {
    const { state, self } = this.#options;
    // What somebody has only shown us is no bar: else whoever shows such things to all forbids all revocations.
    const word = state.revocations.heldOfSelf();
    if (word !== undefined) {
      throw new OverlaydError(
        'OVL_REVOKED',
        `this host was itself revoked, by ${word.byName}: nobody would obey`,
        {
          hint: 'Say it on a host that is a member.',
          exitCode: 4,
        },
      );
    }
    if (state.identities.mayRevoke(self, this.#selfHex)) return;
    throw new OverlaydError('OVL_NOT_ADMIN', 'by the list of identities this host may not revoke others', {
      hint: 'Say it on a host that the file of --identities marks "admin".',
      exitCode: 4,
    });
  }

  /** The one entry of that name that is meant. */
  #keyOf(node: string, fingerprint: string | undefined, isMeant: (entry: Identity) => boolean): Identity {
    const all = this.list().filter(({ name }) => name === node);
    if (fingerprint !== undefined && !/^[0-9a-f]*$/i.test(fingerprint))
      throw badFingerprint(fingerprint, 'is no beginning of a fingerprint');
    if (fingerprint !== undefined && fingerprint.length < FINGERPRINT_MIN)
      throw badFingerprint(fingerprint, `is too short: give ${FINGERPRINT_MIN} digits or more`);
    const wanted = fingerprint?.toLowerCase();
    const found = all.filter((entry) => {
      return wanted === undefined ? isMeant(entry) : entry.fingerprint.startsWith(wanted);
    });
    const [only] = found;
    if (only !== undefined && found.length === 1) return only;
    const known = all.map((entry) => `${entry.fingerprint} (${entry.state})`).join(', ');
    const what = found.length === 0 ? 'no such key of' : 'several keys of';
    throw new OverlaydError('OVL_IDENTITY_NOT_FOUND', `there is ${what} a host "${node}"`, {
      hint:
        known === ''
          ? '"overlayd identities ls" shows whom this host knows.'
          : `Give --fingerprint: ${known}.`,
      exitCode: 5,
    });
  }

  #entry(name: string, keyHex: string, known: Identity['known']): Identity {
    const { identities, revocations } = this.#options.state;
    const word = revocations.about(keyHex);
    const isRevoked = identities.isRevokedKey(keyHex) && word !== undefined && word.action !== 'restore';
    const disputes = revocations
      .refused()
      .filter((other) => canonicalHex(other.keyHex) === canonicalHex(keyHex));
    const listed = identities.listed?.get(name);
    const isPinned = name === this.#options.self || identities.keyOf(name) === keyHex;
    return {
      name,
      fingerprint: identityFingerprint(keyHex),
      key: keyText(keyHex),
      known,
      state: isRevoked ? 'revoked' : isPinned ? 'pinned' : 'refused',
      ...(listed?.keyHex === keyHex && { admin: listed.isAdmin }),
      ...(isRevoked && { revoked: noteOf(word) }),
      ...(disputes.length > 0 && { disputed: disputes.map(noteOf) }),
    };
  }

  #tell(word: Revocation, isObeyed: boolean): void {
    if (canonicalHex(word.keyHex) === canonicalHex(this.#selfHex)) return;
    if (!this.#lines.take(monotonicMs(), 1)) return;
    const { log } = this.#options;
    const about = { peer: word.name, by: word.byName, fingerprint: identityFingerprint(word.keyHex) };
    if (!isObeyed) log.warn(about, 'a revoked host says of another that it is revoked; this is not obeyed');
    else if (word.action === 'restore') log.warn(about, 'peer is not revoked any more');
    else if (word.action === 'forget')
      log.warn(about, 'the key of a peer is void; its name takes the next key');
    else log.warn(about, 'peer is revoked: nothing of it counts, and nothing is sent to it');
  }

  #tellSelf(): void {
    const revoked = this.revokedSelf();
    const { log } = this.#options;
    if (revoked !== undefined) {
      const what = `this host is revoked, by ${revoked.by}: the others have nothing to do with it any more`;
      const cure = 'If that is a mistake, say "overlayd revoke --undo" on a host that is a member.';
      this.#note(what, cure);
      if (!this.#isSelfTold) log.error({ by: revoked.by }, `${what}. ${cure}`);
    }
    if (revoked === undefined && this.#isSelfTold) log.info({}, 'this host is not revoked any more');
    this.#isSelfTold = revoked !== undefined;
  }

  #stranger(peer: string, keyHex: string, why: 'other-key' | 'unlisted'): void {
    const { log, state } = this.#options;
    const isListed = state.identities.listed !== undefined;
    const how = {
      unlisted: 'which the list of identities does not have',
      'other-key': `under another key than ${isListed ? 'the list of identities has' : 'the one that was seen first'}`,
    }[why];
    const what = `refusing ${peer} ${how}: what it announces counts for nothing`;
    const cure = isListed
      ? `If it is to be a member: the line "${peer} ${keyText(keyHex)}" in the file of --identities, and SIGHUP.`
      : `If it was installed anew: overlayd identities forget ${peer}.`;
    log.warn({ peer, fingerprint: identityFingerprint(keyHex) }, `${what}. ${cure}`);
    this.#note(what, cure);
  }

  #checkListed(): void {
    const { self, state, log } = this.#options;
    const { listed } = state.identities;
    if (listed === undefined || listed.get(self)?.keyHex === this.#selfHex) return;
    const what =
      'the list of identities does not have this host with its key: hosts with such a list refuse it';
    const cure = `Its line is: ${self} ${keyText(this.#selfHex)}`;
    log.error({ fingerprint: this.fingerprint }, `${what}. ${cure}`);
    this.#note(what, cure);
  }

  #note(what: string, cure: string): void {
    this.#options.notices.note(monotonicMs(), { check: 'identity', severity: 'error', what, cure });
  }
}

const idOf = ({ keyHex, stamp, action, byKeyHex }: Revocation, isObeyed: boolean): string =>
  `${canonicalHex(keyHex)} ${stamp} ${action} ${byKeyHex} ${isObeyed}`;

function noteOf({ byName, stamp, action }: Revocation): RevokedNote {
  const at = new Date(Math.min(stamp, 8.64e15)).toISOString();
  return { by: byName, at, as: action === 'forget' ? 'forgotten' : 'revoked' };
}

const badFingerprint = (fingerprint: string, why: string): OverlaydError =>
  new OverlaydError('OVL_BAD_FINGERPRINT', `${JSON.stringify(fingerprint)} ${why}`, {
    hint: '"overlayd identities ls" shows fingerprints.',
    exitCode: 2,
  });

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
