/** Words about keys (issue 3.6, checklist 3.36): their form, their order, their bounds. The cluster's part is in test/sim/revocation. */
import * as fc from 'fast-check';
import t, { type Test } from 'tap';
import { newSeed, ready, signerOf, verifier } from '../../../agent/crypto/ed25519.ts';
import { tunnelKeyOfIdentity } from '../../../agent/crypto/tunnel-crypto.ts';
import { WireError, fromHex, toHex } from '../../../proto/state/bytes.ts';
import { Identities } from '../../../proto/state/identities.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import { encodeNotice } from '../../../proto/state/messages.ts';
import type { Revocation, RevocationAction } from '../../../proto/state/revocation.ts';
import {
  canonicalHex,
  isLater,
  openRevocation,
  revocationKey,
  signRevocation,
} from '../../../proto/state/revocation.ts';
import type { State } from '../../../proto/state/state.ts';
import { encodeVtep, vtepKey } from '../../../proto/state/values/vtep.ts';
import { Cluster } from './cluster.ts';
import { fakeSigner, fakeVerifier } from './fake-identity.ts';

const ADDR = { ip: '192.0.2.7', port: 7946 };
const YEAR_MS = 365 * 24 * 3_600_000;
const keyHexOf = (name: string): string => toHex(fakeSigner(name).publicKey);

/** a, b and c, each with a place of its own. */
function three(seed = 1): Cluster {
  const cluster = new Cluster(seed);
  for (const name of ['a', 'b', 'c']) {
    const state = cluster.start(name, []);
    state.put(cluster.now, 0, TABLE.vtep, vtepKey(name), encodeVtep(ADDR));
  }
  cluster.meet();
  cluster.run(3_000);
  return cluster;
}

function say(cluster: Cluster, by: string, name: string, action: RevocationAction = 'revoke'): Revocation {
  return cluster.state(by).revoke(cluster.now, { action, name, keyHex: keyHexOf(name), addr: ADDR });
}

const owners = (state: State): string =>
  Array.from(state.records(0, TABLE.vtep), ({ owner }) => owner)
    .sort()
    .join('');

const wordsOf = (state: State): string[] =>
  state.revocations
    .list()
    .map(({ action, name, byName, stamp }) => `${action} ${name} by ${byName} at ${stamp}`)
    .sort();

void t.test('a word is read as it was signed, and in no other form', async (test) => {
  for (const addr of [ADDR, { ip: '2001:db8::7', port: 1 }, undefined]) {
    const content = {
      action: 'forget',
      keyHex: keyHexOf('x'),
      name: 'x',
      stamp: 1_700_000_000_000,
      addr,
    } as const;
    const word = signRevocation(content, 'a', fakeSigner('a'));
    const read = openRevocation(word.bytes, fakeVerifier);
    test.same(read, { ...content, byName: 'a', byKeyHex: keyHexOf('a'), bytes: word.bytes });
    for (let bit = 0; bit < word.bytes.length * 8; bit++) {
      const other = word.bytes.slice();
      other[bit >> 3]! ^= 1 << (bit & 7);
      // Of these only the fake signature has room for bits that mean nothing.
      if (bit >> 3 < word.bytes.length - 64) if (isRead(other)) test.fail(`bit ${bit} was changed`);
    }
    for (let length = 0; length < word.bytes.length; length++)
      if (isRead(word.bytes.subarray(0, length))) test.fail(`${length} bytes of it`);
    test.notOk(isRead(Uint8Array.of(...word.bytes, 0)), 'a byte behind it');
  }
});

function isRead(bytes: Uint8Array): boolean {
  try {
    openRevocation(bytes, fakeVerifier);
    return true;
  } catch (error) {
    if (error instanceof WireError) return false;
    throw error;
  }
}

void t.test('anything may come: it is a word, or a WireError', async (test) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      if (bytes.length > 0) bytes[0] = 1;
      return !isRead(bytes);
    }),
    { numRuns: 2_000 },
  );
  test.pass();
});

void t.test('3.36: a key and its negative are one, other forms of a key are none', async (test) => {
  await ready;
  const signer = signerOf(newSeed());
  const negative = signer.publicKey.slice();
  negative[31]! ^= 0x80;
  test.same(tunnelKeyOfIdentity(negative), tunnelKeyOfIdentity(signer.publicKey), 'the same X25519 key');
  test.equal(canonicalHex(toHex(negative)), canonicalHex(toHex(signer.publicKey)));
  const identities = new Identities('self', signerOf(newSeed()).publicKey, {});
  identities.setRevoked(toHex(signer.publicKey), true);
  test.equal(identities.check('x', signer.publicKey, 1n), 'revoked');
  test.equal(identities.check('y', negative, 1n), 'revoked', 'under another name too');
  // A signature S with the group's order added is one to careless verifiers; so is y + p for a small y.
  const word = signRevocation(
    { action: 'revoke', keyHex: toHex(signer.publicKey), name: 'x', stamp: 1 },
    'x',
    signer,
  );
  test.ok(openRevocation(word.bytes, verifier));
  const malleable = word.bytes.slice();
  addOrder(malleable.subarray(-32));
  test.throws(() => openRevocation(malleable, verifier), WireError);
  const large = new Uint8Array(32).fill(0xff);
  large[0] = 0xed + 3;
  large[31] = 0x7f;
  test.notOk(verifier.verify(large, new Uint8Array(3), new Uint8Array(64)));
  test.equal(tunnelKeyOfIdentity(large), undefined);
});

/** The order of the group of Ed25519, little-endian, added in place. */
function addOrder(scalar: Uint8Array): void {
  const order = fromHex('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010');
  let carry = 0;
  order.forEach((byte, i) => {
    const sum = scalar[i]! + byte + carry;
    scalar[i] = sum & 0xff;
    carry = sum >> 8;
  });
}

void t.test(
  'of any set of words about one key the same one stands, in whatever order they come',
  async (test) => {
    const content = fc.record({
      action: fc.constantFrom<RevocationAction>('revoke', 'restore', 'forget'),
      stamp: fc.integer({ min: 1, max: 4 }),
      by: fc.constantFrom('a', 'b', 'c'),
    });
    const words = fc.array(content, { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(words, fc.integer(), (contents, seed) => {
        const all = contents.map(({ action, stamp, by }) =>
          signRevocation({ action, stamp, name: 'x', keyHex: keyHexOf('x') }, by, fakeSigner(by)),
        );
        const last = (of: readonly Revocation[]): string => {
          const [first, ...rest] = of;
          const best = rest.reduce((held, word) => (isLater(word, held) ? word : held), first!);
          return `${best.action} ${best.stamp} ${best.byName}`;
        };
        const shuffled = all
          .map((word, i) => ({ word, at: (i * 7_919 + seed) % 31 }))
          .sort((p, q) => p.at - q.at);
        return last(all) === last(shuffled.map(({ word }) => word));
      }),
    );
    test.pass();
  },
);

void t.test('records go at once and stay out; undo brings them back', async (test) => {
  const cluster = three();
  test.equal(owners(cluster.state('b')), 'abc');
  say(cluster, 'a', 'c');
  test.equal(owners(cluster.state('a')), 'ab', 'where it is said, at once');
  cluster.run(100);
  test.equal(owners(cluster.state('b')), 'ab');
  test.same(cluster.state('b').bans(), [{ name: 'c', addr: ADDR }]);
  test.equal(cluster.state('b').root(0), cluster.state('a').root(0));
  test.equal(cluster.state('c').revocations.ofSelf(cluster.now)?.byName, 'a', 'the host itself hears of it');
  cluster.state('c').put(cluster.now, 0, TABLE.network, Uint8Array.of(1), Uint8Array.of(1));
  cluster.run(60_000);
  test.equal(owners(cluster.state('b')), 'ab');
  test.ok((cluster.state('b').counters().get('drop:shut-out') ?? 0) > 0, 'it is not heard');
  say(cluster, 'b', 'c', 'restore');
  cluster.run(100);
  test.same(cluster.state('a').bans(), []);
  cluster.meet();
  cluster.run(60_000);
  for (const name of ['a', 'b', 'c']) test.equal(owners(cluster.state(name)), 'abc', name);
  test.equal(cluster.state('c').revocations.ofSelf(cluster.now), undefined);
});

void t.test('it is kept on disk, and carried by others when its signer has gone', async (test) => {
  const cluster = three();
  say(cluster, 'a', 'c');
  cluster.run(30_000);
  cluster.leave('a');
  cluster.run(60_000);
  cluster.crash('b');
  cluster.start('b', []);
  test.same(cluster.state('b').bans(), [{ name: 'c', addr: ADDR }], 'after a restart, all alone');
  cluster.run(20_000);
  cluster.start('d', []);
  cluster.meet();
  cluster.run(10_000);
  test.match(wordsOf(cluster.state('d')), [/^revoke c by a/], 'a newcomer hears it from b');
});

void t.test('what a host said long before it was revoked stands, also for newcomers', async (test) => {
  const cluster = three();
  cluster.start('d', []);
  cluster.meet();
  cluster.run(3_000);
  say(cluster, 'a', 'c');
  cluster.run(120_000);
  say(cluster, 'b', 'a');
  cluster.run(60_000);
  cluster.start('e', []);
  cluster.meet();
  cluster.run(10_000);
  test.match(wordsOf(cluster.state('e')), [/^revoke a by b/, /^revoke c by [bd]/]);
  test.same(wordsOf(cluster.state('e')), wordsOf(cluster.state('b')));
});

void t.test('two that revoke each other in one moment: one word stands, the other is shown', async (test) => {
  const cluster = three();
  cluster.start('d', []);
  cluster.meet();
  cluster.run(3_000);
  for (const [one, other] of ['bc', 'ad', 'cd', 'ab']) {
    cluster.cuts.add(`${one}>${other}`);
    cluster.cuts.add(`${other}>${one}`);
  }
  say(cluster, 'a', 'b');
  say(cluster, 'b', 'a');
  cluster.run(100);
  cluster.cuts.clear();
  cluster.run(30_000);
  const [c, d] = [cluster.state('c'), cluster.state('d')];
  test.match(wordsOf(c), [/^revoke b by a/], 'c heard a first');
  test.match(wordsOf(d), [/^revoke a by b/], 'd heard b first');
  test.match(c.revocations.refused(), [{ name: 'a', byName: 'b' }], 'and each shows the other word');
  test.match(d.revocations.refused(), [{ name: 'b', byName: 'a' }]);
  for (const name of ['a', 'b']) say(cluster, 'c', name);
  cluster.run(5_000);
  for (const state of [c, d])
    test.same(
      wordsOf(state).map((word) => word.slice(0, 13)),
      ['revoke a by c', 'revoke b by c'],
    );
  test.same(c.revocations.refused(), [], 'a third host has settled it');
});

void t.test(
  'bounds: stamps of the future wait, one signer has so many words, notices are about us',
  async (test) => {
    const cluster = three();
    const put = (name: string, stamp: number): void => {
      const keyHex = keyHexOf(name);
      const word = signRevocation({ action: 'revoke', keyHex, name, stamp }, 'a', fakeSigner('a'));
      cluster.state('a').put(cluster.now, 0, TABLE.revocation, revocationKey(keyHex), word.bytes);
    };
    const wall = cluster.wallBase + cluster.now;
    put('c', wall + YEAR_MS + 3_600_000);
    cluster.run(60_000);
    test.equal(owners(cluster.state('b')), 'abc', 'a year ahead');
    cluster.run(3_600_000);
    test.equal(owners(cluster.state('b')), 'ab', 'it has come of age');
    say(cluster, 'b', 'c', 'restore');
    cluster.run(5_000);
    test.same(cluster.state('a').bans(), [], 'and there is a later one');
    for (let i = 0; i < 1_100; i++) put(`x${i}`, wall);
    cluster.run(30_000);
    test.equal(cluster.state('b').revocations.list().length, 1_024 + 1);
    test.ok((cluster.state('b').counters().get('drop:revocations-full') ?? 0) > 0);
    const notice = (about: string, by: string, signer = by): Uint8Array => {
      const content = { action: 'revoke', keyHex: keyHexOf(about), name: about, stamp: wall } as const;
      return encodeNotice(signRevocation(content, by, fakeSigner(signer)).bytes);
    };
    const b = cluster.state('b');
    const hears = (bytes: Uint8Array): string | undefined => {
      cluster.run(1_000);
      b.handleMessage(cluster.now, '', bytes);
      return b.revocations.ofSelf(cluster.now)?.byName;
    };
    const before = owners(b);
    test.equal(hears(notice('c', 'a')), undefined);
    test.equal(owners(b), before, 'a notice about another is nothing');
    test.equal(hears(notice('b', 'z')), undefined, 'nor is one of somebody unknown');
    test.equal(hears(notice('b', 'a', 'z')), undefined, 'or in the name of one that is known');
    test.equal(b.counters().get('refused:notice'), 2);
    test.equal(hears(notice('b', 'a')), 'a', "a member's about us is told");
    test.equal(b.identities.isRevoked('b'), false, 'and changes nothing');
    test.equal(b.revocations.heldOfSelf(), undefined);
    test.equal(b.revocations.ofSelf(cluster.now + 3_600_000), undefined, 'nor is it told for ever');
    say(cluster, 'b', 'a');
    cluster.run(2_000);
    test.equal(b.revocations.ofSelf(cluster.now), undefined, 'nor when its signer is void');
    test.equal(hears(notice('b', 'a')), undefined);
  },
);

void t.test('a host whose clock begins in 1970 obeys, and one liar does not set its time', (test) => {
  const cluster = new Cluster(1);
  cluster.wallOffsets.set('b', -cluster.wallBase);
  for (const name of ['a', 'b', 'c', 'd']) {
    const state = cluster.start(name, []);
    state.put(cluster.now, 0, TABLE.vtep, vtepKey(name), encodeVtep(ADDR));
  }
  cluster.meet();
  cluster.run(3_000);
  test.ok(cluster.wallBase + cluster.now - YEAR_MS > 1_000, 'more than a year behind');
  say(cluster, 'a', 'c');
  cluster.run(1_000);
  test.equal(owners(cluster.state('b')), 'abd');
  say(cluster, 'b', 'c', 'restore');
  cluster.run(1_000);
  test.same(cluster.state('a').bans(), [], 'it may have a word too');

  cluster.wallOffsets.set('d', 10 * YEAR_MS);
  cluster.state('d').put(cluster.now, 0, TABLE.vtep, vtepKey('d'), encodeVtep({ ...ADDR, port: 9 }));
  say(cluster, 'd', 'a');
  cluster.run(120_000);
  for (const name of ['b', 'c']) test.match(owners(cluster.state(name)), /^ab/, `${name}: ten years ahead`);
  test.end();
});

void t.test(
  'records that are no words are counted, and saved ones that are none passed over',
  async (test: Test) => {
    const cluster = three();
    const key = revocationKey(keyHexOf('c'));
    cluster.state('a').put(cluster.now, 0, TABLE.revocation, key, Uint8Array.of(1, 1, 1));
    cluster.run(1_000);
    test.equal(cluster.state('b').counters().get('refused:revocation-malformed'), 1);
    // A good word under the key of another.
    const word = signRevocation(
      { action: 'revoke', keyHex: keyHexOf('c'), name: 'c', stamp: 5 },
      'a',
      fakeSigner('a'),
    );
    cluster.state('a').put(cluster.now, 0, TABLE.revocation, revocationKey(keyHexOf('b')), word.bytes);
    cluster.run(1_000);
    test.same(wordsOf(cluster.state('b')), []);
    test.equal(owners(cluster.state('b')), 'abc');
  },
);
