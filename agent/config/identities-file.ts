import type { IdentityList, ListedIdentity } from '../../proto/state/identities.ts';
import { toHex } from '../../proto/state/bytes.ts';
import { KEY_BYTES } from '../../proto/state/signing.ts';
import { OverlaydError } from '../errors.ts';
import { OperatorFile } from './operator-file.ts';

/**
 * The operator's list of members: one `NAME KEY` a line, the key in base64 as `overlayd identities ls -o lines` prints it;
 * a third word `admin` says that this host may revoke others. Empty lines and lines that begin with # are passed over.
 *
 * It holds no secret, but who can write it decides who is a member: nobody but its owner may.
 */
const MAX_FILE_BYTES = 16 * 1024 * 1024;
const MAX_NAMES = 65_536;

/** By name. Throws OverlaydError, which names file and line. */
export function readIdentitiesFile(path: string): IdentityList {
  const listed = new Map<string, ListedIdentity>();
  const names = new Map<string, string>();
  for (const { text, where } of identitiesFile(path).lines()) {
    const [name, identity] = parseLine(text, where);
    if (listed.has(name))
      throw invalid(where, `"${name}" stands in the file twice`, 'Delete one of the lines.');
    const twin = names.get(identity.keyHex);
    if (twin !== undefined)
      throw invalid(where, `"${name}" has the key of "${twin}"`, 'Each host has a key of its own.');
    if (listed.size >= MAX_NAMES) throw invalid(where, `more than ${MAX_NAMES} names`, 'Take out old ones.');
    listed.set(name, identity);
    names.set(identity.keyHex, name);
  }
  if (listed.size === 0) {
    const hint = 'Print those that are known now with "overlayd identities ls -o lines".';
    throw invalid(path, 'there is no name in it: nobody could be a member', hint);
  }
  return listed;
}

function parseLine(text: string, where: string): [name: string, identity: ListedIdentity] {
  const [name = '', key = '', role, ...more] = text.split(/\s+/);
  if (!/^[A-Za-z0-9._-]{1,128}$/.test(name))
    throw invalid(
      where,
      `${JSON.stringify(name)} is no node name`,
      'Write NAME KEY, then admin for who may revoke.',
    );
  const bytes = Buffer.from(key, 'base64');
  if (bytes.length !== KEY_BYTES || bytes.toString('base64') !== key) {
    const hint = 'See "overlayd identities show" on that host: 44 characters of base64.';
    throw invalid(where, `the key of "${name}" is no Ed25519 public key`, hint);
  }
  if ((role !== undefined && role !== 'admin') || more.length > 0)
    throw invalid(
      where,
      `behind the key of "${name}" only "admin" may stand`,
      'Put comments on lines of their own.',
    );
  return [name, { keyHex: toHex(bytes), isAdmin: role === 'admin' }];
}

function identitiesFile(path: string): OperatorFile {
  return new OperatorFile(path, {
    code: 'IDENTITIES',
    what: 'the list of identities',
    maxBytes: MAX_FILE_BYTES,
    forbidden: 0o022,
    unreadableHint: () => 'Make it from "overlayd identities ls -o lines" on a host that knows all others.',
    exposed: () => ({
      message: 'may be written by others than its owner',
      hint: `chmod go-w ${path}, after a look at what stands in it.`,
    }),
    noFileHint: 'Give a file with one NAME KEY a line.',
    tooLargeHint: 'Give one line a host.',
  });
}

function invalid(where: string, message: string, hint: string): OverlaydError {
  return new OverlaydError('OVL_IDENTITIES_INVALID', `${where}: ${message}`, { hint, exitCode: 2 });
}
