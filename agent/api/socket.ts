/**
 * Whose socket file is it? Before the daemon touches anything, it makes sure that no other one answers there.
 *
 * A file left by a daemon that was killed is removed; anything alive, and anything that is no socket, is left alone.
 */
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { OverlaydError } from '../errors.ts';

/** sun_path of unix(7), less the terminating zero. */
const PATH_MAX_BYTES = 107;

/** Node cuts a longer path without a word, and then listens on another one. */
export function checkSocketPath(path: string, flag = '--socket'): void {
  if (Buffer.byteLength(path) <= PATH_MAX_BYTES) return;
  throw new OverlaydError('OVL_SOCKET_PATH_TOO_LONG', `the socket path ${path} is too long`, {
    hint: `Give a path of at most ${PATH_MAX_BYTES} bytes with ${flag}.`,
    exitCode: 2,
  });
}

/** Makes `path`, given with `flag`, free to listen on; throws OverlaydError when it is not ours to take. */
export async function claimSocket(path: string, flag = '--socket'): Promise<void> {
  checkSocketPath(path, flag);
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    const found = await lstat(path).catch(ignoreMissing);
    if (found === undefined) return;
    if (!found.isSocket()) {
      throw new OverlaydError('OVL_SOCKET_PATH_TAKEN', `${path} exists and is not a socket`, {
        hint: `Remove it, or give another path with ${flag}.`,
      });
    }
    if (await answers(path)) {
      throw new OverlaydError('OVL_ALREADY_RUNNING', `a daemon is running: it answers on ${path}`, {
        hint: `Stop it first, or give this one its own ${flag} and --state-dir.`,
      });
    }
    await unlink(path).catch(ignoreMissing);
  } catch (error) {
    if (error instanceof OverlaydError) throw error;
    throw socketError(path, error, flag);
  }
}

/** A server that listens on a path, such as fastify's. */
interface Listener {
  listen(options: { readonly path: string }): Promise<unknown>;
  close(): Promise<void>;
}

export interface SocketOptions {
  readonly mode: number;
  readonly connectionsMax: number;
  /** That the path is given with. */
  readonly flag?: string;
}

/** What was opened, and ends with `close`. */
export interface Served {
  close(): Promise<void>;
}

/** Listens on `path`, taking over a file that nobody answers on. Throws OverlaydError. */
export async function serveOn(
  path: string,
  { mode, connectionsMax, flag }: SocketOptions,
  build: () => Listener & { readonly server: { maxConnections: number } },
): Promise<Served> {
  await claimSocket(path, flag);
  const app = build();
  await listenOn(app, path, mode, flag);
  app.server.maxConnections = connectionsMax;
  return { close: () => app.close() };
}

/** Listens on the socket `path`, whose file is never there with a wider mode than `mode`. Closes `app` when it throws. */
export async function listenOn(app: Listener, path: string, mode: number, flag = '--socket'): Promise<void> {
  // So the umask and not only the chmod narrows it. It holds for the whole process: a folder that is made meanwhile must
  // stay one that its owner can use.
  const umask = process.umask(0o077 & ~mode);
  try {
    await app.listen({ path });
    await chmod(path, mode);
  } catch (error) {
    await app.close();
    throw socketError(path, error, flag);
  } finally {
    process.umask(umask);
  }
}

/** What went wrong with making, claiming or binding the socket, for people. */
function socketError(path: string, error: unknown, flag = '--socket'): OverlaydError {
  const { code, message } = error as NodeJS.ErrnoException;
  const denied = code === 'EACCES' || code === 'EPERM';
  return new OverlaydError('OVL_SOCKET_FAILED', `cannot listen on ${path}: ${message}`, {
    hint: denied
      ? `Run as root, or give a path with ${flag} that you may write.`
      : `Give another path with ${flag}.`,
    cause: error,
    exitCode: denied ? 4 : 1,
  });
}

/** True when somebody accepts; a socket that we may not even try counts as alive. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}

function ignoreMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}
