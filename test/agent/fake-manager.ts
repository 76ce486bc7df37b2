/**
 * A service manager of our own: it hears what sd_notify says and keeps the descriptors that come with it, as systemd's
 * store does, for a next run that is given them from number 3 on.
 */
import koffi from 'koffi';
import { MSG_DONTWAIT, addressOf, close } from '../../agent/io/libc.ts';
import { UnixReceiver } from './unix-receiver.ts';

const recvmsg: (fd: number, message: number, flags: number) => number = koffi
  .load(null)
  .func('recvmsg', 'int64', ['int', 'uintptr_t', 'int']);

const MSG_CMSG_CLOEXEC = 0x4000_0000;
// struct msghdr, struct iovec, room for a control message, room for the text; cmsg(3).
const IOV_AT = 56;
const CONTROL_AT = 72;
const CONTROL_BYTES = 1_024;
const TEXT_AT = CONTROL_AT + CONTROL_BYTES;
const TEXT_BYTES = 4_096;

export class FakeManager {
  readonly name: string;
  /** Everything that was said, but the watchdog. */
  readonly said: string[] = [];
  readonly #receiver: UnixReceiver;
  readonly #stored: { readonly name: string; readonly fd: number }[] = [];

  #isClosed = false;

  /** `name` as in $NOTIFY_SOCKET. */
  constructor(name: string) {
    this.name = name;
    this.#receiver = new UnixReceiver(name);
  }

  /** Takes in what has come, and does as told. */
  listen(): void {
    for (;;) {
      const message = receive(this.#receiver.fd);
      if (message === undefined) return;
      const { text, fds } = message;
      if (text.startsWith('WATCHDOG=')) continue;
      this.said.push(text);
      const name = /^FDNAME=(.*)$/m.exec(text)?.[1] ?? 'stored';
      if (/^FDSTORE=1$/m.test(text)) for (const fd of fds) this.#stored.push({ name, fd });
      else for (const fd of fds) close(fd);
      if (/^FDSTOREREMOVE=1$/m.test(text)) this.#discard((each) => each === name);
    }
  }

  /** Names of what is kept now. */
  get stored(): string[] {
    this.listen();
    return this.#stored.map(({ name }) => name);
  }

  /** For the next run: the descriptors that it is to have from 3 on, and what it is told of them but for its PID. */
  hand(): { readonly fds: readonly number[]; readonly environment: Record<string, string> } {
    const { stored: names } = this;
    const told = { LISTEN_FDS: `${names.length}`, LISTEN_FDNAMES: names.join(':') };
    return {
      fds: this.#stored.map(({ fd }) => fd),
      environment: { NOTIFY_SOCKET: this.name, ...(names.length > 0 && told) },
    };
  }

  close(): void {
    if (this.#isClosed) return;
    this.listen();
    this.#isClosed = true;
    this.#discard(() => true);
    this.#receiver.close();
  }

  #discard(isMeant: (name: string) => boolean): void {
    for (const each of this.#stored.filter(({ name }) => isMeant(name))) {
      this.#stored.splice(this.#stored.indexOf(each), 1);
      close(each.fd);
    }
  }
}

function receive(socket: number): { readonly text: string; readonly fds: readonly number[] } | undefined {
  const bytes = new Uint8Array(new SharedArrayBuffer(TEXT_AT + TEXT_BYTES));
  const view = new DataView(bytes.buffer);
  const base = addressOf(bytes);
  const word = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  word(16, base + IOV_AT);
  word(24, 1);
  word(32, base + CONTROL_AT);
  word(40, CONTROL_BYTES);
  word(IOV_AT, base + TEXT_AT);
  word(IOV_AT + 8, TEXT_BYTES);
  const length = recvmsg(socket, base, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length < 0) return undefined;
  const isControl = Number(view.getBigUint64(40, true)) > 0;
  const end = isControl ? Number(view.getBigUint64(CONTROL_AT, true)) : 0;
  const fds: number[] = [];
  for (let at = 16; at < end; at += 4) fds.push(view.getInt32(CONTROL_AT + at, true));
  return { text: Buffer.from(bytes.slice(TEXT_AT, TEXT_AT + length)).toString(), fds };
}
