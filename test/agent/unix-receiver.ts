/** A service manager's ear: a datagram socket in the Unix domain, which Node does not have. */
import {
  AF_UNIX,
  MSG_DONTWAIT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  bind,
  close,
  recv,
  socket,
} from '../../agent/io/libc.ts';

export class UnixReceiver {
  readonly fd: number;

  /** `name` as in $NOTIFY_SOCKET: a path, or "@" and a name. */
  constructor(name: string) {
    const path = Buffer.from(name.startsWith('@') ? `\0${name.slice(1)}` : `${name}\0`);
    const address = Buffer.concat([Buffer.from([AF_UNIX, 0]), path]);
    this.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (this.fd < 0 || bind(this.fd, address, address.length) !== 0) throw new Error(`cannot bind ${name}`);
  }

  /** What has come since the last call, a message an item. */
  take(): string[] {
    const messages: string[] = [];
    const buffer = Buffer.alloc(4_096);
    for (;;) {
      const length = recv(this.fd, buffer, buffer.length, MSG_DONTWAIT);
      if (length < 0) return messages;
      messages.push(buffer.toString('utf8', 0, length));
    }
  }

  close(): void {
    close(this.fd);
  }
}
