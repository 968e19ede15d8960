import { CLOSE_CODES } from '../generated/codes.js';
import { attempt, property } from '../foreign.js';
import { reasonOf, shortLine } from '../problems.js';
import { isBytes } from '../wire/shape.js';
import { Datagrams } from './datagrams.js';
import { framed, MessageReader, MessageTooBig } from './framing.js';
import type { Reader, WebTransportConstructor, WebTransportLike, Writer } from './platform.js';
import type { Link, Transport, TransportEvents } from './transport.js';

/** How connections by WebTransport are made. */
export interface WebTransportOptions {
  /**
   * SHA-256 of certificates to believe, in hexadecimal digits, as the welcome tells in `quic`; for a server with a certificate of
   * its own making. Others are believed when the browser believes them.
   */
  certificateHashes?: readonly string[] | undefined;
  /** WebTransport to use instead of the global one. */
  webTransport?: WebTransportConstructor | undefined;
}

/** How long the last bytes may take to leave before a close, and a server's code to come after its last message. */
const CLOSE_MS = 2_000;

/** How long the reason may take to come for which a stream broke. */
const REASON_MS = 500;

/** Whether this platform has WebTransport. Pages have it only where they came by HTTPS or from this machine. */
export function hasWebTransport(): boolean {
  return typeof property(globalThis, 'WebTransport') === 'function';
}

/**
 * Carries messages over WebTransport, where the platform has it. It takes the address of a server as a WebSocket has it, and
 * `https://`; the port is that of QUIC, as the welcome tells in `quic`.
 */
export function webTransport(options: WebTransportOptions = {}): Transport {
  const hashes = (options.certificateHashes ?? []).map(bytesOfHash);
  const constructor = (): WebTransportConstructor => {
    const found: unknown = options.webTransport ?? property(globalThis, 'WebTransport');
    if (typeof found === 'function') return found as WebTransportConstructor;
    throw new Error('this platform has no WebTransport');
  };
  return {
    ready: () =>
      Promise.resolve().then(() => {
        constructor();
      }),
    open: (url, events) => new WebTransportLink(() => connect(constructor(), url, hashes), events),
  };
}

function connect(
  constructor: WebTransportConstructor,
  url: string,
  hashes: readonly Uint8Array<ArrayBuffer>[],
): WebTransportLike {
  const address = url.replace(/^wss?:/, 'https:');
  if (hashes.length === 0) return new constructor(address);
  const serverCertificateHashes = hashes.map((value) => ({ algorithm: 'sha-256', value }));
  return new constructor(address, { serverCertificateHashes });
}

function bytesOfHash(hash: string): Uint8Array<ArrayBuffer> {
  if (!/^[0-9a-f]{64}$/i.test(hash)) {
    throw new TypeError('certificateHashes has to hold SHA-256 hashes of 64 hexadecimal digits');
  }
  return Uint8Array.from({ length: 32 }, (_, at) => parseInt(hash.slice(2 * at, 2 * at + 2), 16));
}

class WebTransportLink implements Link {
  readonly #events: TransportEvents;
  readonly #messages = new MessageReader();
  #transport: WebTransportLike | undefined;
  #writer: Writer | undefined;
  #datagrams: Datagrams | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #done = false;

  constructor(connect: () => WebTransportLike, events: TransportEvents) {
    this.#events = events;
    Promise.resolve()
      .then(() => (this.#done ? undefined : this.#open(connect())))
      .catch((error: unknown) => {
        this.#broke(error);
      });
  }

  send(message: Uint8Array): void {
    this.#write(framed(message));
  }

  sendDatagram(datagram: Uint8Array): boolean {
    return this.#datagrams?.send(datagram) ?? false;
  }

  close(code: number): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#timer);
    const writer = this.#writer;
    if (writer === undefined) return this.#close(code);
    // What was sent before leaves first.
    const leave = (): void => {
      clearTimeout(this.#timer);
      this.#close(code);
    };
    this.#later(CLOSE_MS, leave);
    void attempt(() => writer.close().then(leave, leave), leave);
  }

  #close(code: number): void {
    attempt(() => this.#transport?.close({ closeCode: code, reason: '' }));
  }

  /** What is done at last does not keep a program running. */
  #later(ms: number, step: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(step, ms);
    (this.#timer as { unref?: () => void }).unref?.();
  }

  async #open(transport: WebTransportLike): Promise<void> {
    this.#transport = transport;
    // Both are listened to from the beginning: a rejection that nobody hears would be an error of the page.
    const [ready, closed] = [Promise.resolve(transport.ready), Promise.resolve(transport.closed)];
    ready.catch(() => undefined);
    closed.then(
      (info) => this.#ended(info),
      (error: unknown) => {
        this.#end(undefined, reasonOf(error));
      },
    );
    await ready;
    const stream = await transport.createBidirectionalStream();
    const writer = stream.writable.getWriter();
    const reader = stream.readable.getReader();
    if (this.#isDone()) return;
    this.#writer = writer;
    this.#datagrams = new Datagrams(attempt(() => transport.datagrams));
    this.#events.opened();
    const events = this.#events;
    if (events.receivedDatagram !== undefined) {
      void this.#datagrams.receive((datagram) => {
        if (!this.#done) events.receivedDatagram?.(datagram);
      });
    }
    await this.#receive(reader);
  }

  /** A field that others change while this waits. */
  #isDone(): boolean {
    return this.#done;
  }

  /** One chunk at a time: what is not read waits in the network, not here. */
  async #receive(reader: Reader): Promise<void> {
    while (!this.#done) {
      const { done, value } = await reader.read();
      if (done === true) {
        this.#answer();
        return;
      }
      if (!isBytes(value)) {
        this.#violated('the stream gave something that is no bytes');
        return;
      }
      try {
        for (const message of this.#messages.read(value)) {
          if (this.#isDone()) return;
          this.#events.received(message);
        }
      } catch (error) {
        if (!(error instanceof MessageTooBig)) throw error;
        this.#violated(error.message, CLOSE_CODES.message_too_big);
      }
    }
  }

  /** The server has said all. It tells its code when it knows that all has been read. */
  #answer(): void {
    if (this.#done) return;
    if (this.#messages.isWithinMessage) return this.#violated('the stream ended within a message');
    void attempt(() => this.#writer?.close().catch(() => undefined));
    this.#later(CLOSE_MS, () => {
      this.#end(undefined, 'the server ended the stream');
      this.#close(1000);
    });
  }

  #write(bytes: Uint8Array): void {
    const failed = (error: unknown): void => {
      this.#broke(error);
    };
    void attempt(() => this.#writer?.write(bytes).catch(failed), failed);
  }

  /** The session was closed, by the server unless by this side. */
  #ended(info: unknown): void {
    const [code, reason] = [property(info, 'closeCode'), property(info, 'reason')];
    // Without a code of the server it is 0.
    const isCode = typeof code === 'number' && code !== 0;
    const said = typeof reason === 'string' && reason !== '' ? shortLine(reason) : undefined;
    this.#end(isCode ? code : undefined, said);
  }

  /** A part of it failed. When the server has closed the session, its code comes at once. */
  #broke(error: unknown): void {
    if (this.#done) return;
    const why = reasonOf(error);
    this.#later(this.#writer === undefined ? 0 : REASON_MS, () => {
      this.#end(undefined, why);
      this.#close(CLOSE_CODES.protocol_error);
    });
  }

  /** The server broke the rules. */
  #violated(why: string, code: number = CLOSE_CODES.protocol_error): void {
    this.#end(undefined, why);
    this.#close(code);
  }

  #end(code: number | undefined, why: string | undefined): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#timer);
    if (why === undefined) this.#events.closed(code);
    else this.#events.closed(code, why);
  }
}
