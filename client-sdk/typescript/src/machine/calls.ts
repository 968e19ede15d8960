import { codeName } from '../errors.js';
import type { Fault, SetPresence } from '../generated/types.js';
import { METHODS } from '../generated/tables.js';
import { LIMITS } from '../generated/wire.js';
import { encodeClientFrame } from '../wire/frame.js';
import { toUtf8 } from '../wire/utf8.js';
import { encode } from '../wire/writer.js';
import { consequenceOf, isFirstWrite, orderingKeyOf, repeats, roomOf } from './call-rules.js';
import type { CallState, Consequence, MethodName, Owner, Pending, Request } from './pending.js';
import type { Ticket } from './types.js';

/** Most unanswered calls that the machine holds, those on the wire included. One more is refused at once. */
export const CALLS_HELD_MAX = 1024;

/** Most bytes of bodies of unanswered calls. A call beyond it is refused at once. */
export const CALLS_HELD_BYTES_MAX = 4 * 1024 * 1024;

/** Bytes of a frame that are not its body: the array, numbers and key. */
const FRAME_OVERHEAD_BYTES = 32 + LIMITS.KEY_BYTES_MAX;

/** Places on the wire that the application's calls leave free for the machine's own. */
const RESERVED = 4;

/** How often a call goes back to waiting because the server did not know the player. */
const SIGN_IN_REFUSALS_MAX = 3;

/** What became of a refused call. `signIn`: number of the sign-in that was refused. */
export type AfterFault =
  { is: 'kept' | 'unknown' } | { is: 'needs_sign_in'; signIn: number } | { is: 'ended'; pending: Pending };

/** Why a call was not taken. Nothing was sent. */
export class Refused extends Error {
  override readonly name = 'Refused';

  constructor(
    readonly why: 'queue_full' | 'too_long' | 'key' | 'stopped',
    message: string,
  ) {
    super(message);
  }
}

/** A call of the machine's own. */
export interface Own {
  owner: Exclude<Owner, 'app' | 'detached'>;
  method: MethodName;
  request: Readonly<Record<string, unknown>>;
  key?: string;
  rooms?: readonly string[];
  inbox?: boolean;
  epoch?: number | undefined;
  consequence?: Consequence;
}

/** The calls that have no answer yet: waiting, on the wire, or refused and waiting to be repeated. */
export class Calls {
  /** In the order of their tickets. */
  readonly #pending = new Map<Ticket, Pending>();
  /** Calls that the server has not answered, also those that nobody waits for any more: they take a place all the same. */
  readonly #onWire = new Map<number, Pending>();
  /** Those with a deadline or a time to be repeated. */
  readonly #timed = new Set<Pending>();
  /** Refused calls of each ordering key. Later calls with the key stay behind them. */
  readonly #refusedInOrder = new Map<string, Set<Ticket>>();
  /** How many calls of each ordering key the connection before a handover has yet to answer. Others with the key stay behind them. */
  readonly #beforeInOrder = new Map<string, number>();
  /** How many of the application's wait, and how many of the machine's own, which go before them. */
  readonly #waiting = { app: 0, own: 0 };
  /** How many of them sign in. */
  #signIns = 0;
  #bytes = 0;
  #lastTicket = 0;
  #lastCall = 0;
  /** The newest call that the connection before a handover was asked. */
  #lastBefore = 0;

  /** Takes a call of the application's. `head` gives the newest sequence that is known of a room. */
  take(call: Request, head: (room: string) => number | undefined): Ticket {
    const body = encode(call.request);
    if (body.byteLength + FRAME_OVERHEAD_BYTES > LIMITS.FRAME_BYTES_MAX) {
      throw new Refused('too_long', `a call is at most ${String(LIMITS.FRAME_BYTES_MAX)} bytes`);
    }
    if (call.key !== undefined && !isKey(call.key)) {
      throw new Refused('key', `an idempotency key is 1 to ${String(LIMITS.KEY_BYTES_MAX)} bytes`);
    }
    if (this.#pending.size >= CALLS_HELD_MAX || this.#bytes + body.byteLength > CALLS_HELD_BYTES_MAX) {
      throw new Refused(
        'queue_full',
        `${String(CALLS_HELD_MAX)} calls or ${String(CALLS_HELD_BYTES_MAX)} bytes have no answer yet`,
      );
    }
    const room = roomOf(call);
    return this.#insert({
      owner: 'app',
      method: call.method,
      body,
      key: call.key,
      deadline: call.deadline,
      rooms: [],
      inbox: false,
      epoch: undefined,
      consequence: consequenceOf(call),
      room,
      firstHead: room !== undefined && isFirstWrite(call) ? head(room) : undefined,
      orderingKey: orderingKeyOf(call),
    });
  }

  /** Adds a call of the machine's own, which goes out before the application's: now, or at a later time. */
  add(own: Own, at?: number): Ticket {
    const ticket = this.#insert({
      owner: own.owner,
      method: own.method,
      body: encode(own.request),
      key: own.key,
      deadline: undefined,
      rooms: own.rooms ?? [],
      inbox: own.inbox ?? false,
      epoch: own.epoch,
      consequence: own.consequence ?? { kind: 'none' },
      room: undefined,
      firstHead: undefined,
      orderingKey: undefined,
    });
    const pending = this.#pending.get(ticket);
    if (at !== undefined && pending !== undefined) this.#move(pending, { in: 'repeat', at });
    return ticket;
  }

  /** What was known of rooms when calls were made says nothing any more of earlier attempts. */
  forgetFirstHeads(): void {
    for (const pending of this.#pending.values()) pending.firstHead = undefined;
  }

  /** Whether a call of this owner has no answer yet. */
  has(owner: Owner): boolean {
    for (const pending of this.#pending.values()) if (pending.owner === owner) return true;
    return false;
  }

  /** Whether a call that signs in has no answer yet. */
  get signingIn(): boolean {
    return this.#signIns > 0;
  }

  /** What the calls without an answer want others to see of the player, the newest first. */
  presencesAskedFor(): SetPresence[] {
    const asked: SetPresence[] = [];
    for (const { consequence } of this.#pending.values()) {
      if (consequence.kind === 'sets_presence') asked.push(consequence.request);
    }
    return asked.reverse();
  }

  /** What the success of this call changes. */
  consequenceOf(ticket: Ticket): Consequence {
    return this.#pending.get(ticket)?.consequence ?? { kind: 'none' };
  }

  /** Whether the room is being opened again. */
  reopening(room: string): boolean {
    for (const { owner, rooms } of this.#pending.values()) {
      if (owner === 'reopen' && rooms.includes(room)) return true;
    }
    return false;
  }

  /** A room was lost: calls on the wire that open rooms may have opened this one before. */
  distrustOpeners(): void {
    for (const pending of this.#onWire.values()) {
      if (pending.consequence.kind === 'opens') pending.repeated = true;
    }
  }

  /** Whether the application is closing the room. */
  closing(room: string): boolean {
    for (const { consequence } of this.#pending.values()) {
      if (consequence.kind === 'closes' && consequence.room === room) return true;
    }
    return false;
  }

  /**
   * The next call for the wire, as a frame. `signIn`: number of the sign-in, if the server knows the player or will by the
   * time it reads this; `settling`: whether what changes the connection waits, because another one is about to take over.
   */
  nextFrame(limit: number, signIn: number | undefined, settling: boolean): Uint8Array | undefined {
    const most = Math.min(Math.max(limit, RESERVED + 1), LIMITS.CALLS_IN_FLIGHT_MAX);
    const free = most - this.#onWire.size - 1;
    if (free < 0) return undefined;
    const own = this.#next('own', signIn, settling);
    const pending = own ?? (free >= RESERVED ? this.#next('app', signIn, settling) : undefined);
    if (pending === undefined) return undefined;
    const call = this.newNumber();
    this.#move(pending, { in: 'wire', call });
    pending.signIn = signIn ?? 0;
    const head = pending.firstHead;
    pending.firstHead = undefined;
    return encodeClientFrame({
      kind: 'call',
      call,
      method: METHODS[pending.method].number,
      body: pending.body,
      key: pending.key,
      head,
    });
  }

  /** A number that no call has. */
  newNumber(): number {
    this.#lastCall += 1;
    return this.#lastCall;
  }

  #next(side: 'app' | 'own', signIn: number | undefined, settling: boolean): Pending | undefined {
    if (this.#waiting[side] === 0) return undefined;
    for (const pending of this.#pending.values()) {
      if (
        pending.state.in === 'waiting' &&
        sideOf(pending) === side &&
        (signIn !== undefined || METHODS[pending.method].access === 'anyone') &&
        !(settling && changesConnection(pending)) &&
        !this.#isBehind(pending)
      ) {
        return pending;
      }
    }
    return undefined;
  }

  #isBehind(pending: Pending): boolean {
    if (pending.orderingKey === undefined) return false;
    if (this.#beforeInOrder.has(pending.orderingKey)) return true;
    for (const ticket of this.#refusedInOrder.get(pending.orderingKey) ?? [])
      if (ticket < pending.ticket) return true;
    return false;
  }

  /** A reply came: the call has ended. */
  answered(call: number): Pending | undefined {
    const pending = this.#takeOffWire(call);
    if (pending !== undefined) this.#remove(pending);
    return pending;
  }

  /** A fault came. `waitMs` gives the wait before the n-th repetition. */
  refused(call: number, fault: Fault, now: number, waitMs: (refusals: number) => number): AfterFault {
    const pending = this.#takeOffWire(call);
    if (pending === undefined) return { is: 'unknown' };
    if (needsSignIn(fault) && METHODS[pending.method].access !== 'anyone' && pending.owner !== 'detached') {
      pending.signInRefusals += 1;
      if (pending.signInRefusals <= SIGN_IN_REFUSALS_MAX) {
        this.#move(pending, { in: 'waiting' });
        return { is: 'needs_sign_in', signIn: pending.signIn };
      }
    }
    if (repeats(pending, fault)) {
      const at = now + waitMs(pending.refusals);
      if (pending.deadline === undefined || at < pending.deadline) {
        pending.refusals += 1;
        this.#move(pending, { in: 'repeat', at });
        this.#holdBack(pending);
        return { is: 'kept' };
      }
    }
    this.#remove(pending);
    return { is: 'ended', pending };
  }

  #takeOffWire(call: number): Pending | undefined {
    const pending = this.#onWire.get(call);
    this.#onWire.delete(call);
    const key = this.isBefore(call) ? pending?.orderingKey : undefined;
    if (key !== undefined) this.#countBefore(key, -1);
    return pending !== undefined && this.#pending.has(pending.ticket) ? pending : undefined;
  }

  #countBefore(orderingKey: string, by: number): void {
    const count = (this.#beforeInOrder.get(orderingKey) ?? 0) + by;
    if (count > 0) this.#beforeInOrder.set(orderingKey, count);
    else this.#beforeInOrder.delete(orderingKey);
  }

  #holdBack(pending: Pending): void {
    if (pending.orderingKey === undefined) return;
    const refused = this.#refusedInOrder.get(pending.orderingKey) ?? new Set();
    this.#refusedInOrder.set(pending.orderingKey, refused.add(pending.ticket));
  }

  /** Gives a call up. Returns its number on the wire, when the server is to be told. */
  cancel(ticket: Ticket): number | undefined {
    const pending = this.#pending.get(ticket);
    if (pending?.owner !== 'app') return undefined;
    const call = pending.state.in === 'wire' ? pending.state.call : undefined;
    if (call !== undefined && pending.consequence.kind !== 'none') {
      pending.owner = 'detached';
      pending.deadline = undefined;
      this.#timed.delete(pending);
      return undefined;
    }
    this.#remove(pending);
    return call;
  }

  /** Returns calls to waiting whose time to be repeated has come. */
  repeatDue(now: number): void {
    for (const pending of this.#timed) {
      if (pending.state.in === 'repeat' && pending.state.at <= now) this.#move(pending, { in: 'waiting' });
    }
  }

  /** The calls whose deadline has passed, in order. They have to be cancelled. */
  overdue(now: number): Ticket[] {
    const overdue: Ticket[] = [];
    for (const { deadline, ticket } of this.#timed) {
      if (deadline !== undefined && deadline <= now) overdue.push(ticket);
    }
    return overdue.sort((left, right) => left - right);
  }

  /** When the next call must be repeated or given up. */
  nextTimeout(): number | undefined {
    let next = Infinity;
    for (const { deadline, state } of this.#timed) {
      next = Math.min(next, deadline ?? Infinity, state.in === 'repeat' ? state.at : Infinity);
    }
    return next === Infinity ? undefined : next;
  }

  /**
   * The connection is gone. What was on the wire waits for the next one; returns the calls that cannot, because they
   * write and have no key, and those that were for the moment.
   */
  disconnected(): Ticket[] {
    this.#onWire.clear();
    this.#beforeInOrder.clear();
    this.#lastCall = 0;
    this.#lastBefore = 0;
    const lost = [...this.#pending.values()].filter(
      (pending) =>
        pending.state.in === 'wire' || METHODS[pending.method].momentary === true || isBound(pending),
    );
    return this.#loseAll(lost);
  }

  /** The connection before a handover is gone: the same for the calls that it has not answered. */
  lostBefore(): Ticket[] {
    this.#beforeInOrder.clear();
    const lost: Pending[] = [];
    for (const [call, pending] of this.#onWire) {
      if (!this.isBefore(call)) continue;
      this.#onWire.delete(call);
      if (this.#pending.has(pending.ticket)) lost.push(pending);
    }
    return this.#loseAll(lost.sort((left, right) => left.ticket - right.ticket));
  }

  #loseAll(lost: readonly Pending[]): Ticket[] {
    return lost.filter((pending) => this.#lose(pending)).map(({ ticket }) => ticket);
  }

  /** The connection of a call is gone. The call waits for another one, or is over; true: which is to be told. */
  #lose(pending: Pending): boolean {
    const { owner, state, key, method } = pending;
    const { momentary, effect } = METHODS[method];
    if (isBound(pending)) {
      this.#remove(pending);
      return false;
    }
    if (owner === 'app' && (momentary === true || (key === undefined && effect === 'writes'))) {
      this.#remove(pending);
      return true;
    }
    if (state.in === 'wire') {
      pending.repeated = true;
      this.#move(pending, { in: 'waiting' });
    }
    return false;
  }

  /** Whether no call on the wire changes its connection. */
  get changeNothingOnWire(): boolean {
    for (const pending of this.#onWire.values()) {
      if (this.#pending.has(pending.ticket) && changesConnection(pending)) return false;
    }
    return true;
  }

  /** Another connection takes over, for all calls but those that are on the wire. */
  handedOver(): void {
    this.#lastBefore = this.#lastCall;
    for (const { orderingKey } of this.#onWire.values()) {
      if (orderingKey !== undefined) this.#countBefore(orderingKey, 1);
    }
  }

  /** Whether it was the connection before that was asked this. */
  isBefore(call: number): boolean {
    return call <= this.#lastBefore;
  }

  /** Whether the connection before has yet to answer anything. */
  get awaitsBefore(): boolean {
    for (const call of this.#onWire.keys()) if (this.isBefore(call)) return true;
    return false;
  }

  /** Whether any call on the wire has no answer yet. */
  get awaitsAny(): boolean {
    return this.#onWire.size > 0;
  }

  /** Ends the application's calls that `which` picks, and returns them in order. */
  end(which: (method: MethodName) => boolean): Ticket[] {
    const ended: Ticket[] = [];
    for (const pending of [...this.#pending.values()]) {
      if (pending.owner !== 'app' || !which(pending.method)) continue;
      this.#remove(pending);
      ended.push(pending.ticket);
    }
    return ended;
  }

  /** Ends the machine's own calls that `which` picks. */
  endOwned(which: (owner: Owner) => boolean): void {
    for (const pending of [...this.#pending.values()]) if (which(pending.owner)) this.#remove(pending);
  }

  #insert(
    call: Omit<Pending, 'ticket' | 'repeated' | 'state' | 'refusals' | 'signInRefusals' | 'signIn'>,
  ): Ticket {
    this.#lastTicket += 1;
    const ticket = this.#lastTicket;
    this.#bytes += call.body.byteLength;
    const pending: Pending = {
      ...call,
      ticket,
      repeated: false,
      state: { in: 'waiting' },
      refusals: 0,
      signInRefusals: 0,
      signIn: 0,
    };
    this.#waiting[sideOf(pending)] += 1;
    if (signsIn(pending)) this.#signIns += 1;
    this.#pending.set(ticket, pending);
    if (pending.deadline !== undefined) this.#timed.add(pending);
    return ticket;
  }

  #move(pending: Pending, state: CallState): void {
    if (pending.state.in === 'waiting') this.#waiting[sideOf(pending)] -= 1;
    pending.state = state;
    if (state.in === 'wire') this.#onWire.set(state.call, pending);
    if (state.in === 'waiting') this.#waiting[sideOf(pending)] += 1;
    if (state.in === 'repeat' || pending.deadline !== undefined) this.#timed.add(pending);
    else this.#timed.delete(pending);
  }

  #remove(pending: Pending): void {
    if (!this.#pending.delete(pending.ticket)) return;
    this.#bytes -= pending.body.byteLength;
    if (signsIn(pending)) this.#signIns -= 1;
    if (pending.state.in === 'waiting') this.#waiting[sideOf(pending)] -= 1;
    this.#timed.delete(pending);
    if (pending.orderingKey === undefined) return;
    const refused = this.#refusedInOrder.get(pending.orderingKey);
    refused?.delete(pending.ticket);
    if (refused?.size === 0) this.#refusedInOrder.delete(pending.orderingKey);
  }
}

function signsIn({ owner, consequence: { kind } }: Pending): boolean {
  return owner === 'refresh' || owner === 'renew' || kind === 'signs_in' || kind === 'authenticates';
}

/** Whether its answer says what the connection is from then on, which another connection would not know. */
function changesConnection({ owner, consequence }: Pending): boolean {
  return !['app', 'clock'].includes(owner) || consequence.kind !== 'none';
}

/** Whether it is about what one connection is, and means nothing on another. */
function isBound({ owner }: Pending): boolean {
  return owner !== 'app' && owner !== 'refresh';
}

/** Whose turn a waiting call has. A detached call was the application's, and never waits again. */
function sideOf({ owner }: Pending): 'app' | 'own' {
  return owner === 'app' || owner === 'detached' ? 'app' : 'own';
}

function isKey(key: string): boolean {
  const bytes = toUtf8(key).byteLength;
  return bytes > 0 && bytes <= LIMITS.KEY_BYTES_MAX;
}

/** Whether the server refused because it does not know the player. */
export function needsSignIn(fault: Fault): boolean {
  return ['unauthenticated', 'token_expired', 'token_invalid'].includes(codeName(fault.code));
}
