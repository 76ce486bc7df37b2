/**
 * Subnets that this host has IPv4 routes for: a network there would take their traffic, or never get its own.
 *
 * From /proc/self/net/route (proc(5)): destination and mask as the kernel has them in memory, in hex.
 */
import { readFileSync } from 'node:fs';

const PATH = '/proc/self/net/route';

/** Empty where the kernel does not tell. The default route is left out: it covers everything. */
export function localRoutes(read: () => string = () => readFileSync(PATH, 'utf8')): string[] {
  let text: string;
  try {
    text = read();
  } catch {
    return [];
  }
  const routes: string[] = [];
  for (const line of text.split('\n').slice(1)) {
    const [, destination = '', , , , , , mask = ''] = line.trim().split(/\s+/);
    if (!/^[0-9A-F]{8}$/.test(destination) || !/^[0-9A-F]{8}$/.test(mask)) continue;
    const length = dotted(mask)
      .map((byte) => byte.toString(2).replaceAll('0', '').length)
      .reduce((a, b) => a + b);
    if (length > 0) routes.push(`${dotted(destination).join('.')}/${length}`);
  }
  return routes;
}

/** Little-endian machines alone are supported (WebAssembly memory, FFI). */
function dotted(hex: string): number[] {
  return [6, 4, 2, 0].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}
