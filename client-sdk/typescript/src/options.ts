import type { Resume } from './generated/types.js';
import type { BackOff } from './machine/types.js';
import { checkNames, isObject } from './names.js';
import type { TokenStore } from './token-keeper.js';
import type { Transport } from './transport/transport.js';
import type { Preference, WayCounts } from './transport/ways.js';
import type { WebSocketConstructor } from './transport/web-socket.js';
import { checkShape, Misfit } from './wire/shape.js';

/** What a client begins with. */
export interface ClientOptions {
  /** Address of the server: `ws://127.0.0.1:7350`; for another transport also one of `https://`. */
  url: string;
  /** Where tokens are kept. Without it the player signs in on each run. */
  tokens?: TokenStore | undefined;
  /** Cursors kept from an earlier run: the rooms to open again, and how far the inbox was read. */
  resume?: Resume | undefined;
  /**
   * Whether the player's inbox is followed: friend requests, invitations and the like come as `InboxAdded`. True unless given;
   * from the cursor in `resume`, otherwise from the oldest entry that the server keeps.
   */
  inbox?: boolean | undefined;
  /**
   * What may carry the connection: the best that works here (`auto`, unless given), which is WebTransport where the browser, the
   * server and the network have it and WebSocket elsewhere; or WebSocket alone.
   */
  transports?: 'auto' | 'websocket' | undefined;
  /** WebSocket to use instead of the global one, and the only thing to connect with then. */
  webSocket?: WebSocketConstructor | undefined;
  /** Transport to use instead of all others. */
  transport?: Transport | undefined;
  /**
   * Waits between attempts to connect; 250 ms at first and 20 s at most unless given. The first is at least 1 ms, the longest no
   * shorter than it and at most a day; one below 100 ms counts as 100 ms. Anything else is a TypeError.
   */
  backOff?: BackOff | undefined;
  /** How long a connection may take to be welcomed, in milliseconds; 10 s unless given. */
  handshakeMs?: number | undefined;
  /** Time after which a call ends with `deadline`, unless the call says otherwise; 30 s unless given. `Infinity`: never. */
  deadlineMs?: number | undefined;
  /** Random bytes for idempotency keys, where there is no `crypto.getRandomValues`. */
  randomBytes?: ((length: number) => Uint8Array) | undefined;
}

/** Counts of what has carried a client's connections. */
export interface TransportStats extends WayCounts {
  /** Times that the live client was moved from one connection to another. */
  handovers: number;
}

/** What is used of an AbortSignal. */
export interface AbortSignalLike {
  /** Whether it has been given. */
  readonly aborted: boolean;
  /** Why. */
  readonly reason?: unknown;
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** How one call is made. */
export interface CallOptions {
  /** Gives the call up: it ends with `cancelled`. Whether it took effect is unknown. */
  signal?: AbortSignalLike | undefined;
  /** Time in milliseconds after which the call ends with `deadline`; `Infinity` for never. */
  deadlineMs?: number | undefined;
  /**
   * Idempotency key, to repeat an action of an earlier run of the program; drawn at random for each writing call unless given.
   * For a given one the server looks for an earlier result, which it need not do for a drawn one.
   */
  key?: string | undefined;
}

/** A time that has passed this long after another is never due in practice, and is no time that a timer takes. */
const FOREVER_MS = 2 ** 52;

/** The least that the longest wait between attempts is, so that they come about 20 times a second at most. */
const BACK_OFF_CAP_MS_MIN = 100;

/** The most that it may be: a day. */
const BACK_OFF_CAP_MS_MAX = 24 * 3_600_000;

/** Every option of a client. */
const CLIENT_OPTIONS: Readonly<Record<keyof ClientOptions, true>> = {
  url: true,
  tokens: true,
  resume: true,
  inbox: true,
  transports: true,
  webSocket: true,
  transport: true,
  backOff: true,
  handshakeMs: true,
  deadlineMs: true,
  randomBytes: true,
};

/** Every option of a call. */
export const CALL_OPTIONS: Readonly<Record<keyof CallOptions, true>> = {
  signal: true,
  deadlineMs: true,
  key: true,
};

/** Throws TypeError for options that no client can begin with. */
export function checkOptions(options: ClientOptions): void {
  if (!isObject(options)) {
    throw new TypeError("new Client(options): options are missing, such as { url: 'ws://127.0.0.1:7350' }");
  }
  checkNames(options, CLIENT_OPTIONS, 'new Client(options)');
  const { url, handshakeMs, deadlineMs, resume, tokens, transport, webSocket, randomBytes } = options;
  // Callers in JavaScript may give anything.
  const address: unknown = url;
  const isOther = transport !== undefined && /^https:\/\/[^/]/.test(String(address));
  if (typeof address !== 'string' || !(isOther || /^wss?:\/\/[^/]/.test(address))) {
    throw new TypeError(`the address has to begin with ws:// or wss://, not ${String(address)}`);
  }
  backOffOf(options);
  for (const [name, ms] of Object.entries({ handshakeMs, deadlineMs })) {
    if (ms !== undefined && !isTime(ms)) throw new TypeError(`${name} has to be a time in milliseconds`);
  }
  for (const name of ['load', 'save'] as const) {
    if (tokens !== undefined && typeof tokens[name] !== 'function') {
      throw new TypeError(`tokens has to have a function ${name}`);
    }
  }
  if (transport !== undefined && typeof transport.open !== 'function') {
    throw new TypeError('transport has to have a function open');
  }
  if (options.transports !== undefined) checkTransports(options.transports);
  for (const [name, given] of Object.entries({ webSocket, randomBytes })) {
    if (given !== undefined && typeof given !== 'function')
      throw new TypeError(`${name} has to be a function`);
  }
  if (resume !== undefined) checkResume(resume);
}

/** Throws TypeError for what the option `transports` can not be. */
function checkTransports(transports: unknown): void {
  if (transports === 'auto' || transports === 'websocket') return;
  throw new TypeError(`transports has to be auto or websocket, not ${String(transports)}`);
}

/** Throws TypeError for what no preference is. */
export function checkPreference(preference: Preference): void {
  const known: readonly unknown[] = ['auto', 'websocket', 'webtransport'];
  if (known.includes(preference)) return;
  throw new TypeError(`the transport has to be auto, websocket or webtransport, not ${preference as string}`);
}

/** The waits of a client that is made with these options: it neither storms its server nor stays away for good. */
export function backOffOf({ backOff }: ClientOptions): BackOff {
  if (backOff === undefined) return { baseMs: 250, capMs: 20_000 };
  checkNames(backOff, { baseMs: true, capMs: true }, 'backOff');
  const { baseMs, capMs } = backOff;
  if (!(isTime(baseMs) && baseMs >= 1)) throw new TypeError('backOff.baseMs has to be at least 1 ms');
  if (!(isTime(capMs) && capMs >= baseMs && capMs <= BACK_OFF_CAP_MS_MAX)) {
    throw new TypeError('backOff.capMs has to be a time in milliseconds, from baseMs to a day');
  }
  return { baseMs, capMs: Math.max(capMs, BACK_OFF_CAP_MS_MIN) };
}

function checkResume(resume: Resume): void {
  try {
    checkShape('Resume', resume);
  } catch (error) {
    if (!(error instanceof Misfit)) throw error;
    throw new TypeError(`resume does not hold the cursors of a client: ${error.message}`, { cause: error });
  }
}

/** Whether it is a time in milliseconds; `Infinity` is one. */
export function isTime(ms: unknown): ms is number {
  return typeof ms === 'number' && ms >= 0;
}

/** The moment that is so long after another; nothing when that is never. */
export function after(now: number, ms: number): number | undefined {
  return ms >= FOREVER_MS ? undefined : now + ms;
}
