/**
 * 5.6, 3.2: 2,000 endpoints on one host, each with a TAP of its own, all up and speaking at once.
 *
 * Most stay in the host's namespace, where their kernel side announces itself by IPv6 like any container's; sampled ones
 * are moved into namespaces and ping each other. Times and sizes are printed, not judged: they are the machine's.
 */
import { ipBatch, until } from '../../agent/demo/process.ts';
import { Testbed } from '../../agent/demo/testbed.ts';
import type { TapSpec } from '../../agent/dataplane/dataplane.ts';
import type { OpenedPorts } from './dataplane-child.ts';
import { DataplaneHost, settledBalance } from './dataplane-host.ts';
import { moveIn } from './endpoints.ts';
import { netnsTest } from './guard.ts';

const ENDPOINTS = 2000;
const SAMPLES = [1, 2, 250, 251, 999, 1000, 1500, 1999];
const MAC_BASE = 0x02_42_0a_2a_00_00;

function spec(host: number, port: number): TapSpec {
  const [high, low] = [port >> 8, port & 255];
  // The sampled ones are numbered 10.42.HOST.PORT by moveIn; the others have addresses of another range.
  const sample = SAMPLES.indexOf(port);
  const ips =
    sample < 0 ? [`10.43.${high}.${low}`] : [`10.42.${host}.${sample + 1}`, `fd42::${host}:${sample + 1}`];
  const binding = { mac: MAC_BASE + port, ips };
  const tap = { network: 0, port, name: `ov${port}`, mtu: 1450, macQuota: 16 };
  return { ...tap, persist: true, reflect: false, binding };
}

netnsTest(
  `2.32, 3.2, 5.6: ${ENDPOINTS} endpoints on one host come up and reach each other`,
  ['ping'],
  async (t) => {
    const testbed = new Testbed();
    t.teardown(() => testbed.close());
    const host = testbed.addHost();
    const dataplane = new DataplaneHost(host);
    await dataplane.open({ taps: [] });
    await dataplane.join([]);

    const specs = Array.from({ length: ENDPOINTS }, (_, i) => spec(host.number, i + 1));
    const { seconds, medianMs, bytes } = (await dataplane.call({ call: 'open-ports', specs })) as OpenedPorts;
    t.comment(`${ENDPOINTS} ports opened in ${seconds.toFixed(1)} s, median ${medianMs.toFixed(2)} ms`);
    t.comment(`${Math.round(bytes / ENDPOINTS)} bytes of this process for each`);
    t.equal(host.ip('-o', 'link', 'show', 'type', 'tun').trim().split('\n').length, ENDPOINTS);

    const containers = SAMPLES.map((port, i) => moveIn(host, `ov${port}`, i + 1));
    const others = specs.filter(({ port }) => !SAMPLES.includes(port));
    const begun = performance.now();
    ipBatch(
      others.map(({ name }) => ['link', 'set', name, 'up']),
      host.namespace,
    );
    // Every container learnt of by the data path: each has been heard.
    await until('every endpoint was heard', 60_000, async () => {
      return ((await dataplane.counters()).counters['macs-learned'] ?? 0) >= ENDPOINTS - SAMPLES.length;
    });
    t.comment(`all up and heard ${((performance.now() - begun) / 1000).toFixed(1)} s after the first`);

    const pings = containers.map(async (from, i) => {
      const to = containers[(i + 1) % containers.length] ?? from;
      const done = await from.exec(['ping', '-n', '-c', '3', '-i', '0.2', '-W', '5', to.ipv4]);
      t.match(done.stdout, / [123] received/, `${from.name} → ${to.name}`);
    });
    await Promise.all(pings);

    const { counters, drops } = await dataplane.counters();
    for (const reason of ['guard-mac', 'guard-ip', 'guard-ra', 'guard-dhcp', 'no-port']) {
      t.equal(drops[reason], 0, `no ${reason}`);
    }
    t.comment(`${counters['from-tap']} frames in, ${counters['to-tap']} written: ${JSON.stringify(drops)}`);
    const health = (await dataplane.call({ call: 'health' })) as { stallSeconds: number };
    t.comment(`longest gap between two breaths ${health.stallSeconds.toFixed(3)} s`);
    const { in: taken, out } = await settledBalance(dataplane);
    t.equal(taken, out, 'every frame ended in exactly one way');

    await Promise.all(specs.slice(0, 50).map(({ port }) => dataplane.closePort(port)));
    t.equal((await dataplane.fdb()).filter((row) => row.destination <= 50).length, 0);
    // Not closed one by one: the namespaces take their interfaces with them at once.
    await dataplane.kill();
  },
);
