/** Containers as the Docker driver makes them, without Docker: a TAP of its own, moved into a namespace and renamed. */
import { Container, bringUp } from '../../agent/demo/hosts.ts';
import type { Host } from '../../agent/demo/hosts.ts';
import { ip } from '../../agent/demo/process.ts';
import type { DataplaneHost } from './dataplane-host.ts';

/** Path of a container's network namespace. */
export function netnsPath({ namespace }: Container): string {
  return `/run/netns/${namespace}`;
}

/** Makes a namespace and moves the host's interface `tap` into it as eth0, with 10.42.HOST.`number`. */
export function moveIn(host: Host, tap: string, number: number): Container {
  const name = `${host.name}e${number}`;
  const namespace = host.testbed.namespaceName(name);
  host.testbed.record.addNamespaces([namespace]);
  const ipv4 = `10.42.${host.number}.${number}`;
  const ipv6 = `fd42::${host.number}:${number}`;
  ip('netns', 'add', namespace);
  host.ip('link', 'set', tap, 'netns', namespace, 'name', 'eth0');
  bringUp(namespace, ipv4, ipv6);
  const mac = /link\/ether (\S+)/.exec(ip('-n', namespace, 'link', 'show', 'eth0'))?.[1] ?? '';
  return new Container(host, { name, namespace, scratch: host.scratch, ipv4, ipv6, mac });
}

/** Opens a port and moves its TAP into a container. */
export async function addEndpoint(host: Host, dataplane: DataplaneHost, port: number): Promise<Container> {
  const { name } = await dataplane.openPort(port);
  return moveIn(host, name, port);
}
