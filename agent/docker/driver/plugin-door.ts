/**
 * The plugin's socket as it comes and goes: where nobody asked for it and it cannot be had (a folder that may not be
 * written yet), it is tried again until it can.
 *
 * A socket on which another daemon of this machine answers is that one's for good: taking it in the moment when that one
 * restarts would give Docker a driver that knows nothing of its networks.
 */
import type { Served } from '../../api/socket.ts';
import { OverlaydError } from '../../errors.ts';
import type { Log } from '../../log.ts';

export class PluginDoor {
  readonly #start: () => Promise<Served>;
  readonly #log: Log;
  #server: Served | undefined;
  #timer: NodeJS.Timeout | undefined;
  #attempt: Promise<void> | undefined;
  #isClosed = false;
  #onOpen: () => void = () => undefined;

  /** `start` listens; throws OverlaydError. */
  constructor(start: () => Promise<Served>, log: Log) {
    this.#start = start;
    this.#log = log;
  }

  get isOpen(): boolean {
    return this.#server !== undefined;
  }

  /** When a later attempt was the good one. */
  onOpen(listener: () => void): void {
    this.#onOpen = listener;
  }

  /**
   * False: another daemon has it, and nobody asked for it here. Throws OverlaydError when it was asked for (it is not the
   * default) and cannot be had. Else it is open, or will be some time.
   */
  async open({ path, isDefault }: { path: string; isDefault: boolean }, retryMs: number): Promise<boolean> {
    try {
      this.#server = await this.#start();
      return true;
    } catch (error) {
      if (!isDefault || !(error instanceof OverlaydError)) throw error;
      const isTaken = error.code === 'OVL_ALREADY_RUNNING';
      this.#log.warn({ err: error, path }, `no Docker driver here${isTaken ? '' : ' yet; tried again'}`);
      if (isTaken) return false;
      this.#timer = setInterval(() => void this.#again(path), retryMs);
      return true;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await this.#attempt;
    await this.#server?.close();
    this.#server = undefined;
  }

  #again(path: string): Promise<void> {
    this.#attempt ??= this.#try(path).finally(() => (this.#attempt = undefined));
    return this.#attempt;
  }

  async #try(path: string): Promise<void> {
    try {
      this.#server = await this.#start();
    } catch {
      return; // it was said once
    }
    clearInterval(this.#timer);
    if (this.#isClosed) return;
    this.#log.info({ path }, 'the Docker driver is there');
    this.#onOpen();
  }
}
