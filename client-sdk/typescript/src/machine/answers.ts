import { faultOf, mayRetryLater } from '../errors.js';
import { METHODS } from '../generated/tables.js';
import type { Fault, Identity, Resumed, RoomView, SignedIn } from '../generated/types.js';
import { LIMITS } from '../generated/wire.js';
import type { Cursor, Stream } from '../wire/frame.js';
import type { Value } from '../wire/reader.js';
import { checkShape, Misfit } from '../wire/shape.js';
import type { Pending } from './calls.js';
import type { Core } from './core.js';
import { openFromCursor, reopen } from './entries.js';
import { accessRefused, signedOut, takeAccess, takeTokens } from './sign-in.js';
import { newestOf } from './streams.js';
import { Broken } from './types.js';

type Body = Record<string, Value>;

/** A reply came. */
export function replied(core: Core, now: number, call: number, body: Body): void {
  const pending = core.calls.answered(call);
  if (pending === undefined) return;
  try {
    checkShape(METHODS[pending.method].reply, body);
  } catch (error) {
    if (!(error instanceof Misfit)) throw error;
    const fault = faultOf('internal', `the reply does not fit its type: ${error.message}`);
    if (pending.owner === 'app') core.answer(pending.ticket, { fault });
    throw new Broken('protocol', fault.message);
  }
  switch (pending.owner) {
    case 'app':
      // Whoever waits learns of it first: a consequence that breaks the connection does not undo the call.
      core.answer(pending.ticket, { reply: body });
      return consequence(core, now, pending, body);
    case 'detached':
      return consequence(core, now, pending, body);
    case 'resume':
      return resumed(core, now, pending, body as unknown as Resumed);
    case 'reopen':
      return reopened(core, body as unknown as RoomView);
    case 'refresh':
      return takeTokens(core, now, body as unknown as SignedIn);
    case 'close':
      return;
  }
}

function consequence(core: Core, now: number, pending: Pending, body: Body): void {
  const then = pending.consequence;
  switch (then.kind) {
    case 'none':
      return;
    case 'opens': {
      const asked: Partial<Cursor> = {};
      if (then.seq !== undefined) asked.seq = then.seq;
      if (then.rev !== undefined) asked.rev = then.rev;
      return opened(core, body as unknown as RoomView, asked, pending.repeated);
    }
    case 'closes':
      core.streams.forget(then.room);
      return;
    case 'signs_in':
      return takeTokens(core, now, body as unknown as SignedIn);
    case 'authenticates':
      return takeAccess(core, now, then.access, body as unknown as Identity);
    case 'signs_out':
      return signedOut(core, undefined);
  }
}

/**
 * The reply to a repeated call may be the stored one of an earlier connection, which opens nothing on this one. So the room
 * is opened anew from where that reply stands.
 */
function opened(core: Core, view: RoomView, asked: Partial<Cursor>, repeated: boolean): void {
  const stream = view.info.room;
  if (!core.streams.follows(stream) && core.streams.size > LIMITS.ROOMS_OPEN_MAX) {
    throw new Broken('protocol', 'more rooms are open than may be');
  }
  if (!repeated) {
    core.streams.opened(view, asked);
  } else if (!core.streams.follows(stream)) {
    core.streams.follow(stream, newestOf(view));
    reopen(core, stream);
  }
}

/** A fault came. */
export function faulted(core: Core, now: number, call: number, fault: Fault): void {
  const waitMs = (refusals: number): number => {
    const asked = fault.retry_after_ms;
    if (asked !== undefined) return asked + core.upTo(Math.floor(asked / 4) + 1);
    return Math.max(1, core.wait(refusals + 1));
  };
  const after = core.calls.refused(call, fault, now, waitMs);
  if (after.is === 'needs_sign_in' && after.signIn === core.signInNumber) accessRefused(core, fault);
  if (after.is === 'ended') ended(core, after.pending, fault);
}

function ended(core: Core, pending: Pending, fault: Fault): void {
  switch (pending.owner) {
    case 'app':
      core.answer(pending.ticket, { fault });
      return;
    case 'detached':
    case 'close':
      return;
    case 'resume':
      throw new Broken('unusable', fault.message);
    case 'reopen':
      for (const room of pending.rooms) streamLost(core, room, fault);
      return;
    case 'refresh':
      return signedOut(core, fault);
  }
}

function resumed(core: Core, now: number, pending: Pending, reply: Resumed): void {
  if (pending.rooms.length !== reply.rooms.length) {
    throw new Broken('protocol', 'a resume answers for other rooms than asked');
  }
  if (pending.inbox) followsAgain(core, 'inbox', { seq: reply.inbox, rev: 0 });
  for (const { room, view, fault } of reply.rooms) {
    if (view !== undefined) {
      reopened(core, view);
    } else if (fault === undefined) {
      throw new Broken('protocol', 'a resume says nothing about a room');
    } else if (mayRetryLater(fault)) {
      const open = openFromCursor(core, room);
      const at = now + (fault.retry_after_ms ?? core.wait(1));
      if (open === undefined) continue;
      core.calls.add({ owner: 'reopen', method: 'OpenRoom', request: { ...open }, rooms: [room] }, at);
    } else {
      streamLost(core, room, fault);
    }
  }
}

/** The server follows the room from our cursor again. A room that was closed meanwhile is closed there too. */
function reopened(core: Core, view: RoomView): void {
  const { room } = view.info;
  if (core.streams.follows(room)) followsAgain(core, room, newestOf(view));
  else core.calls.add({ owner: 'close', method: 'CloseRoom', request: { room } });
}

function followsAgain(core: Core, stream: Stream, newest: Cursor): void {
  for (const rewound of core.streams.reopened(stream, newest)) {
    core.out({ kind: 'gap', stream, ...rewound });
  }
}

function streamLost(core: Core, stream: Stream, fault: Fault): void {
  if (core.streams.forget(stream)) core.out({ kind: 'stream_lost', stream, fault });
}
