import type { Events } from './generated/tables.js';
import { EVENTS } from './generated/tables.js';
import type { Fault, Identity } from './generated/types.js';
import type { Connection, Tokens } from './machine/types.js';
import type { Missing, Stream } from './wire/frame.js';

/** What a client can be listened to for: the server's events, and those of the client itself. */
export interface ClientEvents extends Events {
  /** Where the client stands has changed. */
  connection: Connection;
  /** Part of a stream no longer exists: retention removed it. */
  gap: { stream: Stream; missing: Missing; from: number; to: number };
  /** A followed room or the inbox could not be opened again, so it is not followed any more. */
  streamLost: { stream: Stream; fault: Fault };
  /** State of a match. */
  state: { room: string; tick: number; data: Uint8Array };
  /** The connection is signed in. Comes with each connection and each new token. */
  signedIn: Identity;
  /** The player is signed out and must sign in anew; with the server's reason if it was not asked for. */
  signedOut: { fault: Fault | undefined };
  /** The tokens are others now. */
  tokens: Tokens;
  /** A fault about the connection itself; a close follows. */
  fault: Fault;
}

/** Name of something to listen for. */
export type EventName = keyof ClientEvents;

/** Waiting events at which an iterator asks the server to hold back. */
export const QUEUE_HIGH = 512;

/** Waiting events at which it lets the server go on. */
export const QUEUE_LOW = 64;

/**
 * Waiting events at which those that may be lost are: the oldest goes. Entries of streams are never dropped; they stop coming
 * at QUEUE_HIGH, so no more of them wait than that and what one message holds.
 */
export const QUEUE_MAX = 4096;

type Listener<E extends EventName> = (event: ClientEvents[E]) => void;

/** Events of one kind that wait for their reader. */
export class EventQueue<E extends EventName> implements AsyncIterableIterator<ClientEvents[E]> {
  readonly #lossy: boolean;
  readonly #changed: () => void;
  readonly #ended: () => void;
  readonly #readers: ((result: IteratorResult<ClientEvents[E]>) => void)[] = [];
  #events: ClientEvents[E][] = [];
  #over = false;

  constructor(name: E, changed: () => void, ended: () => void) {
    this.#lossy = !isDurable(name);
    this.#changed = changed;
    this.#ended = ended;
  }

  /** How many events wait. */
  get size(): number {
    return this.#events.length;
  }

  push(event: ClientEvents[E]): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) return reader({ done: false, value: event });
    if (this.#lossy && this.#events.length >= QUEUE_MAX) this.#events.shift();
    this.#events.push(event);
    this.#changed();
  }

  /** No more events come; those that wait can still be read. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    for (const reader of this.#readers.splice(0)) reader({ done: true, value: undefined });
    this.#ended();
    this.#changed();
  }

  next(): Promise<IteratorResult<ClientEvents[E]>> {
    const [event] = this.#events;
    if (event !== undefined) {
      this.#events.shift();
      this.#changed();
      return Promise.resolve({ done: false, value: event });
    }
    if (this.#over) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  return(): Promise<IteratorResult<ClientEvents[E]>> {
    this.#events = [];
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

function isDurable(name: EventName): boolean {
  if (name === 'gap') return true;
  return name in EVENTS && EVENTS[name as keyof Events].delivery === 'durable';
}

/** Who listens for what. */
export class Listeners {
  readonly #listeners = new Map<EventName, Set<Listener<never>>>();

  /** Adds a listener and returns what removes it. */
  add<E extends EventName>(name: E, listener: Listener<E>): () => void {
    const entry: Listener<E> = (event) => {
      listener(event);
    };
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(entry));
    return () => {
      listeners.delete(entry);
    };
  }

  /** Tells all listeners. What one of them throws does not keep the others from hearing; it becomes an uncaught error. */
  emit<E extends EventName>(name: E, event: ClientEvents[E]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as Listener<E>)(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
