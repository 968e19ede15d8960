import type { Fault, Identity, Resume } from '../generated/types.js';
import type { Value } from '../wire/reader.js';
import type { Missing, Stream } from '../wire/frame.js';

/** Names a call until it is answered. Increases in the order of the calls. */
export type Ticket = number;

/** What a client keeps to be signed in again. */
export interface Tokens {
  /** Access token for hello. It may have run out; the refresh token then gets a new one. */
  access?: string | undefined;
  /** Refresh token, good for one use. */
  refresh?: string | undefined;
  /** Id of the player whom they sign in. */
  user?: string | undefined;
}

/** Whom the tokens come from. */
export type TokensFrom =
  /** A sign-in that the application asked for. */
  | 'sign_in'
  /** A renewal. */
  | 'renewal'
  /** The place where they are kept: another client has put them there. */
  | 'store'
  /** Signing out. */
  | 'sign_out';

/** What was found where tokens are kept. */
export type Found =
  /** Nothing that this client does not know. */
  | { is: 'nothing_new' }
  /** Newer tokens of the same player. */
  | { is: 'newer'; tokens: Tokens }
  /** Tokens of another player. */
  | { is: 'other_player' };

/** Waits that grow. The n-th is drawn evenly from 0 to `baseMs · 2ⁿ`, at most `capMs`. */
export interface BackOff {
  /** Longest first wait. */
  baseMs: number;
  /** Longest wait of all. */
  capMs: number;
}

/** What a machine begins with. */
export interface Config {
  /** Name and version of the client library, for the server's logs. */
  sdk: string;
  /** Tokens kept from an earlier run. */
  tokens: Tokens;
  /** Whether there may be tokens that have not been read yet: calls that need a player wait until they have. */
  tokensToCome: boolean;
  /** Streams to follow from the first sign-in on, with cursors kept from an earlier run. Without `inbox` the inbox is not followed. */
  resume: Resume;
  /** Waits between attempts to connect, and before repeating a call that was refused without a time to wait. */
  backOff: BackOff;
  /** How long it may take from `connect` to the server's welcome. */
  handshakeMs: number;
  /** A connection that has lasted this long makes the waits begin at the shortest again. */
  stableMs: number;
  /** Whether the server's clock is measured, by a few calls of `Echo` at the beginning of each connection and one after each ping. */
  measuresClock: boolean;
  /** Random numbers from 0 up to 1, for spreading load. */
  random: () => number;
}

/** Where the client stands. */
export type Connection =
  /**
   * No connection. The next attempt begins at `retryAt`, by the clock of `performance.now()`; `why` says what ended the last
   * connection or attempt, for people to read. Both are absent before the start.
   */
  | { state: 'offline'; retryAt?: number | undefined; why?: string | undefined }
  /** A connection is being made. */
  | { state: 'connecting' }
  /** Connected; what was missed has not all arrived, or the player is being signed in again. */
  | { state: 'catching_up' }
  /** Connected, and up to date. */
  | { state: 'online' }
  /** Closed for good: by the application, or by the server with this close code. */
  | { state: 'stopped'; code?: number | undefined };

/** How a call ended. */
export type Result = { reply: Record<string, Value> } | { fault: Fault };

/** What the machine wants done or known, in order. */
export type Output =
  /** Open a socket; then say `connected` or `disconnected`. */
  | { kind: 'connect' }
  /** Close the socket, or stop opening it. The machine already counts it as gone. */
  | { kind: 'close'; code: number }
  /**
   * The other connection, which `handOver` has begun, is the present one from here on, and the present one, if it is still there,
   * the other: the driver's sockets change their roles before anything more is sent.
   */
  | { kind: 'take_over' }
  /** Close the other socket of a handover. The machine already counts it as gone. */
  | { kind: 'close_other'; code: number }
  /** Where the client stands has changed. */
  | { kind: 'connection'; connection: Connection }
  /** A call has ended. */
  | { kind: 'answer'; ticket: Ticket; result: Result }
  /** Something happened. Entries of streams come in order and once. */
  | { kind: 'event'; event: number; body: Record<string, Value> }
  /** Part of a stream no longer exists. The cursor is after it. */
  | { kind: 'gap'; stream: Stream; missing: Missing; from: number; to: number }
  /** The server would not open a followed stream again, so it is not followed any more. */
  | { kind: 'stream_lost'; stream: Stream; fault: Fault }
  /** State of a match. */
  | { kind: 'state'; room: string; tick: number; data: Uint8Array<ArrayBuffer> }
  /** The connection is signed in. Comes with each welcome and each new token. */
  | { kind: 'signed_in'; identity: Identity }
  /** The tokens are others now: keep them for the next run. */
  | { kind: 'tokens'; tokens: Tokens; from: TokensFrom }
  /** Look where tokens are kept, for another client may have renewed them; then say `tokensFound`. */
  | { kind: 'read_tokens' }
  /** Something of the server's could not be read. It was stepped over, unless `close` follows: the connection could not go on. */
  | { kind: 'unreadable'; unreadable: Unreadable }
  /** The player is signed out, and must sign in anew. */
  | { kind: 'signed_out'; fault: Fault | undefined }
  /** A fault about the connection itself; a close follows. */
  | { kind: 'fault'; fault: Fault }
  /** Client and server do not fit, for this reason. What was asked of it goes on without, unless `close` follows. */
  | { kind: 'mismatch'; why: string }
  /** The first of a series of attempts to connect has failed, for this reason. The others are not told. */
  | { kind: 'unreachable'; why: string };

/** Something of the server's that could not be read, so that nobody hears it. */
export interface Unreadable {
  /** Name of the event, of the method whose reply it is, or of the kind of frame; `frame` when that cannot be read either. */
  name: string;
  /** The stream whose entry it was. The cursor is after it. */
  stream?: Stream | undefined;
  /** Sequence of the entry in its stream, if it is a message or an entry of the inbox. */
  seq?: number | undefined;
  /** Revision of the entry, if it is a change. */
  rev?: number | undefined;
  /** What is wrong with it. */
  reason: string;
}

/** Counts since the machine was made, for diagnosis. */
export interface Stats {
  /** Connections that were welcomed. */
  welcomes: number;
  /** Those of them that have taken over from another one. */
  handovers: number;
  /** Times that something was missing from a stream without a gap frame. */
  holes: number;
  /** Times that a stream was cut because the application did not keep up. */
  cuts: number;
}

/** Why the machine gives a connection up: what came does not follow the protocol, or cannot be used now. */
export class Broken extends Error {
  override readonly name = 'Broken';

  constructor(
    readonly why: 'protocol' | 'unusable',
    message: string,
  ) {
    super(message);
  }
}

/** The player whom the tokens sign in is suspended, as this fault says. */
export class Suspended extends Broken {
  constructor(readonly fault: Fault) {
    super('unusable', fault.message);
  }
}

/** The n-th wait. */
export function backOffMs(backOff: BackOff, attempts: number, random: () => number): number {
  const ceiling = Math.min(backOff.capMs, backOff.baseMs * 2 ** attempts);
  return upTo(ceiling, random);
}

/** A whole number from 0 to `most`, both included. */
export function upTo(most: number, random: () => number): number {
  return Math.min(most, Math.floor(random() * (most + 1)));
}
