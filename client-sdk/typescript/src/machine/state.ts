import { faultOf } from '../errors.js';
import { METHODS } from '../generated/tables.js';
import type { Fault, Goaway, Identity, QuicAddress, SetPresence, Welcome } from '../generated/types.js';
import { LIMITS } from '../generated/wire.js';
import { encodeClientFrame } from '../wire/frame.js';
import { Calls } from './calls.js';
import { Clock } from './clock.js';
import type { Echoes, Told, ConnectionNumber } from './echoes.js';
import { Outbox } from './outbox.js';
import { Streams } from './streams.js';
import type { Config, Connection, Output, Result, Stats, Ticket, Tokens } from './types.js';
import { backOffMs, upTo } from './types.js';

/** Where a connection is in its life. */
export type Phase =
  | { is: 'idle' }
  | { is: 'waiting'; at: number }
  | { is: 'connecting'; since: number }
  | { is: 'handshaking'; since: number }
  | { is: 'open'; since: number }
  | { is: 'stopped'; code: number | undefined };

/** Who the client speaks for. `assumed`: a token is on its way in the hello. */
export interface SignIn {
  tokens: Tokens;
  refreshAt: number | undefined;
  /** When the tokens that expire then are renewed. */
  planned: { expiresAt: number; at: number } | undefined;
  /** When a renewal was last due. */
  refreshedAt: number | undefined;
  identity: Identity | undefined;
  standing: 'out' | 'assumed' | 'in';
  /** Counts the times that a sign-in began on a connection. */
  begun: number;
  /** The server's clock minus ours. */
  clockOffset: number;
  /** The place where tokens are kept is being looked at before the refresh token is used. */
  reading: boolean;
}

/** Shortest interval between pings that is taken from a server. */
const PING_MS_MIN = 100;

/** The other connection of a handover. */
export interface Handover {
  stage: HandoverStage;
  readonly outbox: Outbox;
}

/** How far a handover has come: see `handover.ts`. */
export type HandoverStage =
  /** `access`: the token in its hello. */
  | { is: 'handshaking'; since: number; access: string | undefined }
  | { is: 'settling'; since: number; welcome: Welcome }
  | Leaving;

/** The connection before is being left. `last`: the call whose answer is the last that is awaited from it. */
export interface Leaving {
  is: 'leaving';
  since: number;
  last: number | undefined;
}

/**
 * The machine's state, shared by its rules: the functions of `answers.ts`, `entries.ts`, `sign-in.ts`, `handover.ts` and `lost.ts`
 * read and change it, and hand on by it what is to be sent or known.
 */
export class State {
  readonly config: Config;
  readonly calls = new Calls();
  readonly streams = new Streams();
  readonly clock: Clock;
  readonly stats: Stats = { welcomes: 0, handovers: 0, holes: 0, cuts: 0 };
  signIn: SignIn;
  phase: Phase = { is: 'idle' };
  attempts = 0;
  goaway: Goaway | undefined;
  /** What ended the last connection or attempt. */
  why: string | undefined;
  /** What the server has said against this connection. */
  blame: string | undefined;
  /** Whether the attempts since the last welcome have failed. */
  failing = false;
  pingMs = 0;
  heardAt = 0;
  callsMax: number = LIMITS.CALLS_IN_FLIGHT_MAX;
  paused = false;
  /** Tokens may be kept somewhere that nobody has looked at yet. */
  tokensToCome: boolean;
  /** What the application has last made of its presence, and by which call. The server keeps it no longer than a connection. */
  presence: { ticket: Ticket; request: SetPresence } | undefined;
  /** A gap could not be read, or an entry, and not which of its stream it was: a hole in some stream is to be expected. */
  entryLost = false;
  handover: Handover | undefined;
  echoes: Echoes | undefined;
  /** The leaderboards that are followed. */
  readonly boards = new Set<string>();
  /** The newest tick of each room's match that was handed up on this connection. */
  readonly ticks = new Map<string, number>();
  /** Where the server takes QUIC, as its last welcome says. */
  quic: QuicAddress | undefined;
  /** What is to be sent over the present connection. */
  outbox = new Outbox();
  protected outputs: Output[] = [];
  #told: Connection = { state: 'offline' };

  constructor(config: Config) {
    this.config = config;
    this.clock = new Clock(config.measuresClock, this.calls);
    this.signIn = {
      tokens: { ...config.tokens },
      refreshAt: undefined,
      planned: undefined,
      refreshedAt: undefined,
      identity: undefined,
      standing: 'out',
      begun: 0,
      clockOffset: 0,
      reading: false,
    };
    this.tokensToCome = config.tokensToCome;
    this.streams.followAll(config.resume);
  }

  /** Number of the sign-in, if the server knows the player or will by the time it reads what is sent now. */
  get signInNumber(): number | undefined {
    return this.signIn.standing === 'out' ? undefined : this.signIn.begun;
  }

  get hasTokens(): boolean {
    return this.signIn.tokens.access !== undefined || this.signIn.tokens.refresh !== undefined;
  }

  /** Whether frames may come and go. */
  isConnected(): boolean {
    return this.phase.is === 'handshaking' || this.phase.is === 'open';
  }

  /** Where the client stands. */
  get connection(): Connection {
    switch (this.phase.is) {
      case 'idle':
        return { state: 'offline' };
      case 'waiting':
        return this.why === undefined
          ? { state: 'offline', retryAt: this.phase.at }
          : { state: 'offline', retryAt: this.phase.at, why: this.why };
      case 'connecting':
      case 'handshaking':
        return { state: 'connecting' };
      case 'open':
        return { state: this.#isCatchingUp ? 'catching_up' : 'online' };
      case 'stopped':
        return this.phase.code === undefined
          ? { state: 'stopped' }
          : { state: 'stopped', code: this.phase.code };
    }
  }

  get #isCatchingUp(): boolean {
    if (this.signIn.standing !== 'in' && this.hasTokens) return true;
    if (this.signInNumber === undefined) return false;
    return !this.streams.allLive() || (this.calls.has('resume') && !this.isLeaving);
  }

  /** The number of the present connection. */
  get present(): ConnectionNumber {
    return this.stats.handovers;
  }

  /** Whether calls that change a connection wait until the next one has taken over. */
  get isSettling(): boolean {
    return this.handover?.stage.is === 'settling';
  }

  /** Whether the connection before is being left, and brings what this one does not yet. */
  get isLeaving(): boolean {
    return this.handover?.stage.is === 'leaving';
  }

  /** Whether an event that is no entry of a stream is handed up, which the other connection of a handover may have brought before. */
  isNews(by: ConnectionNumber, told: Told): boolean {
    return this.echoes?.isNew(by, told) ?? true;
  }

  /** What the server says of itself in its welcome. */
  takeTerms(welcome: Welcome): void {
    this.stats.welcomes += 1;
    this.pingMs = Math.max(welcome.ping_ms, PING_MS_MIN);
    this.callsMax = welcome.limits.calls;
    this.quic = welcome.quic;
    if (this.streams.welcomed(welcome.epoch)) this.calls.forgetFirstHeads();
  }

  /** Nothing goes on: whatever other connection there is goes as well. */
  dropOther(): void {
    this.echoes = undefined;
    if (this.handover === undefined) return;
    this.handover = undefined;
    this.out({ kind: 'close_other', code: 1000 });
  }

  /** Whoever was signed in is no more: what the other connection says is not for whoever comes. */
  dropOtherPlayer(): void {
    this.dropOther();
    this.endAnswered(this.calls.lostBefore(), faultOf('disconnected'));
  }

  /** Forgets what belonged to the connection that is gone. */
  detach(): void {
    this.outbox.clear();
    this.ticks.clear();
    this.streams.disconnected();
    this.signIn.standing = 'out';
    this.signIn.refreshAt = undefined;
    this.signIn.reading = false;
    this.entryLost = false;
    this.endAnswered(this.calls.disconnected(), faultOf('disconnected'));
  }

  out(output: Output): void {
    this.outputs.push(output);
  }

  /** Tells that client and server do not fit. */
  mismatch(why: string): void {
    this.out({ kind: 'mismatch', why });
  }

  answer(ticket: Ticket, result: Result): void {
    this.out({ kind: 'answer', ticket, result });
  }

  /** Adds a frame to what is to be sent over the present connection. */
  send(frame: Uint8Array): void {
    this.outbox.push(frame);
  }

  /** Takes a call back from the connection that was asked it. */
  sendCancel(call: number): void {
    const isBefore = this.isLeaving && this.calls.isBefore(call);
    const outbox = isBefore ? this.handover?.outbox : undefined;
    (outbox ?? this.outbox).push(encodeClientFrame({ kind: 'cancel', call }));
  }

  /** What the machine wants done or known next. */
  poll(): Output | undefined {
    return this.outputs.shift();
  }

  /**
   * The next WebSocket message to send, of at most MESSAGE_BYTES_MAX bytes. Take the outputs first: an acknowledgement
   * says that they were taken.
   */
  transmit(): Uint8Array | undefined {
    return this.outbox.shift();
  }

  /** The next message to send over the other connection. As with `transmit`, take the outputs first. */
  transmitOther(): Uint8Array | undefined {
    return this.handover?.outbox.shift();
  }

  /** Puts calls on the wire while there are places for them. */
  dispatch(): void {
    this.#endHopeless();
    if (!this.isConnected()) return;
    const next = (): Uint8Array | undefined =>
      this.calls.nextFrame(this.callsMax, this.signInNumber, this.isSettling);
    for (let frame = next(); frame !== undefined; frame = next()) this.send(frame);
  }

  /** Whether somebody is signed in, or may yet be without the application doing anything more. */
  get signInExpected(): boolean {
    return (
      this.signIn.standing !== 'out' ||
      this.tokensToCome ||
      this.hasTokens ||
      this.signIn.reading ||
      this.calls.signingIn
    );
  }

  /** Calls that need a player end when nobody is going to be signed in. */
  #endHopeless(): void {
    if (this.signInExpected) return;
    const ended = this.calls.end((method) => METHODS[method].access !== 'anyone');
    const advice = 'nobody is signed in: call login, loginGuest or register first';
    this.endAnswered(ended, faultOf('unauthenticated', advice));
  }

  /** Says where the client stands, if that has changed. */
  tell(): void {
    const now = this.connection;
    if (sameConnection(now, this.#told)) return;
    this.#told = now;
    this.out({ kind: 'connection', connection: now });
  }

  /** A wait before trying again, spread at random. */
  wait(attempts: number): number {
    return backOffMs(this.config.backOff, attempts, this.config.random);
  }

  /** A whole number from 0 to `most`. */
  upTo(most: number): number {
    return upTo(most, this.config.random);
  }

  endAnswered(tickets: readonly Ticket[], fault: Fault): void {
    for (const ticket of tickets) this.answer(ticket, { fault });
  }
}

function sameConnection(left: Connection, right: Connection): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
