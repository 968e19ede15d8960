import { CallError, faultOf } from './errors.js';
import type { ClientEvents, EventName } from './events.js';
import { checkEventName, EventQueue, QUEUE_HIGH, QUEUE_LOW } from './events.js';
import type { Events, Methods } from './generated/tables.js';
import { EVENT_NAMES, METHODS } from './generated/tables.js';
import type { Identity, Resume } from './generated/types.js';
import type { Life } from './life.js';
import { LIFE } from './life.js';
import { Listeners } from './listeners.js';
import type { MethodName, Request } from './machine/pending.js';
import { Machine } from './machine/machine.js';
import type { Connection, Output, Result, Ticket } from './machine/types.js';
import { attempt } from './foreign.js';
import type { AbortSignalLike, CallOptions, ClientOptions, TransportStats } from './options.js';
import { checkNames, hintOf } from './names.js';
import { after, backOffOf, CALL_OPTIONS, checkOptions, checkPreference, isTime } from './options.js';
import { shortLine } from './problems.js';
import { asCallError, checkRequest } from './refusals.js';
import { now, Runner } from './runner.js';
import type { ServerClock } from './server-clock.js';
import { serverClockOf } from './server-clock.js';
import { Signal } from './signal.js';
import { TokenKeeper } from './token-keeper.js';
import type { Transports } from './transport/transports.js';
import { transportsOf } from './transport/transports.js';
import type { Preference, Way } from './transport/ways.js';
import { PACKAGE_VERSION } from './version.js';
import { isBytes, isId } from './wire/shape.js';

interface Waiting {
  resolve: (reply: unknown) => void;
  reject: (error: CallError) => void;
}

/** Somebody who waits until it is decided who is signed in. */
interface Settling {
  resolve: (identity: Identity | undefined) => void;
  reject: (error: unknown) => void;
}

const KEY_BYTES = 16;

const DEADLINE_MS = 30_000;

const HANDSHAKE_MS = 10_000;

function systemRandomBytes(length: number): Uint8Array {
  const crypto = globalThis.crypto as Crypto | undefined;
  if (crypto === undefined) {
    throw new Error('there is no crypto.getRandomValues here: pass the option `randomBytes`');
  }
  return crypto.getRandomValues(new Uint8Array(length));
}

/** Browsers say when the device has found a network; elsewhere nobody does. */
function windowOfPlatform(): EventTarget | undefined {
  return attempt(() => {
    const { window } = globalThis as { window?: Partial<EventTarget> };
    const { addEventListener, removeEventListener } = window ?? {};
    return addEventListener && removeEventListener ? globalThis.window : undefined;
  });
}

function machineOf(options: ClientOptions): Machine {
  const resume = { ...options.resume };
  if (options.inbox === false) delete resume.inbox;
  else resume.inbox ??= 0;
  return new Machine({
    sdk: `typescript/${PACKAGE_VERSION}`,
    tokens: {},
    tokensToCome: options.tokens !== undefined,
    resume,
    backOff: backOffOf(options),
    handshakeMs: options.handshakeMs ?? HANDSHAKE_MS,
    stableMs: 5_000,
    measuresClock: true,
    random: Math.random,
  });
}

/**
 * A player's client: one for the whole run of a program. It connects, comes back after each loss of the connection, takes up
 * the rooms where they stood, and keeps calls until they can be answered. What it does in each state of its life is in `LIFE`.
 */
export class Client {
  readonly #options: ClientOptions;
  readonly #machine: Machine;
  readonly #runner: Runner;
  readonly #listeners = new Listeners();
  readonly #queues = new Set<EventQueue<EventName>>();
  readonly #waiting = new Map<Ticket, Waiting>();
  readonly #settling = new Set<Settling>();
  /** Where the listener for a found network is, while there is one. */
  #window: EventTarget | undefined;
  readonly #networkFound = (): void => {
    this.retryNow();
  };

  /**
   * Throws TypeError for options that no client can begin with, such as an address that is not one of a WebSocket. `transports`: what
   * there is to connect with, where that is not what the options and the platform say.
   */
  constructor(options: ClientOptions, transports?: Transports) {
    checkOptions(options);
    this.#options = { ...options };
    this.#machine = machineOf(options);
    const problem = this.#listeners.problem.bind(this.#listeners);
    const keeper =
      options.tokens && new TokenKeeper(options.tokens, `pitturu tokens ${options.url}`, problem);
    const preference = options.transports ?? 'auto';
    const ways = transports ?? transportsOf(options);
    this.#runner = new Runner(this.#machine, options.url, ways, preference, keeper, {
      told: (output) => {
        this.#told(output);
      },
      rested: () => {
        this.#rested();
      },
      problem,
    });
  }

  /** Where the client is in its life. */
  get life(): Life {
    return this.#runner.life;
  }

  /** Where the client stands. */
  get connection(): Connection {
    return this.#machine.connection;
  }

  /** What carries the present connection; absent without one, and where the option `transport` is given. */
  get transport(): Way | undefined {
    return this.#options.transport === undefined ? this.#runner.way : undefined;
  }

  /** Counts since the client was made, for diagnosis. With the option `transport` only handovers are counted, and there are none. */
  get transportStats(): Readonly<TransportStats> {
    const none = { webtransportOpened: 0, websocketOpened: 0, webtransportFailed: 0 };
    const counts = this.#options.transport === undefined ? this.#runner.counts : none;
    return { ...counts, handovers: this.#machine.stats.handovers };
  }

  /** The server's clock, as far as it is known: from soon after the first welcome on, measured anew with each ping and connection. */
  get clock(): ServerClock | undefined {
    const { estimate } = this.#machine.clock;
    return estimate && serverClockOf(estimate, now);
  }

  /**
   * Chooses what carries the connection, from now on: the best that works (`auto`), or one of them as long as it works. A live client
   * is moved over, without a word to anybody. For tests and settings; where there is nothing to choose from it does nothing. Throws
   * TypeError for what is none.
   */
  preferTransport(preference: Preference): void {
    checkPreference(preference);
    if (this.life !== 'closed') this.#runner.prefer(preference);
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
   * Begins to connect, unless it has begun before. The promise is fulfilled when the server has welcomed this client and it is
   * decided whether somebody is signed in: with who it is, or with nothing when a player has to sign in. That takes as many
   * attempts as it takes. It is rejected with a CallError `disconnected` when the client is closed or the server wants it to
   * stay away, and with the reason when this platform has nothing to connect with. Nobody has to wait for it.
   */
  connect(): Promise<Identity | undefined> {
    const does = LIFE[this.life].connect;
    if (does === 'refuses') return this.#refused();
    if (does === 'begins') this.#begin();
    return this.#settled();
  }

  /** As `connect`, but begins nothing: waits until it is decided, on a connection, who is signed in. */
  online(): Promise<Identity | undefined> {
    return LIFE[this.life].online === 'refuses' ? this.#refused() : this.#settled();
  }

  /** Closes the client for good. Calls without an answer end with `disconnected`, iterators end, and nobody hears anything more. */
  close(): void {
    this.#runner.close();
  }

  /** Tries to connect at once instead of at the next attempt's time: for when the device has found a network. */
  retryNow(): void {
    if (LIFE[this.life].retryNow === 'nothing') return;
    this.#runner.run(() => {
      this.#machine.retryNow(now());
    });
  }

  /**
   * Calls a method. While there is no connection the call waits, unless it is for the moment (`Typing`, `SendEphemeral`); a
   * writing call carries an idempotency key, so that it takes effect once however often it has to be repeated. Rejects with a
   * CallError, or a TypeError for options that there are not; at once with `unauthenticated` when the method needs a player and no sign-in is under way.
   */
  call<M extends MethodName>(
    method: M,
    request: Methods[M]['request'],
    options: CallOptions = {},
  ): Promise<Methods[M]['reply']> {
    return new Promise((resolve, reject) => {
      if (LIFE[this.life].call === 'refuses') throw this.#gone();
      checkNames(options, CALL_OPTIONS, 'call(method, request, options)');
      const signal = Signal.of(options.signal, this.#signalFailed);
      if (signal?.isAborted === true) throw signal.cancelled();
      let ticket: Ticket | undefined;
      const abort = (): void => {
        if (signal === undefined || ticket === undefined || !this.#waiting.has(ticket)) return;
        this.#giveUp(ticket, signal.cancelled());
      };
      signal?.listen(abort);
      try {
        ticket = this.#take(method, request, options);
      } catch (error) {
        signal?.ignore();
        throw error;
      }
      this.#waiting.set(ticket, {
        resolve: (reply) => {
          signal?.ignore();
          // The machine has checked the reply's shape against the table.
          resolve(reply as Methods[M]['reply']);
        },
        reject: (error) => {
          signal?.ignore();
          reject(error);
        },
      });
      // It may have been given while it was listened to.
      if (attempt(() => signal?.isAborted) === true) abort();
      this.#runner.pump();
    });
  }

  #giveUp(ticket: Ticket, error: CallError): void {
    const waiting = this.#waiting.get(ticket);
    if (!this.#waiting.delete(ticket)) return;
    waiting?.reject(error);
    this.#runner.run(() => {
      this.#machine.cancel(ticket);
    });
  }

  readonly #signalFailed = (error: unknown): void => {
    this.#listeners.problem({ kind: 'signal', error });
  };

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

  /** Sends game input for a match, if there is a connection, by a datagram where it has them. It is lost otherwise. Throws TypeError for what cannot travel. */
  input(room: string, seq: number, data: Uint8Array): void {
    if (!isId(room)) throw new TypeError('room has to be an id');
    if (!Number.isSafeInteger(seq) || seq < 0) throw new TypeError('seq has to be a whole number below 2^53');
    if (!isBytes(data)) throw new TypeError('data has to be bytes');
    if (LIFE[this.life].input === 'nothing') return;
    this.#runner.input(room, seq, data);
  }

  /**
   * Listens for events of one kind. Returns what ends that. The first listener of a kind also hears what has come before it, up
   * to 256 events of the server's that are more than momentary. Throws TypeError for a name that is none.
   */
  on<E extends EventName>(name: E, listener: (event: ClientEvents[E]) => void): () => void {
    checkEventName(name);
    if (typeof listener !== 'function') throw new TypeError('the listener has to be a function');
    return this.#listeners.add(name, listener);
  }

  /**
   * Events of one kind as they come, from now until the client is closed, the signal aborts or the loop is left. A reader
   * that falls behind makes the client hold messages back at the server; none is lost.
   */
  events<E extends EventName>(
    name: E,
    options: { signal?: AbortSignalLike | undefined } = {},
  ): AsyncIterableIterator<ClientEvents[E]> {
    checkEventName(name);
    const signal = Signal.of(options.signal, this.#signalFailed);
    let stop = (): void => undefined;
    const queue = new EventQueue<E>(
      name,
      () => {
        this.#holdBack();
      },
      () => {
        stop();
        this.#queues.delete(queue as unknown as EventQueue<EventName>);
        signal?.ignore();
      },
    );
    const end = (): void => {
      queue.end();
    };
    if (signal?.isAborted === true || LIFE[this.life].events === 'ends') {
      queue.end();
      return queue;
    }
    signal?.listen(end);
    // A signal may be given while it is listened to.
    if (queue.isOver) return queue;
    stop = this.on(name, (event) => {
      queue.push(event);
    });
    this.#queues.add(queue as unknown as EventQueue<EventName>);
    return queue;
  }

  #begin(): void {
    this.#listenForNetwork();
    this.#runner.start(this.#options.handshakeMs ?? HANDSHAKE_MS).catch((error: unknown) => {
      this.#ignoreNetwork();
      this.#rejectSettling(error);
    });
  }

  /** A promise whose rejection is nobody's fault if nobody waits for it. */
  #settled(): Promise<Identity | undefined> {
    const settled = new Promise<Identity | undefined>((resolve, reject) => {
      this.#settling.add({ resolve, reject });
    });
    settled.catch(() => undefined);
    this.#settle();
    return settled;
  }

  #refused(): Promise<never> {
    const refused = Promise.reject(this.#gone());
    refused.catch(() => undefined);
    return refused;
  }

  #gone(): CallError {
    if (this.life === 'closed') {
      const fault = faultOf('disconnected', 'the client has been closed: make a new one');
      return new CallError(fault, { retry: 'never' });
    }
    const { connection } = this;
    const code = connection.state === 'stopped' ? connection.code : undefined;
    const why = code === undefined ? '' : ` with code ${String(code)}`;
    return new CallError(faultOf('disconnected', `the server has closed the connection for good${why}`));
  }

  #settle(): void {
    if (this.life === 'closed' || this.life === 'stopped') return this.#rejectSettling(this.#gone());
    if (!this.#machine.isSettled) return;
    const settling = [...this.#settling];
    this.#settling.clear();
    for (const { resolve } of settling) resolve(this.identity);
  }

  #rejectSettling(error: unknown): void {
    const settling = [...this.#settling];
    this.#settling.clear();
    for (const { reject } of settling) reject(error);
  }

  #take<M extends MethodName>(method: M, request: Methods[M]['request'], options: CallOptions): Ticket {
    try {
      if (!Object.hasOwn(METHODS, method)) {
        const hint = hintOf(method, Object.keys(METHODS));
        throw new CallError(faultOf('unknown_method', `there is no method ${method}: ${hint}`));
      }
      checkRequest(method, request);
      const call: Request = { method, request: { ...request } };
      const { deadlineMs = this.#options.deadlineMs ?? DEADLINE_MS } = options;
      if (!isTime(deadlineMs)) {
        throw new CallError(faultOf('invalid_argument', 'has to be a time in milliseconds', 'deadlineMs'));
      }
      const deadline = after(now(), deadlineMs);
      if (deadline !== undefined) call.deadline = deadline;
      if (options.key !== undefined) {
        call.key = options.key;
      } else if (METHODS[method].effect === 'writes') {
        call.key = this.#newKey();
        call.keyIsNew = true;
      }
      return this.#machine.call(call);
    } catch (error) {
      throw asCallError(error);
    }
  }

  #newKey(): string {
    const bytes = (this.#options.randomBytes ?? systemRandomBytes)(KEY_BYTES);
    if (!isBytes(bytes) || bytes.byteLength !== KEY_BYTES) {
      throw new TypeError(`randomBytes has to give ${String(KEY_BYTES)} bytes`);
    }
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  /** Entries of streams are held back while some iterator has too many of them waiting. */
  #holdBack(): void {
    let most = 0;
    for (const queue of this.#queues) most = Math.max(most, queue.size);
    const paused = most >= (this.#machine.paused ? QUEUE_LOW : QUEUE_HIGH);
    if (paused === this.#machine.paused || this.life === 'closed') return;
    this.#runner.run(() => {
      this.#machine.pause(paused);
    });
  }

  #told(output: Output): void {
    if (output.kind === 'answer') return this.#answer(output.ticket, output.result);
    // Of what was on its way when the client was closed, nothing is heard but that it is closed.
    if (this.#runner.isClosed && output.kind !== 'connection') return;
    switch (output.kind) {
      case 'connection':
        return this.#listeners.emit('connection', output.connection);
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
        return this.#listeners.emit('tokens', output.tokens);
      case 'signed_out':
        return this.#listeners.emit('signedOut', { fault: output.fault });
      case 'fault':
        return this.#listeners.emit('fault', output.fault);
      case 'unreachable':
        return this.#listeners.problem({ kind: 'unreachable', why: output.why });
      case 'mismatch':
        return this.#listeners.problem({ kind: 'mismatch', why: shortLine(output.why) });
      case 'unreadable':
        return this.#listeners.problem({ kind: 'unreadable', ...output.unreadable });
      default:
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

  #rested(): void {
    this.#settle();
    const { life } = this;
    if (life === 'closed' || life === 'stopped') this.#ignoreNetwork();
    if (life !== 'closed') return;
    for (const queue of [...this.#queues]) queue.end();
    this.#listeners.end();
  }

  #listenForNetwork(): void {
    this.#window ??= windowOfPlatform();
    attempt(() => this.#window?.addEventListener('online', this.#networkFound));
  }

  #ignoreNetwork(): void {
    attempt(() => this.#window?.removeEventListener('online', this.#networkFound));
    this.#window = undefined;
  }
}
