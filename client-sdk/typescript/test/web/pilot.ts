// A client by WebTransport that a test drives, in a page or in Node: it shows what its links did.

import { Client, LIMITS, webTransport } from '@pitturu/client';
import type { Link, Transport, WebTransportConstructor, WebTransportLike } from '@pitturu/client';

/** Why a link was closed: code and reason. */
export type Closed = [code: number | null, why: string | null];

/** Bytes that show when they are cut, moved or repeated. */
function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 31) % 251);
}

export class Pilot {
  readonly texts: string[] = [];
  readonly states: string[] = [];
  readonly closes: Closed[] = [];
  /** Bytes of the longest messages. */
  readonly longest = { sent: 0, received: 0 };
  readonly #sessions: WebTransportLike[] = [];
  #client: Client | undefined;
  #link: Link | undefined;

  /** Connects and signs in as a guest: the player's id. */
  async connect(
    url: string,
    hashes: readonly string[],
    secret: string,
    name: string,
    constructor?: WebTransportConstructor,
  ): Promise<string> {
    const transport = this.#watched(hashes, constructor);
    const client = new Client({ url, transport, backOff: { baseMs: 20, capMs: 200 } });
    this.#client = client;
    client.on('MessageSent', ({ msg }) => this.texts.push(msg.text));
    client.on('connection', ({ state }) => this.states.push(state));
    await client.connect();
    const { identity } = await client.loginGuest({ secret, name });
    return identity.user;
  }

  #watched(hashes: readonly string[], constructor?: WebTransportConstructor): Transport {
    const platform = globalThis as unknown as { WebTransport: WebTransportConstructor };
    const Platform = constructor ?? platform.WebTransport;
    const sessions = this.#sessions;
    class Kept extends Platform {
      constructor(...given: ConstructorParameters<WebTransportConstructor>) {
        super(...given);
        sessions.push(this);
      }
    }
    const inner = webTransport({ certificateHashes: hashes, webTransport: Kept });
    return {
      open: (url, events) => {
        const link = inner.open(url, {
          opened: () => events.opened(),
          received: (message) => {
            this.longest.received = Math.max(this.longest.received, message.length);
            events.received(message);
          },
          closed: (code, why) => {
            this.closes.push([code ?? null, why ?? null]);
            events.closed(code, why);
          },
        });
        // What the client says at once goes as one message, as long as one may be.
        let together: Uint8Array[] = [];
        const bytes = (): number => together.reduce((sum, part) => sum + part.length, 0);
        const flush = (): void => {
          if (together.length === 0) return;
          const message = new Uint8Array(bytes());
          let at = 0;
          for (const part of together) {
            message.set(part, at);
            at += part.length;
          }
          together = [];
          this.longest.sent = Math.max(this.longest.sent, message.length);
          link.send(message);
        };
        const watched: Link = {
          send: (message) => {
            if (bytes() + message.length > LIMITS.MESSAGE_BYTES_MAX) flush();
            together.push(message);
            queueMicrotask(flush);
          },
          sendDatagram: (datagram) => link.sendDatagram?.(datagram) ?? false,
          close: (code) => link.close(code),
        };
        this.#link = watched;
        return watched;
      },
    };
  }

  #connected(): Client {
    if (this.#client === undefined) throw new Error('not connected');
    return this.#client;
  }

  async enter(handle: string): Promise<string> {
    const { info } = await this.#connected().call('CreateRoom', { kind: 'public', name: handle });
    return info.room;
  }

  async join(room: string): Promise<void> {
    await this.#connected().call('JoinRoom', { room });
  }

  async send(room: string, text: string): Promise<number> {
    const { seq } = await this.#connected().call('SendMessage', { room, text });
    return seq;
  }

  /** So many echoes at once, of so many bytes each: whether each brought its own data back. */
  async echo(count: number, bytes: number): Promise<boolean> {
    const data = pattern(bytes);
    const echoes = Array.from({ length: count }, () => this.#connected().call('Echo', { data }));
    const replies = await Promise.all(echoes);
    return replies.every(
      (reply) => reply.data.every((byte, at) => byte === data[at]) && reply.data.length === bytes,
    );
  }

  /** Sends bytes as a datagram; false where there is none. */
  datagram(bytes: number[]): boolean {
    return this.#link?.sendDatagram?.(Uint8Array.from(bytes)) ?? false;
  }

  /** Closes the newest session behind the client's back. */
  cut(): void {
    this.#sessions.at(-1)?.close({ closeCode: 7, reason: 'cut' });
  }

  close(): void {
    this.#connected().close();
  }
}
