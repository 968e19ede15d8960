import { faultOf, isSuspended, mayRetryLater } from '../errors.js';
import { METHODS } from '../generated/tables.js';
import type {
  Echoed,
  Fault,
  History,
  Identity,
  Resumed,
  RoomView,
  Sent,
  SignedIn,
} from '../generated/types.js';
import { LIMITS } from '../generated/wire.js';
import type { Cursor, Stream } from '../wire/frame.js';
import type { Value } from '../wire/reader.js';
import { checkShape, Misfit } from '../wire/shape.js';
import type { Pending } from './pending.js';
import type { State } from './state.js';
import { followsBoardAgain, forgetBoard } from './boards.js';
import { openFromCursor, reopen, staysOpen } from './entries.js';
import { accessRefused, askForTokens, resumeRooms, signedOut, takeAccess, takeTokens } from './sign-in.js';
import { newestOf } from './streams.js';
import { Broken, Suspended } from './types.js';

type Body = Record<string, Value>;

/** A reply came. */
export function replied(state: State, now: number, call: number, body: Body): void {
  const pending = state.calls.answered(call);
  if (pending === undefined) return;
  try {
    checkShape(METHODS[pending.method].reply, body);
  } catch (error) {
    if (!(error instanceof Misfit)) throw error;
    return withoutReply(state, pending, error.message);
  }
  switch (pending.owner) {
    case 'app':
      toldByReply(state, pending, body);
      // Whoever waits learns of it first: a consequence that breaks the connection does not undo the call.
      state.answer(pending.ticket, { reply: body });
      return consequence(state, now, pending, body);
    case 'detached':
      return consequence(state, now, pending, body);
    case 'resume':
      return resumed(state, now, pending, body as unknown as Resumed);
    case 'reopen':
      for (const room of pending.rooms) reopened(state, room, body as unknown as RoomView);
      return;
    case 'renew':
      return renewed(state, now, body as unknown as Identity);
    case 'refresh':
      return takeTokens(state, now, body as unknown as SignedIn, 'renewal');
    case 'follow':
      return followsBoardAgain(state, pending, body);
    case 'clock':
      return state.clock.answered(now, pending.ticket, (body as unknown as Echoed).now);
    case 'close':
      return;
  }
}

/** A reply came that cannot be read. */
export function repliedUnreadably(state: State, call: number, reason: string): void {
  const pending = state.calls.answered(call);
  if (pending !== undefined) withoutReply(state, pending, reason);
}

/**
 * A call succeeded, and nobody can read how. To repeat it would bring the same reply again, so it ends, and the connection
 * goes on unless its state is not known any more.
 */
function withoutReply(state: State, pending: Pending, reason: string): void {
  const fault = faultOf('internal', `the reply cannot be read: ${reason}`);
  state.out({ kind: 'unreadable', unreadable: { name: pending.method, reason } });
  switch (pending.owner) {
    case 'app':
      state.answer(pending.ticket, { fault });
      return unknownConsequence(state, pending, fault);
    case 'detached':
      return unknownConsequence(state, pending, fault);
    case 'resume':
      // One room may have spoilt the reply for all, so each is asked for by itself.
      if (pending.inbox) streamLost(state, 'inbox', fault);
      for (const room of pending.rooms) reopen(state, room);
      return;
    case 'reopen':
      for (const room of pending.rooms) streamLost(state, room, fault);
      return;
    case 'renew':
      return askForTokens(state);
    case 'refresh':
      return signedOut(state, fault);
    case 'follow':
      return forgetBoard(state, pending, fault);
    case 'clock':
      return state.clock.unanswered(pending.ticket);
    case 'close':
      return;
  }
}

function unknownConsequence(state: State, { consequence: then }: Pending, fault: Fault): void {
  switch (then.kind) {
    case 'closes':
      state.streams.forget(then.room);
      return;
    case 'signs_out':
      return signedOut(state, undefined);
    case 'signs_in':
    case 'authenticates':
      throw new Broken('unusable', fault.message);
    case 'follows':
      state.boards.add(then.board);
      return;
    case 'unfollows':
      state.boards.delete(then.board);
      return;
    case 'none':
    case 'opens':
    case 'sets_presence':
  }
}

function renewed(state: State, now: number, identity: Identity): void {
  const { access } = state.signIn.tokens;
  if (access !== undefined) takeAccess(state, now, access, identity, 'store');
}

function consequence(state: State, now: number, pending: Pending, body: Body): void {
  const then = pending.consequence;
  switch (then.kind) {
    case 'none':
      return;
    case 'opens': {
      const asked: Partial<Cursor> = {};
      if (then.seq !== undefined) asked.seq = then.seq;
      if (then.rev !== undefined) asked.rev = then.rev;
      return opened(state, body as unknown as RoomView, asked, pending.repeated);
    }
    case 'closes':
      state.streams.forget(then.room);
      return;
    case 'signs_in':
      return takeTokens(state, now, body as unknown as SignedIn, 'sign_in');
    case 'authenticates':
      return takeAccess(state, now, then.access, body as unknown as Identity, 'sign_in');
    case 'signs_out':
      return signedOut(state, undefined);
    case 'sets_presence':
      if (pending.ticket < (state.presence?.ticket ?? 0)) return;
      state.presence = { ticket: pending.ticket, request: then.request };
      return;
    case 'follows':
      state.boards.add(then.board);
      return;
    case 'unfollows':
      state.boards.delete(then.board);
  }
}

/** The reply of a call in a room may tell of the room's newest message. The reply's shape has been checked. */
function toldByReply(state: State, { method, room }: Pending, body: Body): void {
  if (room === undefined) return;
  if (method === 'SendMessage') state.streams.told(room, (body as unknown as Sent).seq);
  if (method === 'ReadHistory') state.streams.told(room, (body as unknown as History).head);
}

/**
 * The reply to a repeated call may be the stored one of an earlier connection, which opens nothing on this one, and a room may
 * have been lost before the reply of its opening came. So the room is opened anew from where that reply stands; after a reply that
 * begins elsewhere than the room's own cursor, from there.
 */
function opened(state: State, view: RoomView, asked: Partial<Cursor>, repeated: boolean): void {
  const stream = view.info.room;
  if (!state.streams.follows(stream) && state.streams.size > LIMITS.ROOMS_OPEN_MAX) {
    throw new Broken('protocol', 'more rooms are open than may be');
  }
  const goesOn = state.streams.opened(view, asked);
  if (goesOn && !repeated) return;
  state.streams.shut(stream);
  reopen(state, stream);
}

/** A fault came. */
export function faulted(state: State, now: number, call: number, fault: Fault): void {
  const waitMs = (refusals: number): number => {
    const asked = fault.retry_after_ms;
    if (asked !== undefined) return asked + state.upTo(Math.floor(asked / 4) + 1);
    return Math.max(1, state.wait(refusals + 1));
  };
  const after = state.calls.refused(call, fault, now, waitMs);
  if (after.is === 'needs_sign_in' && after.signIn === state.signInNumber) accessRefused(state, fault);
  if (after.is !== 'ended') return;
  const renews = after.pending.owner === 'refresh' || after.pending.owner === 'renew';
  if (renews && isSuspended(fault)) throw new Suspended(fault);
  ended(state, after.pending, fault);
}

function ended(state: State, pending: Pending, fault: Fault): void {
  switch (pending.owner) {
    case 'app':
      state.answer(pending.ticket, { fault });
      return staysOpen(state, pending.consequence);
    case 'detached':
      return staysOpen(state, pending.consequence);
    case 'close':
      return;
    case 'renew':
      // The access token that another client left has run out; its refresh token need not have.
      delete state.signIn.tokens.access;
      return askForTokens(state);
    case 'resume':
      return resumeRefused(state, pending, fault);
    case 'reopen':
      for (const room of pending.rooms) streamLost(state, room, fault);
      return;
    case 'refresh':
      return signedOut(state, fault);
    case 'follow':
      return forgetBoard(state, pending, fault);
    case 'clock':
      return state.clock.unanswered(pending.ticket);
  }
}

function resumed(state: State, now: number, pending: Pending, reply: Resumed): void {
  const outcomes = new Map(reply.rooms.map((outcome) => [outcome.room, outcome]));
  const missing: string[] = [];
  const anew = state.streams.isOutlived(pending.epoch);
  if (pending.inbox) followsAgain(state, 'inbox', { seq: reply.inbox, rev: 0 }, anew);
  for (const room of pending.rooms) {
    const outcome = outcomes.get(room);
    if (outcome === undefined) missing.push(room);
    else roomResumed(state, now, outcome, anew);
    outcomes.delete(room);
  }
  if (outcomes.size > 0) state.mismatch('a resume answered for rooms that were not asked for');
  // What did not fit into one reply is asked for again, as long as each answers for some.
  if (missing.length < pending.rooms.length) return resumeRooms(state, missing);
  for (const room of missing) streamLost(state, room, strange('the reply to a resume does not have it'));
}

function roomResumed(
  state: State,
  now: number,
  { room, view, fault }: Resumed['rooms'][number],
  anew: boolean,
): void {
  if (view !== undefined) {
    reopened(state, room, view, anew);
  } else if (fault === undefined) {
    streamLost(state, room, strange('the reply to a resume does not say what became of it'));
  } else if (mayRetryLater(fault)) {
    const open = openFromCursor(state, room);
    const at = now + (fault.retry_after_ms ?? state.wait(1));
    if (open === undefined) return;
    state.calls.add({ owner: 'reopen', method: 'OpenRoom', request: { ...open }, rooms: [room] }, at);
  } else {
    streamLost(state, room, fault);
  }
}

/**
 * A resume was refused for good, which the next connection would not change. What it asked for is asked for piece by piece: each
 * room that is refused again is lost for itself.
 */
function resumeRefused(state: State, pending: Pending, fault: Fault): void {
  state.mismatch(`the server refused to resume: ${fault.message}`);
  if (pending.inbox && pending.rooms.length === 0) return streamLost(state, 'inbox', fault);
  if (pending.inbox) reopen(state, 'inbox');
  for (const room of pending.rooms) reopen(state, room);
}

/** What is told of a stream when the server's reply does not say what it has to. */
function strange(what: string): Fault {
  return faultOf('internal', what);
}

/**
 * The server follows the room from our cursor again, or anew, from its newest. A room that was closed meanwhile is closed there too.
 */
function reopened(state: State, room: string, view: RoomView, anew = false): void {
  if (view.info.room !== room) streamLost(state, room, strange('the reply is about another room'));
  else if (state.streams.follows(room)) followsAgain(state, room, newestOf(view), anew);
  else state.calls.add({ owner: 'close', method: 'CloseRoom', request: { room } });
}

function followsAgain(state: State, stream: Stream, newest: Cursor, anew: boolean): void {
  const { streams } = state;
  const missing = anew ? streams.begunAnew(stream, newest) : streams.reopened(stream, newest);
  for (const rewound of missing) {
    state.out({ kind: 'gap', stream, ...rewound });
  }
}

function streamLost(state: State, stream: Stream, fault: Fault): void {
  if (state.streams.forget(stream)) state.out({ kind: 'stream_lost', stream, fault });
}
