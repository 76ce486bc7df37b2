/** A reload as a whole: what can be taken back is, when something else of it fails. */
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import tap from 'tap';
import type { RunConfig } from '../../agent/config/run-config.ts';
import { createMetrics } from '../../agent/metrics/registry.ts';
import { startMetrics } from '../../agent/metrics/server.ts';
import { Reloader } from '../../agent/reload.ts';
import type { ReloadParts } from '../../agent/reload.ts';
import { fakeView, silentLog } from './api/fake-view.ts';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const answers = (port: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${port}/readyz`).then(
    () => true,
    () => false,
  );

void tap.test(
  '5.7 metrics move to another address of the same port, and back when the rest fails',
  async (t) => {
    const port = await freePort();
    const set = createMetrics();
    const opened: string[] = [];
    const openMetrics: ReloadParts['openMetrics'] = async ({ metricsAddr }) => {
      const server = metricsAddr && (await startMetrics(fakeView, metricsAddr, set, silentLog));
      opened.push(metricsAddr?.host ?? 'none');
      return server;
    };
    let isBad = false;
    const parts = {
      control: { setSeeds() {}, setGossipRekeyInterval() {}, reconciler: { setStaticPeers() {} } },
      identities: { setListed() {} },
      tunnels: () => undefined,
      networks: {
        prepare() {
          if (isBad) throw new Error('a network that cannot be');
          return { commit() {} };
        },
      },
      openMetrics,
      onTaken() {},
      log: silentLog,
    } as unknown as ReloadParts;
    const at = (host: string): RunConfig =>
      ({
        metricsAddr: { host, port },
        networks: [],
        staticPeers: [],
        join: [],
        gossipEncryption: 'off',
      }) as unknown as RunConfig;
    const before = at('127.0.0.1');
    const reloader = new Reloader(parts, before, await openMetrics(before));
    t.teardown(() => reloader.close());

    isBad = true;
    await t.rejects(reloader.apply(at('0.0.0.0')), /cannot be/);
    t.ok(await answers(port), 'as before');
    isBad = false;
    await reloader.apply(at('0.0.0.0'));
    t.ok(await answers(port));
    await t.rejects(reloader.apply(at('192.0.2.77')), { code: 'OVL_METRICS_ADDR_FAILED' });
    t.ok(await answers(port), 'what was there is there again');
    t.strictSame(opened, ['127.0.0.1', '0.0.0.0', '127.0.0.1', '0.0.0.0', '0.0.0.0']);
  },
);
