// What the client knows of the server's clock and of the way to it, from questions that the server answers at once.

import type { Calls } from './calls.js';
import type { Ticket } from './types.js';

/** Questions that are counted: the newest ones. */
const SAMPLES_MAX = 16;

/** Questions one after another on each new connection. Afterwards each ping of the server's leads to one. */
const FIRST_SAMPLES = 4;

/** How far the server's clock is ahead of the machine's, and how long the way there and back takes. */
export interface ClockEstimate {
  /**
   * Milliseconds to add to the machine's time to get the server's, in milliseconds since 1970 UTC. As wrong as half the difference
   * between the way there and the way back.
   */
  readonly offsetMs: number;
  /** Milliseconds from a question to its answer. */
  readonly roundTripMs: number;
}

/** Measures the server's clock, where that is wanted. */
export class Clock {
  readonly #measures: boolean;
  readonly #calls: Calls;
  #samples: ClockEstimate[] = [];
  /** How many the present connection has had. */
  #taken = 0;
  /** The question that is under way, and when it was asked. */
  #asked: { ticket: Ticket; at: number } | undefined;
  /** What is told until the present connection has samples of its own. */
  #before: ClockEstimate | undefined;

  constructor(measures: boolean, calls: Calls) {
    this.#measures = measures;
    this.#calls = calls;
  }

  /** A connection has been welcomed: the way is another one. */
  begin(now: number): void {
    this.#before = this.estimate;
    this.#samples = [];
    this.#taken = 0;
    this.#asked = undefined;
    this.ask(now);
  }

  /** Asks the server what time it is, unless that has been done. */
  ask(now: number): void {
    if (!this.#measures || this.#asked !== undefined) return;
    const request = { data: new Uint8Array() };
    this.#asked = { ticket: this.#calls.add({ owner: 'clock', method: 'Echo', request }), at: now };
  }

  /** The server has answered what its clock says. */
  answered(now: number, ticket: Ticket, server: number): void {
    const asked = this.#asked;
    // One that a connection before was asked says nothing of this one.
    if (asked?.ticket !== ticket) return;
    this.#asked = undefined;
    this.#take(now - asked.at, server - asked.at);
    if (this.#taken < FIRST_SAMPLES) this.ask(now);
  }

  /** No answer will come that can be used. The next ping leads to another question. */
  unanswered(ticket: Ticket): void {
    if (this.#asked?.ticket === ticket) this.#asked = undefined;
  }

  #take(roundTripMs: number, aheadMs: number): void {
    const offsetMs = aheadMs - Math.floor(roundTripMs / 2);
    this.#samples = [...this.#samples, { offsetMs, roundTripMs }].slice(-SAMPLES_MAX);
    this.#taken += 1;
  }

  /** The server's clock, as far as it is known. */
  get estimate(): ClockEstimate | undefined {
    return estimateOf(this.#samples) ?? this.#before;
  }
}

/** The median of the best quarter of the samples: those that took the shortest time waited least on the way. */
export function estimateOf(samples: readonly ClockEstimate[]): ClockEstimate | undefined {
  const shortest = [...samples].sort((left, right) => left.roundTripMs - right.roundTripMs);
  const best = shortest.slice(0, Math.ceil(shortest.length / 4));
  const middle = Math.floor(best.length / 2);
  const byOffset = [...best].sort((left, right) => left.offsetMs - right.offsetMs);
  const [way, offset] = [best[middle], byOffset[middle]];
  return way && offset && { offsetMs: offset.offsetMs, roundTripMs: way.roundTripMs };
}
