import { EVENT_NAMES, EVENTS } from '../generated/tables.js';
import type { Value } from '../wire/reader.js';
import { property } from '../foreign.js';

/** How long after the end of the connection before the present one may bring what that one had brought. */
const ECHO_MS_MAX = 5_000;

/** Events kept to tell which were brought by the other connection before. */
const ECHOES_MAX = 4_096;

/** Bytes of them. */
const ECHO_BYTES_MAX = 256 * 1024;

/** Bytes that are made a text at once: they are arguments of one call. */
const TEXT_BYTES = 4_096;

/** Which of the connections that a client has been handed over between has brought something: they are numbered as they took over. */
export type ConnectionNumber = number;

/** An event that is no entry of a stream, and its frame's bytes. */
export interface Told {
  event: number;
  body: Readonly<Record<string, Value>>;
  bytes: Uint8Array;
}

interface Brought {
  times: Map<ConnectionNumber, number>;
  at: number;
}

/** What the connections of handovers have brought that is no entry of a stream, each as often as the one that brought it most often. */
export class Echoes {
  readonly #brought = new Map<string, Brought>();
  #bytes = 0;
  /** The newest connection that has told of something: older states of it, that one before brings late, are not handed up any more. */
  readonly #told = new Map<string, ConnectionNumber>();
  #now: number;
  /** When there is nothing more to be expected. Absent during a handover. */
  endsAt: number | undefined;

  constructor(now: number) {
    this.#now = now;
  }

  /** Time has passed. */
  passed(now: number): void {
    this.#now = now;
  }

  /** Another connection is about to bring events as well. */
  begin(now: number): void {
    this.#now = now;
    this.endsAt = undefined;
    for (const [key, { at }] of this.#brought) {
      if (at >= now - 2 * ECHO_MS_MAX) continue;
      this.#brought.delete(key);
      this.#bytes -= key.length;
    }
  }

  /** There is one connection only, which may bring for a while what others have brought. */
  end(now: number): void {
    this.endsAt = now + ECHO_MS_MAX;
  }

  /** Whether the event is to be handed up. */
  isNew(by: ConnectionNumber, told: Told): boolean {
    return !this.#isOlder(by, told) && this.#isMore(by, textOf(told.bytes));
  }

  /** Whether it is a state of something that a newer connection has told of. */
  #isOlder(by: ConnectionNumber, { event, body }: Told): boolean {
    const name = EVENT_NAMES.get(event);
    if (name === undefined || EVENTS[name].delivery !== 'latest') return false;
    const about = `${String(event)} ${aboutOf(body)}`;
    const newest = this.#told.get(about);
    if (newest !== undefined && newest > by) return true;
    if (newest !== undefined || this.#told.size < ECHOES_MAX) this.#told.set(about, by);
    return false;
  }

  /** Counts one more. Whether no other connection has brought it as often. */
  #isMore(by: ConnectionNumber, key: string): boolean {
    let brought = this.#brought.get(key);
    if (brought === undefined) {
      const isFull = this.#brought.size >= ECHOES_MAX || this.#bytes + key.length > ECHO_BYTES_MAX;
      if (isFull) return true;
      this.#bytes += key.length;
      brought = { times: new Map(), at: this.#now };
      this.#brought.set(key, brought);
    }
    brought.at = this.#now;
    const own = (brought.times.get(by) ?? 0) + 1;
    brought.times.set(by, own);
    let most = 0;
    for (const [other, times] of brought.times) if (other !== by) most = Math.max(most, times);
    return own > most;
  }
}

/** What a state is a state of, as servers tell them apart: a room, a player, a player in a room, or a leaderboard. */
function aboutOf(body: Told['body']): string {
  const room = body['room'] ?? property(body['info'], 'room');
  const user = body['user'] ?? property(body['presence'], 'user');
  const board = property(body['standing'], 'board');
  return JSON.stringify([room, user, board].map((name) => (typeof name === 'string' ? name : '')));
}

/** A text with one character for each byte. */
function textOf(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.byteLength; at += TEXT_BYTES) {
    text += String.fromCharCode(...bytes.subarray(at, at + TEXT_BYTES));
  }
  return text;
}
