/** Docker's API on a Unix socket, as far as overlayd asks for it, with networks that a test sets. */
import { createServer } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface FakeAttachment {
  readonly Name: string;
  readonly EndpointID: string;
  readonly MacAddress: string;
  readonly IPv4Address: string;
  readonly IPv6Address: string;
}

export interface FakeNetwork {
  readonly Id: string;
  readonly Name: string;
  readonly Driver: string;
  readonly Options?: Readonly<Record<string, string>>;
  readonly IPAM?: unknown;
  Containers: Record<string, FakeAttachment>;
}

export class FakeDocker {
  readonly socket = join(mkdtempSync(join(tmpdir(), 'ovd-fake-')), 'd.sock');
  readonly networks = new Map<string, FakeNetwork>();
  /** Answers to other questions, by path. */
  readonly others = new Map<string, unknown>();
  readonly asked: string[] = [];
  apiVersion = '1.41';
  minApiVersion = '1.12';
  /** Answers everything with this text instead. */
  strange: string | undefined;
  #server: Server | undefined;
  readonly #streams = new Set<ServerResponse>();

  async start(): Promise<void> {
    const server = createServer((request, response) => {
      const path = decodeURIComponent(request.url ?? '');
      this.asked.push(path);
      this.#answer(path.replace(/^\/v[\d.]+/, ''), response);
    });
    this.#server = server;
    await new Promise<void>((resolve) => {
      server.listen(this.socket, resolve);
    });
  }

  /** As dockerd that ends: every connection breaks. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.#streams.clear();
    if (server === undefined) return;
    const closed = new Promise((resolve) => {
      server.close(resolve);
    });
    server.closeAllConnections();
    await closed;
  }

  get listeners(): number {
    return this.#streams.size;
  }

  emit(type: string, action: string, id: string, attributes: Record<string, string> = {}): void {
    this.say(
      `${JSON.stringify({ Type: type, Action: action, Actor: { ID: id, Attributes: attributes } })}\n`,
    );
  }

  say(text: string): void {
    for (const stream of this.#streams) stream.write(text);
  }

  #answer(path: string, response: ServerResponse): void {
    const json = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(this.strange ?? JSON.stringify(body));
    };
    if (this.others.has(path)) {
      json(200, this.others.get(path));
    } else if (path === '/version') {
      json(200, { Version: '20.10.24', ApiVersion: this.apiVersion, MinAPIVersion: this.minApiVersion });
    } else if (path.startsWith('/events')) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      this.#streams.add(response);
      response.once('close', () => this.#streams.delete(response));
    } else if (path === '/networks' || path.startsWith('/networks?')) {
      const driver = /"driver":\["(\w+)"\]/.exec(path)?.[1];
      const all = [...this.networks.values()].filter(
        (network) => driver === undefined || network.Driver === driver,
      );
      json(
        200,
        all.map((network) => ({ ...network, Containers: {} })),
      );
    } else {
      const id = path.slice('/networks/'.length);
      const found = this.networks.get(id) ?? [...this.networks.values()].find(({ Name }) => Name === id);
      if (found === undefined) json(404, { message: `network ${id} not found` });
      else json(200, found);
    }
  }
}
