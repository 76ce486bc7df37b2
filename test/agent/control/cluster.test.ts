import { createSocket } from 'node:dgram';
import t from 'tap';
import { Cluster } from '../../../agent/control/cluster.ts';
import { SeededRng } from '../../../proto/rng.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import type { StateChange } from '../../../proto/state/interface.ts';
import { State } from '../../../proto/state/state.ts';
import { encodeInterest, interestKey, interestKeyHex } from '../../../proto/state/values/interest.ts';
import { encodeMeta, isOverlaydMeta } from '../../../proto/swim/meta.ts';
import { Swim } from '../../../proto/swim/swim.ts';
import { recordingLog } from '../recording-log.ts';
import { fakeSigner, fakeVerifier } from '../../proto/state/fake-identity.ts';

/** Real sockets, each node on an address of its own in the loopback range. */
async function openNode(name: string, ip: string, port: number): Promise<Cluster> {
  const rng = new SeededRng(port);
  const state = new State(
    { node: name, epoch: 1n },
    { rng, wall: () => 1_000, signer: fakeSigner(name), verifier: fakeVerifier },
  );
  const swim = new Swim(
    {
      name,
      addr: { ip, port },
      meta: encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch: 1n }),
      takesUserData: isOverlaydMeta,
    },
    { rng, delegate: state.delegate },
  );
  const { log } = recordingLog();
  const onFailure = (error: Error): void => {
    t.fail(error.message);
  };
  return Cluster.open({ bindAddr: ip, gossipPort: port, swim, state, onFailure, log });
}

/** A UDP port that was free a moment ago. */
function freePort(ip: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', reject);
    socket.bind(0, ip, () => {
      const { port } = socket.address();
      socket.close(() => {
        resolve(port);
      });
    });
  });
}

function sees(cluster: Cluster, wanted: (change: StateChange) => boolean): Promise<void> {
  return new Promise((resolve) => {
    cluster.onChanges((changes) => {
      if (changes.some(wanted)) resolve();
    });
  });
}

void t.test('two nodes join, share state written before and after, and part', async (t) => {
  const port = await freePort('127.0.0.71');
  const a = await openNode('a', '127.0.0.71', port);
  const b = await openNode('b', '127.0.0.72', port);
  t.teardown(() => Promise.all([a.close(), b.close()]));
  a.state.put(0, 0, TABLE.interest, interestKey(7), encodeInterest());
  const early = sees(b, ({ table, keyHex }) => table === TABLE.interest && keyHex === interestKeyHex(7));
  t.strictSame(await b.join([{ ip: '127.0.0.71', port }]), [undefined]);
  await early;
  t.strictSame(
    b.state.claims(0, TABLE.interest, interestKeyHex(7)).map(({ owner }) => owner),
    ['a'],
  );

  const late = sees(a, ({ keyHex }) => keyHex === interestKeyHex(8));
  b.state.put(performance.now(), 0, TABLE.interest, interestKey(8), encodeInterest());
  b.touch();
  await late;
  t.equal(a.swim.member('b')?.state, 'alive');

  const gone = sees(a, ({ keyHex }) => keyHex === interestKeyHex(8));
  await b.leave(5_000);
  await gone;
  t.equal(a.swim.member('b')?.state, 'left');
  t.strictSame(a.state.claims(0, TABLE.interest, interestKeyHex(8)), [], 'what b said went with it');
});

void t.test('joining nobody is an error that says so; a taken port names itself', async (t) => {
  const port = await freePort('127.0.0.73');
  const a = await openNode('a', '127.0.0.73', port);
  t.teardown(() => a.close());
  const [error] = await a.join([{ ip: '127.0.0.74', port }]);
  t.match(error, /refused/i);
  await t.rejects(openNode('b', '127.0.0.73', port), { code: /^OVL_/, message: new RegExp(String(port)) });
});
