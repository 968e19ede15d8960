import { LIMITS } from './generated/wire.js';
import type { Found, Tokens, TokensFrom } from './machine/types.js';
import type { Problem } from './events.js';
import { attempt } from './foreign.js';
import { within } from './problems.js';

/**
 * Keeps the tokens between runs of a program. Clients in several tabs or processes may share one: each looks what is kept
 * before it uses its own, and clears only what is its own.
 */
export interface TokenStore {
  /** What was saved last; nothing when there is nothing. */
  load(): Tokens | null | undefined | Promise<Tokens | null | undefined>;
  /** Called with each new pair of tokens, and with an empty one after signing out. */
  save(tokens: Tokens): void | Promise<void>;
}

/** How long a store may take to load or save. After that the client goes on without. */
export const STORE_MS = 5_000;

/** How long a client waits for others that share the store to renew their tokens. */
const LOCK_WAIT_MS = 5_000;

/** How many of the refresh tokens that were held before are remembered. */
const HELD_BEFORE_MAX = 32;

interface Locks {
  request(name: string, options: { signal: unknown }, held: () => Promise<void>): Promise<unknown>;
}

function locksOfPlatform(): Locks | undefined {
  return attempt(() => {
    const { navigator } = globalThis as { navigator?: { locks?: Locks } };
    return typeof navigator?.locks?.request === 'function' ? navigator.locks : undefined;
  });
}

/** Uses a token store: one thing after the other, guarded, and without harm to others that share it. */
export class TokenKeeper {
  readonly #store: TokenStore;
  readonly #lock: string;
  readonly #problem: (problem: Problem) => void;
  /** Refresh tokens that this client has held, the present one last. A kept one of them is not newer. */
  readonly #held: string[] = [];
  /** Ends when everything that was begun has been done. */
  #last: Promise<void> = Promise.resolve();
  readonly #stops = new Set<() => void>();
  #closed = false;

  /** `lock` names what clients that share the store have in common. */
  constructor(store: TokenStore, lock: string, problem: (problem: Problem) => void) {
    this.#store = store;
    this.#lock = lock;
    this.#problem = problem;
  }

  /** What is kept, compared with what this client holds. `first`: it has not held anything yet. */
  async look(own: Tokens, first: boolean): Promise<Found> {
    if (own.refresh !== undefined) this.#holds(own.refresh);
    const kept = await this.#load();
    const { access, refresh, user } = kept ?? {};
    if (access === undefined && refresh === undefined) return { is: 'nothing_new' };
    if (!first) {
      // Who has signed out does not come back because others have not.
      if (own.access === undefined && own.refresh === undefined) return { is: 'nothing_new' };
      if (user !== undefined && own.user !== undefined && user !== own.user) return { is: 'other_player' };
      if (refresh === undefined || this.#held.includes(refresh)) return { is: 'nothing_new' };
    }
    if (refresh !== undefined) this.#holds(refresh);
    return { is: 'newer', tokens: { ...kept } };
  }

  /** Saves new tokens, in the order of the calls. Those that others have put there meanwhile stay. */
  keep(tokens: Tokens, from: TokensFrom): void {
    if (from === 'store') return;
    const before = [...this.#held];
    if (tokens.refresh !== undefined) this.#holds(tokens.refresh);
    this.#last = this.#last.then(async () => {
      if (from === 'sign_in' || (await this.#isOurs(tokens, from, before))) await this.#save(tokens);
    });
  }

  /** Ends when everything that was begun has been done. */
  idle(): Promise<void> {
    return this.#last;
  }

  /**
   * Waits until no other client that shares the store renews its tokens, where the platform can tell. Returns what lets the
   * next one.
   */
  async lock(): Promise<() => void> {
    const locks = locksOfPlatform();
    if (locks === undefined || this.#closed) return () => undefined;
    const controller = new AbortController();
    const give = (): void => {
      controller.abort();
    };
    const timer = setTimeout(give, LOCK_WAIT_MS);
    this.#stops.add(give);
    try {
      return await new Promise<() => void>((resolve, reject) => {
        const held = (): Promise<void> =>
          new Promise((release) => {
            resolve(release);
          });
        Promise.resolve(locks.request(this.#lock, { signal: controller.signal }, held)).catch(reject);
      });
    } catch {
      // Without the lock two may renew at once, under one idempotency key: both get the same tokens.
      return () => undefined;
    } finally {
      clearTimeout(timer);
      this.#stops.delete(give);
    }
  }

  /** Nothing more is looked at. What is being saved still is. */
  close(): void {
    this.#closed = true;
    for (const stop of this.#stops) stop();
    this.#stops.clear();
  }

  async #isOurs(tokens: Tokens, from: TokensFrom, before: readonly string[]): Promise<boolean> {
    const kept = await this.#load();
    if (from === 'sign_out') return kept?.refresh !== undefined && before.includes(kept.refresh);
    return kept?.user === undefined || kept.user === tokens.user;
  }

  #holds(refresh: string): void {
    const at = this.#held.indexOf(refresh);
    if (at >= 0) this.#held.splice(at, 1);
    this.#held.push(refresh);
    if (this.#held.length > HELD_BEFORE_MAX) this.#held.shift();
  }

  async #load(): Promise<Tokens | undefined> {
    try {
      return tokensIn(await this.#guarded(() => this.#store.load()));
    } catch (error) {
      if (!this.#closed) this.#problem({ kind: 'token_store', doing: 'load', error });
      return undefined;
    }
  }

  async #save(tokens: Tokens): Promise<void> {
    try {
      await this.#guarded(() => this.#store.save({ ...tokens }));
    } catch (error) {
      this.#problem({ kind: 'token_store', doing: 'save', error });
    }
  }

  async #guarded<T>(step: () => T | PromiseLike<T>): Promise<T> {
    let stop = (): void => undefined;
    try {
      return await within(STORE_MS, step, (given) => {
        stop = given;
        this.#stops.add(stop);
        // A closed client keeps no program running for a store that does not answer.
        if (this.#closed) stop();
      });
    } finally {
      this.#stops.delete(stop);
    }
  }
}

/** The tokens that a store gave. Throws when it gave something else. */
function tokensIn(given: unknown): Tokens | undefined {
  if (given === undefined || given === null) return undefined;
  if (typeof given !== 'object') throw new TypeError(`a token store gave ${typeof given}, not tokens`);
  const tokens: Tokens = {};
  for (const name of ['access', 'refresh', 'user'] as const) {
    const held: unknown = (given as Record<string, unknown>)[name];
    if (held === undefined || held === null) continue;
    if (
      typeof held !== 'string' ||
      held === '' ||
      held.length > LIMITS.TOKEN_BYTES_MAX ||
      !isPrintable(held)
    ) {
      throw new TypeError(`a token store gave something that is no token as ${name}`);
    }
    tokens[name] = held;
  }
  return tokens;
}

/** Tokens and ids are printable ASCII. */
function isPrintable(text: string): boolean {
  return /^[\x21-\x7e]*$/.test(text);
}
