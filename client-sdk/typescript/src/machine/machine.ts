import { faultOf } from '../errors.js';
import { CLOSE_CODES } from '../generated/codes.js';
import { METHODS } from '../generated/tables.js';
import type { Identity, Resume, Welcome } from '../generated/types.js';
import { LIMITS, VERSION } from '../generated/wire.js';
import type { ServerFrame, Stream } from '../wire/frame.js';
import { encodeClientFrame, InvalidFrame, readServerFrame } from '../wire/frame.js';
import type { Salvaged } from '../wire/salvage.js';
import { frameNameAt, salvage } from '../wire/salvage.js';
import { faulted, replied, repliedUnreadably } from './answers.js';
import type { Request } from './pending.js';
import { Refused } from './calls.js';
import { State } from './state.js';
import { firstOf, happened, happenedUnreadably, missed, reopen, staysOpen } from './entries.js';
import {
  abandonNext,
  beginHandover,
  handoverDue,
  handoverTimeout,
  mayHandOver,
  otherDisconnected,
  otherReceived,
  toldState,
} from './handover.js';
import { giveUp, halt, lost, reconnectAfter, suspended } from './lost.js';
import {
  greeted,
  helloFrame,
  otherPlayerFault,
  refreshDue,
  signedOut,
  tokensFound,
  welcomed,
} from './sign-in.js';
import type { Place } from './streams.js';
import type { Found, Ticket } from './types.js';
import { Broken, Suspended } from './types.js';

/**
 * The client's side without I/O: one machine for the whole life of a client, across all its connections. It has the rules of
 * `protocol/src/client.rs`.
 *
 * A driver opens sockets and keeps time: it calls `start`, then `connected`, `received`, `disconnected` and, when
 * `nextTimeout` has come, `tick`; after each of them it takes every `poll` and sends every `transmit`. Time is a number of
 * milliseconds that never goes back. When another socket is open, over which the client is to go on, the driver calls `handOver`, and
 * then the methods with `other` in their name as well; `take_over` makes the two sockets change their roles.
 *
 * - Every call that was taken ends in exactly one answer, unless it is cancelled.
 * - Calls on the wire when a connection goes away are sent again on the next one, under the same key, except those that
 *   METHODS calls momentary: without a connection they end with `disconnected`.
 * - Sends to one room, and what else METHODS puts in order, go out in the order in which they were taken. Once one was
 *   refused for being too fast, those behind it stay back until it has been answered.
 * - What others see of the player is the same on each connection from its beginning.
 * - Leaderboards that are followed stay so on each later connection of the same player, as rooms stay open; how one stands then comes
 *   as `RankChanged`.
 * - Entries of a followed stream come up in order, none twice, none left out: a hole is told by `mismatch`, and the stream opened
 *   again from the cursor; what no longer exists is told by a gap.
 * - Where the server has restored a backup (`epoch` of its welcome), each room begins at its newest and the inbox at its
 *   beginning, behind a gap that begins at 1: what was handed up before may be otherwise there, and is to be read anew.
 * - What cannot be read is told and stepped over, and its call ends: no connection is lost over it, but over a welcome, an
 *   unknown kind of frame, bytes in which no frame ends, and the reply to a sign-in.
 * - What a server says that is newer, older or wrong is told by `mismatch`, and nothing is repeated over it without a word: a room
 *   that it does not open again is told by `stream_lost`, what it leaves out for good by a gap, and the waits between connections that end
 *   over it grow however long each has lasted.
 * - A handover changes nothing of this, and nothing of what the application sees.
 * - Everything that it holds is bounded: calls by CALLS_HELD_MAX and CALLS_HELD_BYTES_MAX, streams by ROOMS_OPEN_MAX.
 */
export class Machine extends State {
  /** Who is or was last signed in; absent when signed out or not yet known. */
  get identity(): Identity | undefined {
    return this.signIn.identity;
  }

  /** The streams that are followed, with their cursors: everything up to them has been handed up. */
  get cursors(): Resume {
    const cursors = this.streams.resume() ?? {};
    const rooms = new Map(cursors.rooms?.map((cursor) => [cursor.room, cursor]));
    for (const { stream, place } of this.#untold()) {
      const room = rooms.get(stream);
      if (room !== undefined) room[place.in] = Math.min(room[place.in], place.number - 1);
      else if (stream === 'inbox' && cursors.inbox !== undefined) {
        cursors.inbox = Math.min(cursors.inbox, place.number - 1);
      }
    }
    return cursors;
  }

  /** The places in streams that outputs tell of which nobody has taken yet. */
  #untold(): { stream: Stream; place: Place }[] {
    return this.outputs.flatMap((output) => firstOf(output) ?? []);
  }

  /**
   * What was found where tokens are kept, before there is a connection. Newer ones are used for it; if they are another
   * player's, nobody is signed in any more.
   */
  useTokens(found: Found): void {
    if (this.isConnected()) return;
    this.tokensToCome = false;
    if (found.is === 'newer') {
      this.calls.endOwned((owner) => owner === 'refresh');
      this.signIn.tokens = { ...found.tokens };
    }
    if (found.is === 'other_player') signedOut(this, otherPlayerFault());
    this.dispatch();
    this.tell();
  }

  /** What was found where tokens are kept, as `read_tokens` asked. */
  tokensFound(found: Found): void {
    tokensFound(this, found);
    this.dispatch();
    this.tell();
  }

  /** Whether new tokens are being got: no other client that shares them should do so now. */
  get isRenewing(): boolean {
    return this.signIn.reading || this.calls.has('refresh') || this.calls.has('renew');
  }

  /** Whether it is decided who is signed in, on a connection that stands. */
  get isSettled(): boolean {
    if (this.phase.is !== 'open') return false;
    return this.signIn.standing === 'in' || !this.signInExpected;
  }

  /** Is going to be started: takes calls again after it was stopped. */
  prepare(): void {
    if (this.phase.is !== 'stopped') return;
    this.phase = { is: 'idle' };
    this.tell();
  }

  /** Begins to connect, also again after it was stopped. */
  start(now: number): void {
    if (this.phase.is !== 'idle' && this.phase.is !== 'stopped') return;
    this.attempts = 0;
    this.failing = false;
    this.why = undefined;
    this.phase = { is: 'waiting', at: now };
    this.tick(now);
  }

  /**
   * Ends the connection for good. Calls without an answer end with `disconnected`; entries of streams that nobody has taken yet
   * are dropped, and the cursors are in front of them.
   */
  stop(): void {
    this.streams.rewind(this.#untold());
    this.outputs = this.outputs.filter((output) => firstOf(output) === undefined);
    if (this.phase.is === 'connecting' || this.isConnected()) this.out({ kind: 'close', code: 1000 });
    halt(this, undefined);
    this.tell();
  }

  /** Does not wait for the next attempt's time: for when the device has found a network. */
  retryNow(now: number): void {
    if (this.phase.is !== 'waiting') return;
    this.phase = { is: 'waiting', at: now };
    this.tick(now);
  }

  /** The socket is open. */
  connected(now: number): void {
    if (this.phase.is !== 'connecting') return;
    this.phase = { is: 'handshaking', since: now };
    this.heardAt = now;
    this.callsMax = LIMITS.CALLS_IN_FLIGHT_MAX;
    this.send(helloFrame(this));
    greeted(this);
    this.dispatch();
    this.tell();
  }

  /**
   * The socket has closed, with the code of the server's close frame if there was one, or could not be opened; and why, as far as
   * the driver knows.
   */
  disconnected(now: number, code: number | undefined, why?: string): void {
    lost(this, now, reconnectAfter(code), code, why ?? this.#whyLost(code));
    this.#goOn(now);
  }

  /** A WebSocket message came: one or more frames. */
  received(now: number, message: Uint8Array): void {
    if (!this.isConnected()) return;
    this.heardAt = now;
    let at = 0;
    try {
      if (message.byteLength > LIMITS.MESSAGE_BYTES_MAX) {
        throw new InvalidFrame('too_long', 'the message is longer than messages may be');
      }
      while (at < message.byteLength && this.isConnected()) {
        at = this.#next(now, message, at);
      }
    } catch (error) {
      if (error instanceof Suspended) {
        suspended(this, now, error.fault);
        return this.#goOn(now);
      }
      if (!(error instanceof Broken || error instanceof InvalidFrame)) throw error;
      if (error instanceof InvalidFrame) {
        this.out({
          kind: 'unreadable',
          unreadable: { name: frameNameAt(message, at), reason: error.message },
        });
      }
      const usable = error instanceof Broken && error.why === 'unusable';
      if (error instanceof Broken && !usable) this.mismatch(error.message);
      // When the next one would end in the same way, this does not count as one that has lasted.
      if (this.phase.is === 'open') this.phase = { is: 'open', since: now };
      giveUp(this, now, usable ? 1000 : CLOSE_CODES.protocol_error, error.message);
    }
    this.#goOn(now);
  }

  /**
   * Another socket is open, over which the client shall go on: the machine greets the server there, and takes that connection for
   * the present one by `take_over` when it can without losing anything. False: this is not the time for it, and the socket is to be
   * closed. There has to be an open connection, with nobody being signed in, and no other handover.
   */
  handOver(now: number): boolean {
    const began = beginHandover(this, now);
    if (began) this.#goOn(now);
    return began;
  }

  /** Whether there is another connection, being welcomed or being left. */
  get isHandingOver(): boolean {
    return this.handover !== undefined;
  }

  /** Whether `handOver` would begin a handover now. */
  get mayHandOver(): boolean {
    return mayHandOver(this);
  }

  /** A message came over the other connection. */
  otherReceived(now: number, message: Uint8Array): void {
    otherReceived(this, now, message);
    this.#goOn(now);
  }

  /** A datagram came over either connection. One that is no state of a match is dropped, as if it had been lost. */
  receivedDatagram(datagram: Uint8Array): void {
    if (this.phase.is !== 'open' || datagram.byteLength > LIMITS.FRAME_BYTES_MAX) return;
    try {
      const { frame, next } = readServerFrame(datagram);
      if (frame.kind === 'state' && next === datagram.byteLength) toldState(this, frame);
    } catch (error) {
      if (!(error instanceof InvalidFrame)) throw error;
    }
  }

  /** The other connection has closed. */
  otherDisconnected(now: number): void {
    otherDisconnected(this, now);
    this.#goOn(now);
  }

  /** Whether the server owes an answer: when nothing comes, the connection may be gone. */
  get awaitsAnswers(): boolean {
    return this.calls.awaitsAny;
  }

  #goOn(now: number): void {
    handoverDue(this, now);
    this.dispatch();
    this.tell();
  }

  /** Something is due: see `nextTimeout`. Harmless at any other time. */
  tick(now: number): void {
    const { phase } = this;
    if (phase.is === 'waiting' && phase.at <= now) {
      this.phase = { is: 'connecting', since: now };
      this.out({ kind: 'connect' });
    } else if (
      (phase.is === 'connecting' || phase.is === 'handshaking') &&
      phase.since + this.config.handshakeMs <= now
    ) {
      const why = `the server has not welcomed this client within ${String(this.config.handshakeMs)} ms`;
      giveUp(this, now, CLOSE_CODES.handshake_timeout, why);
    } else if (phase.is === 'open' && this.#deadAt <= now) {
      const why = `the server was silent for ${String(2 * this.pingMs)} ms`;
      giveUp(this, now, CLOSE_CODES.heartbeat_missed, why);
    }
    if (this.phase.is === 'open') refreshDue(this, now);
    this.calls.repeatDue(now);
    for (const ticket of this.calls.overdue(now)) {
      this.#drop(ticket);
      this.answer(ticket, { fault: faultOf('deadline', this.#whyLate()) });
    }
    this.#goOn(now);
  }

  /** When `tick` must be called next, if nothing else happens before. */
  get nextTimeout(): number | undefined {
    const { phase } = this;
    let next = Math.min(this.calls.nextTimeout() ?? Infinity, handoverTimeout(this));
    if (phase.is === 'waiting') next = Math.min(next, phase.at);
    if (phase.is === 'connecting' || phase.is === 'handshaking') {
      next = Math.min(next, phase.since + this.config.handshakeMs);
    }
    if (phase.is === 'open') next = Math.min(next, this.#deadAt, this.signIn.refreshAt ?? Infinity);
    return next === Infinity ? undefined : next;
  }

  /**
   * Takes a call. It goes out as soon as there is a connection, a place on the wire and, if the method needs one, a
   * signed-in player. When nobody is signed in and nobody is going to be, it ends at once with `unauthenticated`. Throws Refused, or Misfit for a request that cannot travel.
   */
  call(request: Request): Ticket {
    if (this.phase.is === 'stopped') throw new Refused('stopped', 'the connection has been closed for good');
    const ticket = this.calls.take(request, (room) => this.streams.head(room));
    if (METHODS[request.method].momentary === true && !this.isConnected()) {
      this.#drop(ticket);
      this.answer(ticket, { fault: faultOf('disconnected') });
    }
    this.dispatch();
    this.tell();
    return ticket;
  }

  /**
   * Gives a call up: no answer will come. Whether it took effect is unknown. A call that opens or closes a room or signs in
   * or out, and is on the wire already, still does so.
   */
  cancel(ticket: Ticket): void {
    this.#drop(ticket);
    this.dispatch();
  }

  /** Sends game input, if there is a connection. It is lost otherwise. */
  input(room: string, seq: number, data: Uint8Array): void {
    if (this.phase.is === 'open') this.send(encodeClientFrame({ kind: 'input', room, seq, data }));
  }

  /**
   * While paused, the machine takes no more entries of streams: the first one that comes cuts its stream, which is opened
   * again from its cursor when the pause ends. Answers and other events keep coming.
   */
  pause(paused: boolean): void {
    const ends = this.paused && !paused;
    this.paused = paused;
    if (!ends) return;
    for (const stream of this.streams.takeCut()) reopen(this, stream);
    this.dispatch();
    this.tell();
  }

  /** Takes the frame that begins at `at`, and says where the next one begins. */
  #next(now: number, message: Uint8Array, at: number): number {
    let read: ReturnType<typeof readServerFrame>;
    try {
      read = readServerFrame(message, at);
    } catch (error) {
      if (!(error instanceof InvalidFrame)) throw error;
      const rest = this.phase.is === 'open' ? salvage(message, at) : undefined;
      if (rest === undefined) throw error;
      this.#stepOver(now, rest, error.message);
      return rest.next;
    }
    this.#frame(now, read.frame, message.subarray(at, read.next));
    return read.next;
  }

  /** To end the connection for a frame that cannot be read would bring most of them again on the next one. */
  #stepOver(now: number, { kind, number, body }: Salvaged, reason: string): void {
    // What a gap would have passed over is a hole without it.
    if (kind === 'gap') this.entryLost = true;
    switch (kind) {
      case 'event':
        return happenedUnreadably(this, number, body, reason);
      case 'reply':
        return repliedUnreadably(this, number, reason);
      case 'fault': {
        const fault = faultOf('internal', `the refusal cannot be read: ${reason}`);
        return number === 0 ? this.out({ kind: 'fault', fault }) : faulted(this, now, number, fault);
      }
      default:
        this.out({ kind: 'unreadable', unreadable: { name: kind, reason } });
    }
  }

  get #deadAt(): number {
    return this.heardAt + 2 * this.pingMs;
  }

  #frame(now: number, frame: ServerFrame, bytes: Uint8Array): void {
    switch (frame.kind) {
      case 'welcome':
        return this.#welcome(now, frame.body);
      case 'ping':
        this.send(encodeClientFrame({ kind: 'pong', nonce: frame.nonce }));
        if (this.phase.is === 'open') this.clock.ask(now);
        return;
      case 'goaway':
        this.goaway = frame.body;
        // The next connection would be sent away as well.
        if (!this.isLeaving) abandonNext(this, now, 1000);
        return;
      case 'fault':
        if (frame.call === 0) {
          this.blame = frame.fault.message;
          return this.out({ kind: 'fault', fault: frame.fault });
        }
        break;
      default:
    }
    if (this.phase.is !== 'open') throw new Broken('protocol', `${frame.kind} before the welcome`);
    switch (frame.kind) {
      case 'reply':
        return replied(this, now, frame.call, frame.body);
      case 'fault':
        return faulted(this, now, frame.call, frame.fault);
      case 'event':
        return happened(this, frame.event, frame.body, bytes);
      case 'gap':
        return missed(this, frame.stream, frame.missing, frame.from, frame.to);
      case 'state':
        toldState(this, frame);
    }
  }

  #welcome(now: number, welcome: Welcome): void {
    if (this.phase.is === 'open') throw new Broken('protocol', 'a second welcome came');
    if (welcome.v !== VERSION) {
      const versions = `version ${String(welcome.v)} of the protocol, this client version ${String(VERSION)}`;
      throw new Broken('protocol', `the server speaks ${versions}`);
    }
    this.phase = { is: 'open', since: now };
    this.failing = false;
    this.takeTerms(welcome);
    this.clock.begin(now);
    welcomed(this, now, welcome);
  }

  /** Why the connection is gone, when the driver does not know more. */
  #whyLost(code: number | undefined): string {
    if (code !== undefined) return `the server closed the connection with code ${String(code)}`;
    return this.phase.is === 'connecting' ? 'the connection could not be opened' : 'the connection broke';
  }

  /** The message of a call that is too late: without a connection, why there is none. */
  #whyLate(): string | undefined {
    if (this.phase.is === 'open') return undefined;
    const reason = this.phase.is === 'idle' ? 'connect was not called' : (this.why ?? 'no answer so far');
    const standing = this.stats.welcomes === 0 ? 'never connected' : 'not connected';
    return `No answer came in time; ${standing}: ${reason}`;
  }

  #drop(ticket: Ticket): void {
    const consequence = this.calls.consequenceOf(ticket);
    const call = this.calls.cancel(ticket);
    if (call !== undefined) this.sendCancel(call);
    staysOpen(this, consequence);
  }
}
