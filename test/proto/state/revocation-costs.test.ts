/** What a host that says very many words about keys costs the others, in signatures looked at. */
import t from 'tap';
import { SeededRng } from '../../../proto/rng.ts';
import { toHex } from '../../../proto/state/bytes.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import { revocationKey, signRevocation } from '../../../proto/state/revocation.ts';
import type { Verifier } from '../../../proto/state/signing.ts';
import { State } from '../../../proto/state/state.ts';
import { fakeSigner, fakeVerifier } from './fake-identity.ts';

const WALL_MS = 1_700_000_000_000;
const EPOCH = BigInt(WALL_MS);
const keyHexOf = (name: string): string => toHex(fakeSigner(name).publicKey);
const isWord = (statement: Uint8Array): boolean =>
  new TextDecoder('latin1').decode(statement.subarray(0, 19)) === 'overlayd revocation';

/** A host that counts the words whose signature it looks at. */
function counted(node: string, peers: readonly string[]): { state: State; looks: () => number } {
  let looks = 0;
  const verifier: Verifier = {
    ...fakeVerifier,
    verify: (key, statement, signature) => {
      if (isWord(statement)) looks++;
      return fakeVerifier.verify(key, statement, signature);
    },
  };
  const deps = { rng: new SeededRng(1), wall: () => WALL_MS, signer: fakeSigner(node), verifier };
  const options = { node, epoch: EPOCH, rateBytes: 1e9, burstBytes: 1e9 };
  const state = new State(options, deps);
  for (const peer of peers) state.handleMemberAlive(0, peer, EPOCH);
  return { state, looks: () => looks };
}

/** A host says, or carries the word of `by`, that these are revoked; the messages in which it tells `to`. */
function words(host: string, to: string, names: readonly string[], by = host): Uint8Array[] {
  const { state } = counted(host, [to]);
  for (const name of names) {
    const keyHex = keyHexOf(name);
    const word = signRevocation({ action: 'revoke', keyHex, name, stamp: WALL_MS }, by, fakeSigner(by));
    state.put(0, 0, TABLE.revocation, revocationKey(keyHex), word.bytes);
  }
  const messages: Uint8Array[] = [];
  for (let now = 0; now < 1_000; now += 10) {
    if (state.nextDeadline() <= now) state.handleDeadline(now);
    for (let out = state.pollTransmit(); out !== undefined; out = state.pollTransmit())
      if (out.to === to && !out.reliable) messages.push(out.bytes);
  }
  return messages;
}

const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `x${i}`);

void t.test('words are verified some at a time, and all within five seconds', async (test) => {
  const { state, looks } = counted('b', ['m']);
  for (const bytes of words('m', 'b', many(1_000))) state.handleMessage(1_000, 'm', bytes);
  test.ok(looks() <= 128, `${looks()} at once`);
  for (let now = 1_000; now <= 6_000; now += 10) {
    const before = looks();
    if (state.nextDeadline() <= now) state.handleDeadline(now);
    if (looks() - before > 128) test.fail(`${looks() - before} in one turn`);
  }
  test.equal(state.revocations.list().length, 1_000);
  test.equal(looks(), 1_000, 'each once');
});

void t.test('who says new words again and again is looked at now and then', async (test) => {
  const { state, looks } = counted('b', ['m', 'a']);
  const log = words('m', 'b', many(8_000));
  let now = 1_000;
  for (const bytes of log) state.handleMessage((now += 5), 'm', bytes);
  for (const end = now + 60_000; now < end; now += 50)
    if (state.nextDeadline() <= now) state.handleDeadline(now);
  // What b itself carries of them, 1,024 at most, comes on top.
  test.ok(looks() <= 4_096 + 4 * (now / 1_000) + 1_024, `${looks()} of 8,000 in ${now} ms`);
  // Another host's word is not held up by that.
  for (const bytes of words('a', 'b', ['m'])) state.handleMessage(now, 'a', bytes);
  state.handleDeadline(now + 4_000);
  test.ok(state.identities.isRevoked('m'), 'within five seconds');
});

void t.test('many words of one liar do not go before few of many', async (test) => {
  const honest = ['a', 'c', 'd'];
  const { state } = counted('b', ['m', ...honest]);
  for (const bytes of words('m', 'b', [...many(1_000), ...honest])) state.handleMessage(1_000, 'm', bytes);
  for (const name of honest)
    for (const bytes of words(name, 'b', ['m'], 'a')) state.handleMessage(1_000, name, bytes);
  for (let now = 1_000; now <= 6_000; now += 10) if (state.nextDeadline() <= now) state.handleDeadline(now);
  test.ok(state.identities.isRevoked('m'));
  for (const name of honest) test.notOk(state.identities.isRevoked(name), name);
});

void t.test('of tables that are looked at again and again others may say only so much', async (test) => {
  const { state } = counted('b', ['m']);
  const writer = counted('m', ['b']).state;
  for (let i = 0; i < 1_500; i++) {
    const key = Uint8Array.of(0, 0, 0, 0, 0, 0, i >> 8, i & 255);
    writer.put(0, 0, TABLE.keyring, key, Uint8Array.of(1));
  }
  let now = 0;
  const pass = (): void => {
    for (const end = now + 200; now < end; now += 10) {
      if (writer.nextDeadline() <= now) writer.handleDeadline(now);
      for (let out = writer.pollTransmit(); out !== undefined; out = writer.pollTransmit())
        if (!out.reliable) state.handleMessage(now, 'm', out.bytes);
    }
  };
  pass();
  test.equal([...writer.records(0, TABLE.keyring)].length, 1_500, 'our own log is our own business');
  test.equal([...state.records(0, TABLE.keyring)].length, 1_024);
  for (let i = 0; i < 700; i++)
    writer.delete(now, 0, TABLE.keyring, Uint8Array.of(0, 0, 0, 0, 0, 0, i >> 8, i & 255));
  pass();
  writer.put(now, 0, TABLE.keyring, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0), Uint8Array.of(1));
  pass();
  test.equal([...state.records(0, TABLE.keyring)].length, 1_024 - 700 + 1, 'what goes makes room');
});
