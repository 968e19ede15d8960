import type { Life } from './life.js';
import { lifeOf } from './life.js';
import type { Machine } from './machine/machine.js';
import type { Found, Output, Tokens } from './machine/types.js';
import type { Problem } from './events.js';
import { attempt as attempted } from './foreign.js';
import { reasonOf, shortLine } from './problems.js';
import type { TokenKeeper } from './token-keeper.js';
import type { Link, Transport } from './transport/transport.js';
import { isBytes } from './wire/shape.js';

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

/** A link that is being opened or is open. */
interface Attempt {
  link: Link | undefined;
  open: boolean;
}

/** Runs a machine: opens links, keeps time, reads and saves tokens. All that is foreign to the machine is called from here. */
export class Runner {
  readonly #machine: Machine;
  readonly #url: string;
  readonly #transport: Transport;
  readonly #keeper: TokenKeeper | undefined;
  readonly #events: RunnerEvents;
  #attempt: Attempt | undefined;
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
    transport: Transport,
    keeper: TokenKeeper | undefined,
    events: RunnerEvents,
  ) {
    this.#machine = machine;
    this.#url = url;
    this.#transport = transport;
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

  /** Begins to connect. Throws what the transport says when it never can. */
  async start(readyMs: number): Promise<void> {
    this.#starting = true;
    this.run(() => {
      this.#machine.prepare();
    });
    try {
      if (this.#transport.ready !== undefined) await this.#ready(readyMs);
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
        const message = this.#machine.transmit();
        if (message === undefined) break;
        this.#send(message);
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
      await Promise.race([this.#transport.ready?.(), closed, late]);
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
      case 'close': {
        const attempt = this.#attempt;
        this.#attempt = undefined;
        this.#closeLink(attempt, output.code);
        return;
      }
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

  /** Opens a link, after looking for tokens where there may be some. */
  #connect(): void {
    const attempt: Attempt = { link: undefined, open: false };
    this.#attempt = attempt;
    if (this.#keeper === undefined) return this.#open(attempt);
    void this.#look(this.#keeper).then((found) => {
      if (this.#attempt !== attempt) return;
      this.#looked = true;
      this.run(() => {
        this.#machine.useTokens(found);
      });
      // What the machine told meanwhile may have ended the attempt.
      if (this.#isCurrent(attempt)) this.#open(attempt);
    });
  }

  #isCurrent(attempt: Attempt): boolean {
    return this.#attempt === attempt;
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

  #open(attempt: Attempt): void {
    const ifCurrent = (step: () => void): void => {
      if (this.#attempt === attempt) this.run(step);
    };
    try {
      attempt.link = this.#transport.open(this.#url, {
        opened: () => {
          if (attempt.open) return;
          attempt.open = true;
          ifCurrent(() => {
            this.#machine.connected(now());
          });
        },
        received: (message) => {
          if (attempted(() => isBytes(message)) !== true) {
            const error = new TypeError('the transport gave something that is no bytes');
            return this.#broke(attempt, error);
          }
          ifCurrent(() => {
            this.#machine.received(now(), message);
          });
        },
        closed: (code, why) => {
          ifCurrent(() => {
            this.#attempt = undefined;
            this.#machine.disconnected(now(), closeCode(code), reasonText(why));
          });
        },
      });
    } catch (error) {
      this.#broke(attempt, error);
    }
  }

  #send(message: Uint8Array): void {
    const attempt = this.#attempt;
    try {
      attempt?.link?.send(message);
    } catch (error) {
      if (attempt !== undefined) this.#broke(attempt, error);
    }
  }

  /** The transport threw, so nothing more is to be expected of this link. */
  #broke(attempt: Attempt, error: unknown): void {
    this.#events.problem({ kind: 'transport', error });
    if (!this.#isCurrent(attempt)) return;
    this.#attempt = undefined;
    this.#closeLink(attempt, 1000);
    this.run(() => {
      this.#machine.disconnected(now(), undefined, reasonOf(error));
    });
  }

  #closeLink(attempt: Attempt | undefined, code: number): void {
    try {
      attempt?.link?.close(code);
    } catch (error) {
      this.#events.problem({ kind: 'transport', error });
    }
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
    const at = this.#closed ? undefined : this.#machine.nextTimeout;
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

/** What a transport gave as a close code, if it is one. */
function closeCode(code: unknown): number | undefined {
  return Number.isInteger(code) ? (code as number) : undefined;
}

/** What a transport gave as a reason, if it is a text. */
function reasonText(why: unknown): string | undefined {
  return typeof why === 'string' ? shortLine(why) : undefined;
}

/** A clock that never goes back. */
export function now(): number {
  return Math.floor(performance.now());
}
