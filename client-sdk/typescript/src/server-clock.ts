import type { ClockEstimate } from './machine/clock.js';

/** What is known of the server's clock at one moment. It is a value: ask the client again for a newer one. */
export interface ServerClock {
  /** Milliseconds to add to a time of `performance.now()` to get the server's, in milliseconds since 1970 UTC. */
  readonly offsetMs: number;
  /** Milliseconds that a question and its answer take, when nothing keeps them. */
  readonly roundTripMs: number;
  /**
   * What the server's clock says now, in whole milliseconds since 1970 UTC. As wrong as half the difference between the way there and
   * the way back, and by a millisecond.
   */
  now(): number;
}

/** The server's clock by an estimate, with a clock of ours. */
export function serverClockOf({ offsetMs, roundTripMs }: ClockEstimate, now: () => number): ServerClock {
  return { offsetMs, roundTripMs, now: () => Math.max(0, Math.floor(now() + offsetMs)) };
}
