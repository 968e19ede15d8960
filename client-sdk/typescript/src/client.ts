import { CallError, faultOf } from './errors.js';
import type { ClientEvents, EventName } from './events.js';
import { EventQueue, Listeners, QUEUE_HIGH, QUEUE_LOW } from './events.js';
import type { Events, Methods } from './generated/tables.js';
import { EVENT_NAMES, METHODS } from './generated/tables.js';
import type { Identity, Resume } from './generated/types.js';
import type { MethodName } from './machine/calls.js';
import { Refused } from './machine/calls.js';
import { Machine } from './machine/machine.js';
import type { BackOff, Connection, Output, Result, Ticket, Tokens } from './machine/types.js';
import type { Link, Transport } from './transport/transport.js';
import type { WebSocketConstructor } from './transport/web-socket.js';
import { webSocketTransport } from './transport/web-socket.js';
import { PACKAGE_VERSION } from './version.js';
import { checkShape, Misfit } from './wire/shape.js';

/** Keeps the tokens between runs of a program. */
export interface TokenStore {
  /** The tokens of the last run; nothing when there are none. */
  load(): Tokens | undefined | Promise<Tokens | undefined>;
  /** Called with each new pair, and with an empty one after signing out. */
  save(tokens: Tokens): void | Promise<void>;
}

/** What a client begins with. */
export interface ClientOptions {
  /** Address of the server: `ws://127.0.0.1:7350`. */
  url: string;
  /** Where tokens are kept. Without it the player signs in on each run. */
  tokens?: TokenStore;
  /** Cursors kept from an earlier run; `{ inbox: 0 }` follows the inbox from its beginning. */
  resume?: Resume;
  /** WebSocket to use instead of the global one. */
  webSocket?: WebSocketConstructor;
  /** Transport to use instead of WebSocket. */
  transport?: Transport;
  /** Waits between attempts to connect; 250 ms at first and 20 s at most unless given. */
  backOff?: BackOff;
  /** How long a connection may take to be welcomed; 10 s unless given. */
  handshakeMs?: number;
  /** Time after which a call ends with `deadline`, unless the call says otherwise; 30 s unless given. `Infinity`: never. */
  deadlineMs?: number;
  /** Random bytes for idempotency keys, where there is no `crypto.getRandomValues`. */
  randomBytes?: (length: number) => Uint8Array;
}

/** How one call is made. */
export interface CallOptions {
  /** Gives the call up: it ends with `cancelled`. Whether it took effect is unknown. */
  signal?: AbortSignal;
  /** Time after which the call ends with `deadline`; `Infinity` for never. */
  deadlineMs?: number;
  /**
   * Idempotency key, to repeat an action of an earlier run of the program; drawn at random for each writing call unless given.
   * For a given one the server looks for an earlier result, which it need not do for a drawn one.
   */
  key?: string;
}

interface Waiting {
  resolve: (reply: unknown) => void;
  reject: (error: CallError) => void;
}

const KEY_BYTES = 16;

const DEADLINE_MS = 30_000;

/** Browsers say when the device has found a network; elsewhere nobody does. */
const browserEvents = (globalThis as { window?: Partial<EventTarget> }).window?.addEventListener
  ? globalThis.window
  : undefined;

function defaultTransport(webSocket: WebSocketConstructor | undefined): Transport {
  return webSocketTransport(() => {
    const constructor = webSocket ?? (globalThis.WebSocket as WebSocketConstructor | undefined);
    if (constructor === undefined) {
      throw new Error('there is no global WebSocket here: pass one as the option `webSocket`');
    }
    return constructor;
  });
}

function systemRandomBytes(length: number): Uint8Array {
  const crypto = globalThis.crypto as Crypto | undefined;
  if (crypto === undefined) {
    throw new Error('there is no crypto.getRandomValues here: pass the option `randomBytes`');
  }
  return crypto.getRandomValues(new Uint8Array(length));
}

/**
 * A player's client: one for the whole run of a program. It connects, comes back after each loss of the connection, takes up
 * the rooms where they stood, and keeps calls until they can be answered.
 */
export class Client {
  readonly #options: ClientOptions;
  readonly #machine: Machine;
  readonly #transport: Transport;
  readonly #listeners = new Listeners();
  readonly #queues = new Set<EventQueue<EventName>>();
  readonly #waiting = new Map<Ticket, Waiting>();
  #link: Link | undefined;
  #timer: { at: number; handle: ReturnType<typeof setTimeout> } | undefined;
  readonly #networkFound = (): void => {
    this.retryNow();
  };
  #pumping = false;
  #closed = false;

  /** Throws TypeError for an address that is not one of a WebSocket. */
  constructor(options: ClientOptions) {
    if (!/^wss?:\/\/[^/]/.test(options.url)) {
      throw new TypeError(`the address has to begin with ws:// or wss://, not ${options.url}`);
    }
    this.#options = options;
    this.#transport = options.transport ?? defaultTransport(options.webSocket);
    this.#machine = new Machine({
      sdk: `typescript/${PACKAGE_VERSION}`,
      tokens: {},
      resume: options.resume ?? {},
      backOff: options.backOff ?? { baseMs: 250, capMs: 20_000 },
      handshakeMs: options.handshakeMs ?? 10_000,
      stableMs: 5_000,
      random: Math.random,
    });
  }

  /** Where the client stands. */
  get connection(): Connection {
    return this.#machine.connection;
  }

  /** Who is or was last signed in; absent when signed out or not yet known. */
  get identity(): Identity | undefined {
    return this.#machine.identity;
  }

  /** The followed streams with their cursors, for the option `resume` of a later run. */
  get cursors(): Resume {
    return this.#machine.cursors;
  }

  /**
   * Begins to connect. The promise is fulfilled when the server has welcomed this client, however many attempts that takes,
   * and rejected with `disconnected` when the client is closed or the server wants it to stay away.
   */
  async connect(): Promise<void> {
    await this.#transport.ready?.();
    const tokens = await this.#options.tokens?.load();
    if (tokens !== undefined) this.#machine.useTokens(tokens);
    this.#closed = false;
    if (isWelcomed(this.connection)) return;
    browserEvents?.addEventListener('online', this.#networkFound);
    const welcomed = new Promise<void>((resolve, reject) => {
      const stop = this.on('connection', (connection) => {
        if (isWelcomed(connection)) {
          stop();
          resolve();
        } else if (connection.state === 'stopped') {
          stop();
          const code = connection.code === undefined ? '' : ` with code ${String(connection.code)}`;
          reject(new CallError(faultOf('disconnected', `the connection was closed for good${code}`)));
        }
      });
    });
    this.#run(() => {
      this.#machine.start(now());
    });
    return welcomed;
  }

  /** Closes the connection for good. Calls without an answer end with `disconnected`, and iterators end. */
  close(): void {
    this.#closed = true;
    browserEvents?.removeEventListener('online', this.#networkFound);
    this.#run(() => {
      this.#machine.stop();
    });
    for (const queue of [...this.#queues]) queue.end();
  }

  /** Tries to connect at once instead of at the next attempt's time: for when the device has found a network. */
  retryNow(): void {
    this.#run(() => {
      this.#machine.retryNow(now());
    });
  }

  /**
   * Calls a method. While there is no connection the call waits, unless it is for the moment (`Typing`, `SendEphemeral`); a
   * writing call carries an idempotency key, so that it takes effect once however often it has to be repeated. Rejects with a
   * CallError.
   */
  call<M extends MethodName>(
    method: M,
    request: Methods[M]['request'],
    options: CallOptions = {},
  ): Promise<Methods[M]['reply']> {
    return new Promise((resolve, reject) => {
      const { signal } = options;
      if (signal?.aborted === true) return reject(cancelled(signal));
      const ticket = this.#take(method, request, options, reject);
      if (ticket === undefined) return;
      const abort = (): void => {
        if (signal === undefined || !this.#waiting.delete(ticket)) return;
        this.#run(() => {
          this.#machine.cancel(ticket);
        });
        reject(cancelled(signal));
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiting.set(ticket, {
        resolve: (reply) => {
          signal?.removeEventListener('abort', abort);
          // The machine has checked the reply's shape against the table.
          resolve(reply as Methods[M]['reply']);
        },
        reject: (error) => {
          signal?.removeEventListener('abort', abort);
          reject(error);
        },
      });
      this.#pump();
    });
  }

  /** Creates an account and signs in. */
  register(request: Methods['Register']['request']): Promise<Methods['Register']['reply']> {
    return this.call('Register', request);
  }

  /** Signs in with name and password. */
  login(request: Methods['Login']['request']): Promise<Methods['Login']['reply']> {
    return this.call('Login', request);
  }

  /** Signs in with a secret that only this device knows. */
  loginGuest(request: Methods['LoginGuest']['request']): Promise<Methods['LoginGuest']['reply']> {
    return this.call('LoginGuest', request);
  }

  /** Ends this sign-in. */
  logout(): Promise<Methods['Logout']['reply']> {
    return this.call('Logout', {});
  }

  /** Sends game input for a match, if there is a connection. It is lost otherwise. */
  input(room: string, seq: number, data: Uint8Array): void {
    this.#run(() => {
      this.#machine.input(room, seq, data);
    });
  }

  /** Listens for events of one kind. Returns what ends that. */
  on<E extends EventName>(name: E, listener: (event: ClientEvents[E]) => void): () => void {
    return this.#listeners.add(name, listener);
  }

  /**
   * Events of one kind as they come, from now until the client is closed, the signal aborts or the loop is left. A reader
   * that falls behind makes the client hold messages back at the server; none is lost.
   */
  events<E extends EventName>(
    name: E,
    options: { signal?: AbortSignal } = {},
  ): AsyncIterableIterator<ClientEvents[E]> {
    const { signal } = options;
    const queue = new EventQueue<E>(
      name,
      () => {
        this.#holdBack();
      },
      () => {
        stop();
        this.#queues.delete(queue as unknown as EventQueue<EventName>);
        signal?.removeEventListener('abort', end);
      },
    );
    const stop = this.on(name, (event) => {
      queue.push(event);
    });
    const end = (): void => {
      queue.end();
    };
    this.#queues.add(queue as unknown as EventQueue<EventName>);
    signal?.addEventListener('abort', end, { once: true });
    if (signal?.aborted === true || this.#closed) queue.end();
    return queue;
  }

  #take<M extends MethodName>(
    method: M,
    request: Methods[M]['request'],
    options: CallOptions,
    reject: (error: CallError) => void,
  ): Ticket | undefined {
    try {
      checkShape(method, request);
      const call: Parameters<Machine['call']>[0] = { method, request: { ...request } };
      const deadlineMs = options.deadlineMs ?? this.#options.deadlineMs ?? DEADLINE_MS;
      if (deadlineMs !== Infinity) call.deadline = now() + deadlineMs;
      if (options.key !== undefined) {
        call.key = options.key;
      } else if (METHODS[method].effect === 'writes') {
        call.key = this.#newKey();
        call.keyIsNew = true;
      }
      return this.#machine.call(call);
    } catch (error) {
      reject(asCallError(error));
      return undefined;
    }
  }

  #newKey(): string {
    const bytes = (this.#options.randomBytes ?? systemRandomBytes)(KEY_BYTES);
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  /** Entries of streams are held back while some iterator has too many of them waiting. */
  #holdBack(): void {
    let most = 0;
    for (const queue of this.#queues) most = Math.max(most, queue.size);
    const paused = most >= (this.#machine.paused ? QUEUE_LOW : QUEUE_HIGH);
    if (paused === this.#machine.paused) return;
    this.#run(() => {
      this.#machine.pause(paused);
    });
  }

  #run(step: () => void): void {
    step();
    this.#pump();
  }

  /** Does what the machine says. What handlers cause meanwhile is done by the loop that called them. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      for (;;) {
        const output = this.#machine.poll();
        if (output !== undefined) {
          this.#handle(output);
          continue;
        }
        const message = this.#machine.transmit();
        if (message === undefined) break;
        this.#link?.send(message);
      }
    } finally {
      this.#pumping = false;
    }
    this.#setTimer();
  }

  #handle(output: Output): void {
    switch (output.kind) {
      case 'connect':
        return this.#open();
      case 'close': {
        const link = this.#link;
        this.#link = undefined;
        link?.close(output.code);
        return;
      }
      case 'connection':
        return this.#listeners.emit('connection', output.connection);
      case 'answer':
        return this.#answer(output.ticket, output.result);
      case 'event':
        return this.#happened(output.event, output.body);
      case 'gap': {
        const { stream, missing, from, to } = output;
        return this.#listeners.emit('gap', { stream, missing, from, to });
      }
      case 'stream_lost':
        return this.#listeners.emit('streamLost', { stream: output.stream, fault: output.fault });
      case 'state': {
        const { room, tick, data } = output;
        return this.#listeners.emit('state', { room, tick, data });
      }
      case 'signed_in':
        return this.#listeners.emit('signedIn', output.identity);
      case 'tokens':
        this.#save(output.tokens);
        return this.#listeners.emit('tokens', output.tokens);
      case 'signed_out':
        return this.#listeners.emit('signedOut', { fault: output.fault });
      case 'fault':
        return this.#listeners.emit('fault', output.fault);
    }
  }

  #answer(ticket: Ticket, result: Result): void {
    const waiting = this.#waiting.get(ticket);
    this.#waiting.delete(ticket);
    if ('reply' in result) waiting?.resolve(result.reply);
    else waiting?.reject(new CallError(result.fault));
  }

  #happened(number: number, body: unknown): void {
    const name = EVENT_NAMES.get(number);
    // Events of a newer server have no name here. The frame's reader has checked the shape of all others.
    if (name !== undefined) this.#listeners.emit(name, body as Events[typeof name]);
  }

  #save(tokens: Tokens): void {
    void Promise.resolve(this.#options.tokens?.save(tokens));
  }

  #open(): void {
    const ifCurrent = (step: () => void): void => {
      if (this.#link === current) this.#run(step);
    };
    const current = this.#transport.open(this.#options.url, {
      opened: () => {
        ifCurrent(() => {
          this.#machine.connected(now());
        });
      },
      received: (message) => {
        ifCurrent(() => {
          this.#machine.received(now(), message);
        });
      },
      closed: (code) => {
        ifCurrent(() => {
          this.#link = undefined;
          this.#machine.disconnected(now(), code);
        });
      },
    });
    this.#link = current;
  }

  #setTimer(): void {
    const at = this.#machine.nextTimeout;
    if (at === this.#timer?.at) return;
    clearTimeout(this.#timer?.handle);
    this.#timer = undefined;
    if (at === undefined) return;
    const due = (): void => {
      this.#timer = undefined;
      this.#run(() => {
        this.#machine.tick(now());
      });
    };
    this.#timer = { at, handle: setTimeout(due, Math.max(0, at - now())) };
  }
}

function isWelcomed({ state }: Connection): boolean {
  return state === 'catching_up' || state === 'online';
}

/** A clock that never goes back. */
function now(): number {
  return Math.floor(performance.now());
}

function cancelled(signal: AbortSignal): CallError {
  return new CallError(faultOf('cancelled'), { cause: signal.reason });
}

function asCallError(error: unknown): CallError {
  if (error instanceof Misfit) {
    return new CallError(faultOf('invalid_argument', error.message, error.field), { cause: error });
  }
  if (error instanceof Refused) {
    const code = {
      queue_full: 'overloaded',
      stopped: 'disconnected',
      too_long: 'invalid_argument',
      key: 'invalid_argument',
    } as const;
    return new CallError(faultOf(code[error.why], error.message), { cause: error });
  }
  throw error;
}
