import tap from 'tap';
import type { Test } from 'tap';
import { request } from 'undici';
import { startMetrics } from '../../../agent/metrics/server.ts';
import type { MetricsServer } from '../../../agent/metrics/server.ts';
import { createMetrics } from '../../../agent/metrics/registry.ts';
import { fakeView, silentLog } from '../api/fake-view.ts';
import type { FakeView } from '../api/fake-view.ts';

const METRICS = createMetrics();

async function start(t: Test, view: FakeView): Promise<MetricsServer> {
  const server = await startMetrics(() => view, { host: '127.0.0.1', port: 0 }, METRICS, silentLog);
  t.teardown(() => server.close());
  return server;
}

async function get(server: MetricsServer, path: string, method: 'GET' | 'HEAD' | 'POST' = 'GET') {
  const { statusCode, headers, body } = await request(`http://127.0.0.1:${server.port}${path}`, { method });
  return { statusCode, headers, text: await body.text() };
}

/** Lines of our own metrics. */
function samples(text: string): string[] {
  return text.split('\n').filter((line) => line.startsWith('overlayd_'));
}

void tap.test('the names and labels of the contract', async (t) => {
  const server = await start(t, fakeView());
  const { statusCode, headers, text } = await get(server, '/metrics');
  t.equal(statusCode, 200);
  t.match(headers['content-type'], /^text\/plain; version=0\.0\.4/);
  t.strictSame(samples(text).slice(1), [
    'overlayd_frames_total{direction="from_tap"} 10',
    'overlayd_frames_total{direction="to_tap"} 20',
    'overlayd_frames_total{direction="from_tunnel"} 21',
    'overlayd_frames_total{direction="to_tunnel"} 9',
    'overlayd_bytes_total{direction="from_tap"} 1000',
    'overlayd_bytes_total{direction="to_tap"} 2000',
    'overlayd_bytes_total{direction="from_tunnel"} 2100',
    'overlayd_bytes_total{direction="to_tunnel"} 900',
    'overlayd_verdicts_total{verdict="sent"} 8',
    'overlayd_verdicts_total{verdict="delivered"} 19',
    'overlayd_verdicts_total{verdict="answered"} 1',
    'overlayd_verdicts_total{verdict="punted"} 0',
    'overlayd_drops_total{reason="unknown-vni"} 3',
    'overlayd_drops_total{reason="bad-length"} 0',
    'overlayd_fdb_entries{network="overlay"} 3',
    'overlayd_fdb_entries{network="bare"} 0',
    'overlayd_addresses_owned{network="overlay"} 32766',
    'overlayd_addresses_free{network="overlay"} 32000',
    'overlayd_members{state="alive"} 2',
    'overlayd_members{state="suspect"} 1',
    'overlayd_members{state="dead"} 1',
    'overlayd_members{state="left"} 0',
    'overlayd_peer_rtt_seconds{peer="host-b"} 0.0004',
    'overlayd_path_mtu_bytes{peer="host-b"} 1500',
    'overlayd_peer_loss_ratio{peer="host-b"} 0.025',
    'overlayd_path_probes_total{event="drop:unknown-token"} 7',
    'overlayd_frames_shrunk_total 4',
    'overlayd_too_big_told_total 1',
    'overlayd_sealed_sessions 0',
    'overlayd_rekeys_total 0',
    'overlayd_gossip_messages_total{type="ping",direction="in"} 5',
    'overlayd_gossip_messages_total{type="ping",direction="out"} 6',
    'overlayd_gossip_drops_total{reason="bad-crc"} 2',
    'overlayd_state_refused_total{reason="signature"} 4',
    'overlayd_state_refused_total{reason="old-epoch"} 1',
    'overlayd_state_drops_total{reason="malformed"} 3',
    'overlayd_state_withheld_total 2',
    'overlayd_state_divergences_total 0',
    'overlayd_table_repairs_total 2',
    'overlayd_loop_stall_seconds 0.002',
  ]);
  t.match(samples(text)[0], /^overlayd_build_info\{version="[\d.]+",node="v\d+[\d.]+"\} 1$/);
  t.match(text, /^process_cpu_seconds_total /m);
  t.match(text, /^nodejs_eventloop_lag_seconds /m);
});

void tap.test('a scrape copies: counters are set and not added, what is gone is gone', async (t) => {
  const view = fakeView();
  const server = await start(t, view);
  await get(server, '/metrics');
  view.current = { ...view.current, drops: { 'unknown-vni': 7 }, peerRttSeconds: {} };
  const { text } = await get(server, '/metrics');
  t.match(text, 'overlayd_drops_total{reason="unknown-vni"} 7\n');
  t.match(text, 'overlayd_frames_total{direction="from_tap"} 10\n');
  t.notMatch(text, 'overlayd_peer_rtt_seconds{');
});

void tap.test('a divergence of the replicated state shows', async (t) => {
  const view = fakeView();
  const server = await start(t, view);
  await get(server, '/metrics');
  view.current = {
    ...view.current,
    state: new Map([
      ['divergence', 1],
      ['refused:signature', 5],
    ]),
  };
  const { text } = await get(server, '/metrics');
  t.match(text, '\noverlayd_state_divergences_total 1\n');
  t.match(text, '\noverlayd_state_withheld_total 0\n');
  t.match(text, '\noverlayd_state_refused_total{reason="signature"} 5\n');
});

void tap.test('a peer name with quotes does not break the exposition', async (t) => {
  const view = fakeView();
  view.current = { ...view.current, peerRttSeconds: { 'a"} 1\nx': 1 } };
  const { text } = await get(await start(t, view), '/metrics');
  t.match(text, String.raw`overlayd_peer_rtt_seconds{peer="a\"} 1\nx"} 1`);
});

void tap.test('health is the heartbeat of the packet loop, readiness is the daemon', async (t) => {
  const view = fakeView();
  const server = await start(t, view);
  t.match(await get(server, '/healthz'), { statusCode: 200, text: 'ok\n' });
  t.match(await get(server, '/readyz'), { statusCode: 200, text: 'ready\n' });
  view.heartbeatMs = 6_000;
  view.notReadyBy = 'left';
  t.match(await get(server, '/healthz'), { statusCode: 503, text: 'packet loop silent for 6000 ms\n' });
  t.match(await get(server, '/readyz'), { statusCode: 503, text: 'not ready: left\n' });
});

void tap.test('nothing else is there', async (t) => {
  const server = await start(t, fakeView());
  for (const path of ['/', '/metrics/', '/v1/status', '/../etc/passwd']) {
    t.equal((await get(server, path)).statusCode, 404, path);
  }
  t.match(await get(server, '/metrics', 'POST'), { statusCode: 405, headers: { allow: 'GET, HEAD' } });
  t.match(await get(server, '/healthz', 'HEAD'), { statusCode: 200, text: '' });
});

void tap.test('a failing view is a 500 and the server lives on', async (t) => {
  const view = fakeView();
  const server = await start(t, view);
  const good = view.current;
  Object.defineProperty(view, 'current', {
    get() {
      throw new Error('broken');
    },
    configurable: true,
  });
  t.equal((await get(server, '/metrics')).statusCode, 500);
  Object.defineProperty(view, 'current', { value: good });
  t.equal((await get(server, '/metrics')).statusCode, 200);
});

void tap.test('while the daemon starts: there, and not ready', async (t) => {
  const server = await startMetrics(() => undefined, { host: '127.0.0.1', port: 0 }, METRICS, silentLog);
  t.teardown(() => server.close());
  for (const path of ['/metrics', '/healthz', '/readyz'])
    t.match(await get(server, path), { statusCode: 503, text: 'starting\n' }, path);
});

void tap.test('a taken port, and an address that is not ours', async (t) => {
  const { port } = await start(t, fakeView());
  await t.rejects(startMetrics(fakeView, { host: '127.0.0.1', port }, METRICS, silentLog), {
    code: 'OVL_PORT_TAKEN',
    message: new RegExp(
      String.raw`^TCP port ${port} on 127\.0\.0\.1 \(metrics\) is taken by .* \(pid ${process.pid}\)$`,
    ),
    hint: /--metrics-addr/,
  });
  await t.rejects(startMetrics(fakeView, { host: '192.0.2.77', port: 0 }, METRICS, silentLog), {
    code: 'OVL_METRICS_ADDR_FAILED',
  });
});
