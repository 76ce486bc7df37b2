/** Places of sessions: as many as there are, whatever was refused (agent/dataplane/sessions.ts). */
import tap from 'tap';
import type { CoreConstants } from '../../../agent/dataplane/core-exports.ts';
import { SessionKeys } from '../../../agent/dataplane/session-keys.ts';
import type { SessionKeyPair } from '../../../agent/dataplane/session-keys.ts';
import { Sessions } from '../../../agent/dataplane/sessions.ts';

const PLACES = 2;
const CONSTANTS = {
  SESSION_MAX: PLACES,
  OP_SESSION_PUT: 1,
} as unknown as CoreConstants;
const key = new Uint8Array(32);
const session = (localIndex: number) => ({ localIndex, remoteIndex: 1, peer: 0, sealKey: key, openKey: key });

void tap.test('an index that is in use takes no place', (t) => {
  const sessions = new Sessions(CONSTANTS, new SessionKeys('node', PLACES));
  t.match(sessions.add(session(7)), { a: 0, b: 7 });
  for (let i = 0; i < PLACES; i++) t.equal(sessions.add(session(7)), undefined);
  t.match(sessions.add(session(8)), { a: 1, b: 8 });
  t.equal(sessions.add(session(9)), undefined, 'the table is full');
  t.end();
});

void tap.test('nor does one whose keys could not be had', (t) => {
  class Failing extends SessionKeys {
    isBroken = true;
    override add(place: number, pair: SessionKeyPair) {
      if (this.isBroken) throw new Error('no memory');
      return super.add(place, pair);
    }
  }
  const keys = new Failing('node', PLACES);
  const sessions = new Sessions(CONSTANTS, keys);
  for (let i = 0; i <= PLACES; i++) t.throws(() => sessions.add(session(i)), /no memory/);
  keys.isBroken = false;
  for (let i = 0; i < PLACES; i++) t.ok(sessions.add(session(i)));
  t.end();
});
