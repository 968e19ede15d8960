import { CLOSE_CODES } from '../generated/codes.js';
import { SUBPROTOCOL } from '../generated/wire.js';
import type { Link, Transport, TransportEvents } from './transport.js';

/** What is used of a WebSocket; those of browsers, Node, React Native and the package `ws` all have it. */
export interface WebSocketLike {
  binaryType: string;
  onopen: { handle(event: unknown): void }['handle'] | null;
  onmessage: { handle(event: { data: unknown }): void }['handle'] | null;
  onclose: { handle(event: { code: number }): void }['handle'] | null;
  onerror: { handle(event: unknown): void }['handle'] | null;
  send(data: Uint8Array): void;
  close(code?: number): void;
  /** Breaks the connection without waiting for the other side. That of the package `ws` has it. */
  terminate?: (() => void) | undefined;
}

/** Makes a WebSocket. */
export type WebSocketConstructor = new (url: string, protocol: string) => WebSocketLike;

/** How long a server may take to agree to a close. */
const CLOSE_MS = 2_000;

/** What WebSocket gives as the code when the server sent none, and when the connection broke. */
const CODES_WITHOUT_FRAME: readonly number[] = [1005, 1006];

/** Carries messages over WebSockets of this constructor, which may be loaded when it is first needed. */
export function webSocketTransport(
  load: () => WebSocketConstructor | Promise<WebSocketConstructor>,
): Transport {
  return {
    ready: async () => {
      await load();
    },
    open: (url, events) => new WebSocketLink(load, url, events),
  };
}

/** Whether a value is an ArrayBuffer, also one that another realm made, as test environments do. */
function isBuffer(value: unknown): value is ArrayBuffer {
  return Object.prototype.toString.call(value) === '[object ArrayBuffer]';
}

class WebSocketLink implements Link {
  readonly #events: TransportEvents;
  #socket: WebSocketLike | undefined;
  #done = false;

  constructor(
    load: () => WebSocketConstructor | Promise<WebSocketConstructor>,
    url: string,
    events: TransportEvents,
  ) {
    this.#events = events;
    Promise.resolve()
      .then(load)
      .then((constructor) => {
        if (!this.#done) this.#open(new constructor(url, SUBPROTOCOL));
      })
      .catch(() => {
        this.#end(undefined);
      });
  }

  send(message: Uint8Array): void {
    this.#socket?.send(message);
  }

  close(code: number): void {
    if (this.#done) return;
    this.#done = true;
    const socket = this.#socket;
    socket?.close(code);
    if (typeof socket?.terminate !== 'function') return;
    // A server that does not answer would otherwise keep a program in Node running.
    const timer: unknown = setTimeout(() => socket.terminate?.(), CLOSE_MS);
    (timer as { unref?: () => void }).unref?.();
  }

  #open(socket: WebSocketLike): void {
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      if (!this.#done) this.#events.opened();
    };
    socket.onmessage = ({ data }) => {
      if (this.#done) return;
      if (isBuffer(data)) return this.#events.received(new Uint8Array(data));
      socket.close(CLOSE_CODES.protocol_error);
      this.#end(undefined);
    };
    socket.onclose = ({ code }) => {
      this.#end(CODES_WITHOUT_FRAME.includes(code) ? undefined : code);
    };
    // A close always follows an error; unhandled, an error would end a Node process.
    socket.onerror = () => undefined;
  }

  #end(code: number | undefined): void {
    if (this.#done) return;
    this.#done = true;
    this.#events.closed(code);
  }
}
