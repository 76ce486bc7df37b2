/** iperf3, with a server of its own for each run: one that still puts a run away resets the connection of the next. */
import { until } from '../../agent/demo/process.ts';
import type { Background, Finished } from '../../agent/demo/process.ts';
import type { Place } from './traffic.ts';

const RUN_MS = 20_000;

/** A server that ends after one run, listening. */
export async function iperfServer(place: Place): Promise<Background> {
  const server = place.spawn(['iperf3', '-s', '-1', '--forceflush']);
  await until('iperf3 listens', 15_000, () => server.log().includes('listening'));
  return server;
}

/** A run of one second from `from` to `to`, which has `address`; by TCP unless the options say -u. */
export async function iperf(
  from: Place,
  to: Place,
  address: string,
  ...options: readonly string[]
): Promise<Finished> {
  const server = await iperfServer(to);
  const control = options.includes('-u') ? [] : ['-C', 'cubic'];
  const done = await from.exec(['iperf3', '-c', address, '-t', '1', ...control, ...options], RUN_MS);
  await server.stop();
  return done;
}
