import type { Events } from './generated/tables.js';
import { EVENTS } from './generated/tables.js';
import type { Fault, Identity } from './generated/types.js';
import { hintOf } from './names.js';
import type { Connection, Tokens, Unreadable } from './machine/types.js';
import type { Missing, Stream } from './wire/frame.js';

/**
 * Something went wrong that no call can be told of, and the client went on: in code of the application that it called, or in
 * what the server sent.
 */
export type Problem =
  /** The token store threw, did not answer in time, or gave something that is no tokens. */
  | { kind: 'token_store'; doing: 'load' | 'save'; error: unknown }
  /** A listener threw. */
  | { kind: 'listener'; event: EventName; error: unknown }
  /** An AbortSignal of a call or an iterator threw. They end as they would have. */
  | { kind: 'signal'; error: unknown }
  /**
   * Client and server do not fit: the server is newer, older or wrong. What was asked of it goes on without: a room that it did not
   * open again is told by `streamLost`, what it leaves out for good by `gap`. If the connection could not go on, the client tries
   * again, after waits that grow.
   */
  | { kind: 'mismatch'; why: string }
  /** The transport threw. The connection counts as lost. */
  | { kind: 'transport'; error: unknown }
  /**
   * An attempt to connect failed: the first one, or the first after a connection that was lost. The client goes on trying, and
   * says no more of it until it was connected; `connection` has each attempt.
   */
  | { kind: 'unreachable'; why: string }
  /** So many of the oldest events were dropped, because nobody listened for them until now. */
  | { kind: 'unheard'; event: EventName; dropped: number }
  /**
   * Something of the server's could not be read. It was stepped over; only a `welcome`, an unknown kind of frame, or one without an
   * end ends the connection, and the client tries again.
   */
  | ({ kind: 'unreadable' } & Unreadable);

/** What a client can be listened to for: the server's events, and those of the client itself. */
export interface ClientEvents extends Events {
  /** Where the client stands has changed. */
  connection: Connection;
  /**
   * Part of a stream no longer exists: retention removed it. One that begins at 1 may take in what came before: the server has restored a
   * backup, and what it has now under those numbers may be something else. Take down what is shown of the stream, and read it again.
   */
  gap: { stream: Stream; missing: Missing; from: number; to: number };
  /** A followed room or the inbox could not be opened again, so it is not followed any more. */
  streamLost: { stream: Stream; fault: Fault };
  /** State of a match. */
  state: { room: string; tick: number; data: Uint8Array<ArrayBuffer> };
  /** The connection is signed in. Comes with each connection and each new token. */
  signedIn: Identity;
  /** The player is signed out and must sign in anew; with the server's reason if it was not asked for. */
  signedOut: { fault: Fault | undefined };
  /** The tokens are others now. */
  tokens: Tokens;
  /** A fault about the connection itself; a close follows. */
  fault: Fault;
  /** Something went wrong that no call can be told of. Written to the console when nobody listens. */
  problem: Problem;
}

/** Name of something to listen for. */
export type EventName = keyof ClientEvents;

const OWN_NAMES: Readonly<Record<Exclude<EventName, keyof Events>, true>> = {
  connection: true,
  gap: true,
  streamLost: true,
  state: true,
  signedIn: true,
  signedOut: true,
  tokens: true,
  fault: true,
  problem: true,
};

/** Everything that can be listened for. */
export const EVENT_NAMES_ALL: readonly EventName[] = [
  ...(Object.keys(EVENTS) as (keyof Events)[]),
  ...(Object.keys(OWN_NAMES) as (keyof typeof OWN_NAMES)[]),
];

/** Throws TypeError unless it is the name of something to listen for. */
export function checkEventName(name: unknown): void {
  if (EVENT_NAMES_ALL.includes(name as EventName)) return;
  throw new TypeError(`there is no event ${String(name)}: ${hintOf(name, EVENT_NAMES_ALL)}`);
}

/** Waiting events at which an iterator asks the server to hold back. */
export const QUEUE_HIGH = 512;

/** Waiting events at which it lets the server go on. */
export const QUEUE_LOW = 64;

/**
 * Waiting events at which those that may be lost are: the oldest goes. Entries of streams are never dropped; they stop coming
 * at QUEUE_HIGH, so no more of them wait than that and what one message holds.
 */
export const QUEUE_MAX = 4096;

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

  /** Whether no more events come. */
  get isOver(): boolean {
    return this.#over;
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

/** Whether it tells of something that is told only once. */
export function isDurable(name: EventName): boolean {
  if (name === 'gap' || name === 'streamLost') return true;
  return Object.hasOwn(EVENTS, name) && EVENTS[name as keyof Events].delivery === 'durable';
}

/** Whether it is worth hearing later. */
export function isLasting(name: EventName): boolean {
  if (isDurable(name)) return true;
  return Object.hasOwn(EVENTS, name) && EVENTS[name as keyof Events].delivery === 'latest';
}
