import { CLOSE_CODES } from '../generated/codes.js';
import { SUBPROTOCOL } from '../generated/wire.js';
import { oneLine, reasonOf, within } from '../problems.js';
import { isBytes } from '../wire/shape.js';
import type { Link, Transport, TransportEvents } from './transport.js';

/** What is used of a WebSocket; those of browsers, Node, React Native and the package `ws` all have it. */
export interface WebSocketLike {
  binaryType: string;
  onopen: { handle(event: unknown): void }['handle'] | null;
  onmessage: { handle(event: { data: unknown }): void }['handle'] | null;
  onclose: { handle(event: { code: number; reason?: string | undefined }): void }['handle'] | null;
  onerror: { handle(event: unknown): void }['handle'] | null;
  send(data: Uint8Array): void;
  close(code?: number): void;
  /** Breaks the connection without waiting for the other side. That of the package `ws` has it. */
  terminate?: (() => void) | undefined;
}

/** Makes a WebSocket. */
export type WebSocketConstructor = new (url: string, protocol: string) => WebSocketLike;

/** What the package `ws` tells of an answer that is no WebSocket. */
interface Response extends AsyncIterable<unknown> {
  statusCode?: number;
  statusMessage?: string;
}

/** How long the text of such an answer may take. */
const REFUSAL_MS = 1_000;

/** Bytes of it that are read. */
const REFUSAL_BYTES = 512;

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
  /** What the socket has said of its end. */
  #why: string | undefined;
  #isOpen = false;
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
      .catch((error: unknown) => {
        this.#end(undefined, reasonOf(error));
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
      this.#isOpen = true;
      if (!this.#done) this.#events.opened();
    };
    socket.onmessage = ({ data }) => {
      if (this.#done) return;
      if (isBuffer(data)) return this.#events.received(new Uint8Array(data));
      socket.close(CLOSE_CODES.protocol_error);
      this.#end(undefined, 'the server sent text');
    };
    socket.onclose = ({ code, reason }) => {
      const said = reason === undefined || reason === '' ? undefined : oneLine(reason);
      this.#end(CODES_WITHOUT_FRAME.includes(code) ? undefined : code, said ?? this.#why);
    };
    // A close always follows an error; unhandled, an error would end a Node process.
    socket.onerror = (event) => {
      const { error = event } = (event as { error?: unknown } | undefined) ?? {};
      const why = reasonOf(error);
      if (why !== '') this.#why = why;
      else if (!this.#isOpen) this.#why = UNSAID;
    };
    this.#hearRefusals(socket);
  }

  /** The package `ws` alone says what a server answered that did not become a WebSocket. */
  #hearRefusals(socket: WebSocketLike): void {
    const { on } = socket as { on?: (event: string, listener: (...args: never[]) => void) => void };
    if (typeof on !== 'function' || typeof socket.terminate !== 'function') return;
    on.call(socket, 'unexpected-response', (_: unknown, response: Response) => {
      void refusalOf(response).then((why) => {
        this.#end(undefined, why);
        socket.terminate?.();
      });
    });
  }

  #end(code: number | undefined, why: string | undefined): void {
    if (this.#done) return;
    this.#done = true;
    if (why === undefined) this.#events.closed(code);
    else this.#events.closed(code, why);
  }
}

/** Browsers keep the reason from pages, and write it to their console. */
const UNSAID =
  'the WebSocket could not be opened, and this platform does not say why. Is the address right, and the server running there?';

/** What a server answered instead of opening a WebSocket: its status, and the beginning of its text. */
async function refusalOf(response: Response): Promise<string> {
  const { statusCode = 0, statusMessage = '' } = response;
  const status = `the server answered HTTP ${String(statusCode)} ${statusMessage}`.trim();
  const decoder = new TextDecoder();
  let body = '';
  const read = async (): Promise<void> => {
    for await (const chunk of response) {
      body += isBytes(chunk) ? decoder.decode(chunk, { stream: true }) : '';
      if (body.length >= REFUSAL_BYTES) return;
    }
  };
  // What has been read by then, or before it breaks off, is enough.
  await within(REFUSAL_MS, read, () => undefined).catch(() => undefined);
  const text = oneLine(body.slice(0, REFUSAL_BYTES));
  return text === '' ? status : `${status}: ${text}`;
}
