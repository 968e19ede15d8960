import { CLOSE_CODES } from './generated/codes.js';
import type { Life } from './life.js';
import { lifeOf } from './life.js';
import { Links } from './links.js';
import type { Machine } from './machine/machine.js';
import type { Found, Output, Tokens } from './machine/types.js';
import type { Problem } from './events.js';
import type { TokenKeeper } from './token-keeper.js';
import type { Transports } from './transport/transports.js';
import { memoryOf } from './transport/way-memory.js';
import type { Action, Preference, Way, WayCounts } from './transport/ways.js';
import { hostOf, Ways } from './transport/ways.js';
import { encodeClientFrame } from './wire/frame.js';

/** Longest wait that a timer takes: it would be over at once beyond it. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** How long a client keeps others that share its tokens from renewing them. */
const RENEWAL_MS_MAX = 30_000;

/** What a runner tells its client. */
export interface RunnerEvents {
  /** The machine wants something told. Nothing is told after the close but what ends. */
  told(output: Output): void;
  /** Everything that was to be done has been done. */
  rested(): void;
  /** Something went wrong that is nobody's call. */
  problem(problem: Problem): void;
}

/** Codes with which the machine closes a connection that has fallen silent, which may be its way's fault. */
const SILENT_CODES: readonly number[] = [CLOSE_CODES.handshake_timeout, CLOSE_CODES.heartbeat_missed];

/** Runs a machine: opens links, keeps time, reads and saves tokens. All that is foreign to the machine is called from here. */
export class Runner {
  readonly #machine: Machine;
  readonly #transports: Transports;
  readonly #ways: Ways;
  readonly #links: Links;
  readonly #keeper: TokenKeeper | undefined;
  readonly #events: RunnerEvents;
  /** The search for a connection, while tokens are read for it. */
  #search: object | undefined;
  /** How many of the server's welcomes have been looked at. */
  #welcomes = 0;
  #timer: { at: number; handle: ReturnType<typeof setTimeout> } | undefined;
  #releaseLock: (() => void) | undefined;
  /** Whether tokens were looked for. */
  #looked = false;
  #looking: Promise<Found> | undefined;
  #starting = false;
  #pumping = false;
  #closed = false;

  constructor(
    machine: Machine,
    url: string,
    transports: Transports,
    preference: Preference,
    keeper: TokenKeeper | undefined,
    events: RunnerEvents,
  ) {
    this.#machine = machine;
    this.#transports = transports;
    const hasBetter = transports.webTransport !== undefined;
    this.#ways = new Ways(url, hasBetter, memoryOf(hostOf(url)), preference);
    this.#links = this.#newLinks();
    this.#keeper = keeper;
    this.#events = events;
  }

  /** Whether it has been closed. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Where its client is in its life. */
  get life(): Life {
    return this.#closed ? 'closed' : lifeOf(this.#machine.phase, this.#starting);
  }

  /** The way of the present connection, if there is one. */
  get way(): Way | undefined {
    return this.#ways.present;
  }

  /** What has been counted of the ways. */
  get counts(): Readonly<WayCounts> {
    return this.#ways.counts;
  }

  /** Moves the client to this way, where that is possible, and keeps it there. */
  prefer(preference: Preference): void {
    this.run(() => {
      this.#ways.prefer(now(), preference);
    });
  }

  /** Sends game input: by a datagram, where the connection has them. */
  input(room: string, seq: number, data: Uint8Array): void {
    const frame = encodeClientFrame({ kind: 'input', room, seq, data });
    this.run(() => {
      const isOpen = this.#machine.phase.is === 'open';
      if (!isOpen || !this.#links.sendDatagram(frame)) this.#machine.input(room, seq, data);
    });
  }

  /** Begins to connect. Throws what the transport says when it never can. */
  async start(readyMs: number): Promise<void> {
    this.#starting = true;
    this.run(() => {
      this.#machine.prepare();
    });
    try {
      if (this.#transports.webSocket.ready !== undefined) await this.#ready(readyMs);
    } finally {
      this.#starting = false;
    }
    if (this.#closed) return;
    this.run(() => {
      this.#machine.start(now());
    });
  }

  /** Ends everything, for good. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#starting = false;
    this.#stopReady?.();
    this.#keeper?.close();
    this.run(() => {
      this.#machine.stop();
    });
  }

  /** Changes the machine, and does what it then says. */
  run(step: () => void): void {
    step();
    this.pump();
  }

  /** Does what the machine says. What is caused meanwhile is done by the loop that caused it. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      for (;;) {
        const output = this.#machine.poll();
        if (output !== undefined) {
          this.#handle(output);
          continue;
        }
        if (!this.#transmit() && !this.#goOn()) break;
      }
    } finally {
      this.#pumping = false;
    }
    this.#setTimer();
    if (this.#releaseLock !== undefined && !this.#machine.isRenewing) this.#release();
    this.#events.rested();
  }

  #stopReady: (() => void) | undefined;

  async #ready(ms: number): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#stopReady = resolve;
    });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      if (ms > TIMER_MS_MAX) return;
      timer = setTimeout(() => {
        reject(new Error(`the transport was not ready within ${String(ms)} ms`));
      }, ms);
    });
    try {
      await Promise.race([this.#transports.webSocket.ready?.(), closed, late]);
    } finally {
      clearTimeout(timer);
      this.#stopReady = undefined;
    }
  }

  #handle(output: Output): void {
    switch (output.kind) {
      case 'connect':
        this.#connect();
        return;
      case 'close':
        this.#search = undefined;
        this.#links.close('present', output.code);
        this.#ways.lost(now(), SILENT_CODES.includes(output.code) ? undefined : output.code);
        return;
      case 'take_over':
        this.#links.swap();
        this.#ways.tookOver(now());
        return;
      case 'close_other':
        this.#links.close('other', output.code);
        this.#ways.otherEnded(now(), false);
        return;
      case 'read_tokens':
        void this.#renew();
        return;
      case 'tokens':
        this.#keeper?.keep(output.tokens, output.from);
        break;
      default:
    }
    this.#events.told(output);
  }

  /** Sends the next message over its link. False: there is none. */
  #transmit(): boolean {
    const message = this.#machine.transmit();
    if (message !== undefined) this.#links.send('present', message);
    const other = this.#machine.transmitOther();
    if (other !== undefined) this.#links.send('other', other);
    return message !== undefined || other !== undefined;
  }

  /** Does the next thing about the ways. False: there is none. */
  #goOn(): boolean {
    const { stats, quic, connection, mayHandOver, awaitsAnswers } = this.#machine;
    if (stats.welcomes !== this.#welcomes) {
      this.#welcomes = stats.welcomes;
      this.#ways.welcomed(quic);
    }
    this.#ways.run(now(), { online: connection.state === 'online', mayHandOver, awaitsAnswers });
    const action = this.#ways.poll();
    if (action !== undefined) this.#act(action);
    return action !== undefined;
  }

  #act(action: Action): void {
    switch (action.do) {
      case 'open':
        return this.#open(action);
      case 'close':
        return this.#links.close({ candidate: action.id }, 1000);
      case 'use':
        this.#links.use(action.id);
        return this.#machine.connected(now());
      case 'hand_over':
        if (this.#machine.handOver(now())) return this.#links.useAsOther(action.id);
        this.#links.close({ candidate: action.id }, 1000);
        return this.#ways.otherEnded(now(), false);
      case 'fail':
        return this.#machine.disconnected(now(), action.code, action.why);
    }
  }

  #open({ id, way, url, hashes }: Action & { do: 'open' }): void {
    const { webSocket, webTransport } = this.#transports;
    this.#links.open(id, (events) => {
      const transport = way === 'webtransport' ? webTransport?.(hashes) : webSocket;
      return (transport ?? webSocket).open(url, events);
    });
  }

  #newLinks(): Links {
    return new Links({
      opened: (id) => {
        this.run(() => {
          this.#ways.opened(now(), id);
        });
      },
      received: (role, message) => {
        this.run(() => {
          if (role !== 'candidate') this.#ways.heard();
          if (role === 'present') this.#machine.received(now(), message);
          else if (role === 'other') this.#machine.otherReceived(now(), message);
        });
      },
      receivedDatagram: (role, datagram) => {
        if (role === 'candidate') return;
        this.run(() => {
          this.#ways.heard();
          this.#machine.receivedDatagram(datagram);
        });
      },
      closed: (id, role, code, why) => {
        this.run(() => {
          if (role === 'candidate') return this.#ways.closed(now(), id, code, why);
          if (role === 'present') {
            this.#ways.lost(now(), code);
            return this.#machine.disconnected(now(), code, why);
          }
          this.#ways.otherEnded(now(), true);
          this.#machine.otherDisconnected(now());
        });
      },
      failed: (error) => {
        this.#events.problem({ kind: 'transport', error });
      },
    });
  }

  /** Looks for a connection, after looking for tokens where there may be some. */
  #connect(): void {
    if (this.#keeper === undefined) return this.#ways.connect(now());
    const search = {};
    this.#search = search;
    void this.#look(this.#keeper).then((found) => {
      if (this.#search !== search) return;
      this.#looked = true;
      this.run(() => {
        this.#machine.useTokens(found);
      });
      // What the machine told meanwhile may have ended the search.
      if (!this.#isCurrent(search)) return;
      this.#search = undefined;
      this.run(() => {
        this.#ways.connect(now());
      });
    });
  }

  #isCurrent(search: object): boolean {
    return this.#search === search;
  }

  /** One look serves whoever asks before it is over: a store may take longer than an attempt to connect. */
  #look(keeper: TokenKeeper): Promise<Found> {
    this.#looking ??= keeper.look(this.#ownTokens, !this.#looked).finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  get #ownTokens(): Tokens {
    return { ...this.#machine.signIn.tokens };
  }

  /** Looks whether another client has renewed the tokens; holds others that share them back until ours are renewed. */
  async #renew(): Promise<void> {
    const keeper = this.#keeper;
    if (keeper === undefined) {
      this.run(() => {
        this.#machine.tokensFound({ is: 'nothing_new' });
      });
      return;
    }
    const release = await keeper.lock();
    if (this.isClosed || !this.#machine.isRenewing) {
      release();
      return;
    }
    this.#release();
    const timer = setTimeout(release, RENEWAL_MS_MAX);
    this.#releaseLock = () => {
      clearTimeout(timer);
      // The next one shall find what is being saved.
      if (this.#closed) release();
      else void keeper.idle().then(release);
    };
    const found = await this.#look(keeper);
    this.run(() => {
      // When the client was closed meanwhile, the machine does not ask any more.
      this.#machine.tokensFound(found);
    });
  }

  #release(): void {
    const release = this.#releaseLock;
    this.#releaseLock = undefined;
    release?.();
  }

  #setTimer(): void {
    const next = Math.min(this.#machine.nextTimeout ?? Infinity, this.#ways.nextTimeout ?? Infinity);
    const at = this.#closed || next === Infinity ? undefined : next;
    if (at === this.#timer?.at) return;
    clearTimeout(this.#timer?.handle);
    this.#timer = undefined;
    if (at === undefined) return;
    const due = (): void => {
      this.#timer = undefined;
      this.run(() => {
        this.#machine.tick(now());
      });
    };
    const wait = Math.min(Math.max(0, at - now()), TIMER_MS_MAX);
    this.#timer = { at, handle: setTimeout(due, wait) };
  }
}

/** A clock that never goes back. */
export function now(): number {
  return Math.floor(performance.now());
}
