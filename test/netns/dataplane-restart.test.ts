/**
 * The data plane dies in every way it can, and the containers keep their interfaces (checklist T5, 3.14, 3.40).
 */
import type { Test } from 'tap';
import { Testbed } from '../../agent/demo/testbed.ts';
import type { Container, Host } from '../../agent/demo/hosts.ts';
import { until } from '../../agent/demo/process.ts';
import { DataplaneHost } from './dataplane-host.ts';
import { netnsTest } from './guard.ts';

interface Side {
  readonly host: Host;
  readonly container: Container;
  dataplane: DataplaneHost;
}

async function startPair(t: Test, io: 'batch' | 'dgram'): Promise<[Side, Side]> {
  const testbed = new Testbed();
  t.teardown(() => testbed.close());
  const start = async (): Promise<Side> => {
    const host = testbed.addHost();
    const dataplane = new DataplaneHost(host);
    await dataplane.open({ io });
    return { host, dataplane, container: host.addContainer() };
  };
  const [a, b] = [await start(), await start()];
  await a.dataplane.join([b.host.ipv4]);
  await b.dataplane.join([a.host.ipv4]);
  return [a, b];
}

/** Until `count` answers came: -W would end with twice the slowest round trip so far. */
async function ping(from: Container, to: Container, count = 3): Promise<string> {
  return (await from.exec(['ping', '-n', '-c', `${count}`, '-i', '0.2', '-w', '5', to.ipv4])).stdout;
}

for (const io of ['batch', 'dgram'] as const) {
  netnsTest(`kill -9 keeps the containers' interfaces, ${io}`, ['ping'], async (t) => {
    const [a, b] = await startPair(t, io);
    t.match(await ping(a.container, b.container), ' 3 received');
    const before = a.host.ip('-o', 'link', 'show', 'tap0').split(':')[0];
    await a.dataplane.kill();
    t.match(a.host.ip('link', 'show', 'tap0'), 'NO-CARRIER', 'the TAP stays, without carrier');
    t.match(
      a.container.ip('addr', 'show', 'eth0'),
      a.container.ipv4,
      'the container keeps its interface and address',
    );

    a.dataplane = new DataplaneHost(a.host);
    t.match((await a.dataplane.open({ io })).taps, [{ existed: true, mtu: 1450 }]);
    await a.dataplane.join([b.host.ipv4]);
    t.equal(a.host.ip('-o', 'link', 'show', 'tap0').split(':')[0], before, 'the same interface');
    t.match(await ping(a.container, b.container), ' 3 received', 'and traffic as before');

    t.equal(await a.dataplane.stop(), 0, 'a planned stop keeps it too');
    t.match(a.container.ip('link', 'show', 'eth0'), 'NO-CARRIER');
    t.equal(await b.dataplane.stop(true), 0);
    t.throws(() => b.host.ip('link', 'show', 'tap0'), 'removal on demand');
  });

  netnsTest(`a trap of the core costs a moment, not the daemon, ${io}`, ['ping'], async (t) => {
    const [a, b] = await startPair(t, io);
    t.match(await ping(a.container, b.container), ' 3 received');
    const before = await a.dataplane.counters();
    await a.dataplane.call({ call: 'poison' });
    a.container.ip('neigh', 'flush', 'all'); // the next ping asks by broadcast
    await ping(a.container, b.container, 1);
    await until('the worker was replaced', 15_000, async () => {
      return ((await a.dataplane.counters()).counters['worker-restarts'] ?? 0) > 0;
    });
    t.match(await ping(a.container, b.container), ' 3 received', 'tables and learning are back');
    const after = await a.dataplane.counters();
    t.ok((after.counters['from-tap'] ?? 0) > (before.counters['from-tap'] ?? 0), 'counters never step back');
    t.match(a.container.ip('link', 'show', 'eth0'), 'LOWER_UP');
    t.equal(await a.dataplane.stop(true), 0);
  });

  netnsTest(`a TAP deleted by hand is reported, ${io}`, [], async (t) => {
    const [a] = await startPair(t, io);
    a.host.ip('link', 'delete', 'tap0');
    await until('the loss is reported', 5000, async () => {
      return (await a.dataplane.events()).some((event) => event.type === 'failed');
    });
    t.equal(await a.dataplane.stop(true), 0, 'and it still ends by itself');
  });
}
