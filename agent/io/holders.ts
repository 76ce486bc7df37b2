/**
 * Who holds a TAP or a port: read from /proc, for error messages only.
 *
 * Best effort: processes of other users or of other PID namespaces may be invisible, then the answer is empty.
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

export interface Holder {
  readonly pid: number;
  readonly command: string;
}

/** Processes with an open descriptor on the TAP `name`, in this network namespace. */
export function tapHolders(name: string): Holder[] {
  const line = new RegExp(`^iff:\\t${escapeRegExp(name)}$`, 'm'); // fdinfo of a tun descriptor ends with it
  const namespace = networkNamespace('self');
  return processes().filter(
    (holder) =>
      networkNamespace(holder.pid) === namespace &&
      entries(`/proc/${holder.pid}/fd`).some(
        (fd) =>
          target(`/proc/${holder.pid}/fd/${fd}`).endsWith('/net/tun') &&
          line.test(text(`/proc/${holder.pid}/fdinfo/${fd}`)),
      ),
  );
}

/** Processes with a UDP socket bound to `port` in this network namespace, on whichever address. */
export function udpPortHolders(port: number): Holder[] {
  return socketHolders(['/proc/net/udp', '/proc/net/udp6'], port);
}

/** The same for TCP: listeners, and what they accepted. */
export function tcpPortHolders(port: number): Holder[] {
  return socketHolders(['/proc/net/tcp', '/proc/net/tcp6'], port);
}

function socketHolders(tables: readonly string[], port: number): Holder[] {
  const inodes = new Set(tables.flatMap((table) => socketInodes(text(table), port)));
  if (inodes.size === 0) return [];
  return processes().filter((holder) =>
    entries(`/proc/${holder.pid}/fd`).some((fd) => {
      const match = /^socket:\[(\d+)\]$/.exec(target(`/proc/${holder.pid}/fd/${fd}`));
      return match?.[1] !== undefined && inodes.has(match[1]);
    }),
  );
}

/** Inode numbers of the sockets of a /proc/net/udp or tcp table that are bound to `port`. */
export function socketInodes(table: string, port: number): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  const inodes: string[] = [];
  for (const row of table.split('\n').slice(1)) {
    const fields = row.trim().split(/\s+/);
    if (fields[1]?.endsWith(`:${wanted}`) && fields[9] !== undefined) inodes.push(fields[9]);
  }
  return inodes;
}

/** "overlayd (pid 4711)", several joined by commas, or undefined when nobody was found. */
export function describeHolders(holders: readonly Holder[]): string | undefined {
  if (holders.length === 0) return undefined;
  return holders.map((holder) => `${holder.command} (pid ${holder.pid})`).join(', ');
}

function processes(): Holder[] {
  return entries('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((pid) => ({ pid: Number(pid), command: text(`/proc/${pid}/comm`).trim() || 'process' }));
}

function networkNamespace(pid: number | 'self'): string {
  return target(`/proc/${pid}/ns/net`);
}

function escapeRegExp(literal: string): string {
  return literal.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}

// A process may end between two looks, and some are not ours to read: both mean "nothing here".
function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function target(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
