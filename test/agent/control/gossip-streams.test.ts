/** The sockets of streams when the other side is in no hurry to let go: real TCP on loopback. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import t from 'tap';
import type { Test } from 'tap';
import { monotonicMs } from '../../../agent/clock.ts';
import { GossipStreams } from '../../../agent/control/gossip-streams.ts';
import type { SwimNode } from '../../../proto/swim/interface.ts';
import { eventually } from '../../interop/member.ts';

// The machine may be busy: tap's own limit of 30 s is for a quiet one.
t.setTimeout(180_000);

/** More than kernels keep for a reader that does not read. */
const ANSWER_BYTES = 64 << 20;
const SIP_BYTES = 65_536;

interface Served {
  readonly client: Socket;
  readonly accepted: Socket;
  readonly streams: GossipStreams;
}

/** A client whose request is answered at length; it takes a sip of that now and then, so that the connection is never still. */
async function served(test: Test): Promise<Served> {
  const swim = {
    handleStreamOpen: () => undefined,
    handleStreamData: () => undefined,
    handleStreamEnd: () => undefined,
  } as unknown as SwimNode;
  const options = { bindAddr: '127.0.0.1', swim, clock: { now: monotonicMs }, lingerMs: 300 };
  const streams = new GossipStreams(options, () => undefined);
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect({ host: '127.0.0.1', port: (server.address() as { port: number }).port });
  client.on('error', () => undefined).pause();
  const [accepted] = (await once(server, 'connection')) as [Socket];
  const sipping = setInterval(() => client.read(SIP_BYTES), 20);
  test.teardown(() => {
    clearInterval(sipping);
    client.destroy();
    streams.closeAll();
    server.close();
  });
  streams.accept(accepted, '127.0.0.1', 1);
  streams.perform({ type: 'write', id: 2, bytes: new Uint8Array(ANSWER_BYTES) });
  streams.perform({ type: 'end', id: 2 });
  return { client, accepted, streams };
}

void t.test('who reads slowly after the end is waited for, but not for long', async (test) => {
  const { accepted, streams } = await served(test);
  streams.perform({ type: 'close', id: 2 });
  test.notOk(accepted.destroyed, 'what is in the buffers may still go');
  test.ok(await eventually(() => accepted.destroyed, 5_000));
});

void t.test('who ends its own side first is no longer waited for', async (test) => {
  const { client, accepted } = await served(test);
  client.end();
  test.ok(await eventually(() => accepted.destroyed, 5_000));
});
