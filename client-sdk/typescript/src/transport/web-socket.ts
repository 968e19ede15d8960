import { CLOSE_CODES } from '../generated/codes.js';
import { SUBPROTOCOL } from '../generated/wire.js';
import { attempt, property } from '../foreign.js';
import { reasonOf, shortLine, within } from '../problems.js';
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

/** The message of an event; nothing if it holds no bytes. */
function bytesOf(event: unknown): Uint8Array | undefined {
  return attempt(() => {
    const data = property(event, 'data');
    return isBuffer(data) ? new Uint8Array(data) : undefined;
  });
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
        // A socket that could not be listened to is of no use.
        attempt(() => this.#socket?.close(1000));
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
    try {
      socket?.close(code);
    } finally {
      if (typeof property(socket, 'terminate') === 'function') this.#terminateLater(socket);
    }
  }

  /** A server that does not answer would otherwise keep a program in Node running. */
  #terminateLater(socket: WebSocketLike | undefined): void {
    const timer: unknown = setTimeout(() => attempt(() => socket?.terminate?.()), CLOSE_MS);
    (timer as { unref?: () => void }).unref?.();
  }

  #open(socket: WebSocketLike): void {
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      this.#isOpen = true;
      if (!this.#done) this.#events.opened();
    };
    socket.onmessage = (event) => {
      if (this.#done) return;
      const message = bytesOf(event);
      if (message !== undefined) return this.#events.received(message);
      attempt(() => {
        socket.close(CLOSE_CODES.protocol_error);
      });
      this.#end(undefined, 'the server sent text');
    };
    socket.onclose = (event) => {
      const [code, reason] = [property(event, 'code'), property(event, 'reason')];
      const said = typeof reason === 'string' && reason !== '' ? shortLine(reason) : undefined;
      const isCode = typeof code === 'number' && !CODES_WITHOUT_FRAME.includes(code);
      this.#end(isCode ? code : undefined, said ?? this.#why);
    };
    // A close always follows an error; unhandled, an error would end a Node process.
    socket.onerror = (event) => {
      const why = reasonOf(property(event, 'error') ?? event);
      if (why !== '') this.#why = why;
      else if (!this.#isOpen) this.#why = UNSAID;
    };
    this.#hearRefusals(socket);
  }

  /** The package `ws` alone says what a server answered that did not become a WebSocket. */
  #hearRefusals(socket: WebSocketLike): void {
    const on = property(socket, 'on') as ((name: string, listener: unknown) => void) | undefined;
    if (typeof on !== 'function' || typeof property(socket, 'terminate') !== 'function') return;
    const refused = async (_: unknown, response: Response): Promise<void> => {
      const why = await refusalOf(response).catch(reasonOf);
      this.#end(undefined, why);
      attempt(() => socket.terminate?.());
    };
    attempt(() => {
      on.call(socket, 'unexpected-response', (request: unknown, response: Response) => {
        void refused(request, response);
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
  const [code, said] = [property(response, 'statusCode'), property(response, 'statusMessage')];
  const [number, text] = [typeof code === 'number' ? code : 0, typeof said === 'string' ? said : ''];
  const status = shortLine(`the server answered HTTP ${String(number)} ${text}`);
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
  const page = shortLine(body.slice(0, REFUSAL_BYTES));
  return page === '' ? status : `${status}: ${page}`;
}
