// What follows from a call's method and request.

import { codeName, mayRetryLater } from '../errors.js';
import { METHODS } from '../generated/tables.js';
import type { Fault, SetPresence } from '../generated/types.js';
import type { Consequence, Pending, Request } from './pending.js';

/** Whether a refused call is made again by itself. */
export function repeats(pending: Pending, fault: Fault): boolean {
  switch (pending.owner) {
    case 'app':
      return isSafeToRepeat(pending) && ['rate_limited', 'overloaded'].includes(codeName(fault.code));
    case 'detached':
    case 'close':
    case 'clock':
      return false;
    case 'resume':
    case 'reopen':
    case 'renew':
    case 'refresh':
    case 'follow':
      return mayRetryLater(fault);
  }
}

/** A write only under its key; what is for the moment would come too late. */
function isSafeToRepeat({ method, key }: Pending): boolean {
  const { effect, momentary } = METHODS[method];
  return momentary !== true && (effect === 'reads' || key !== undefined);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

/** The room that it is about, if its method runs there. */
export function roomOf({ method, request }: Request): string | undefined {
  return METHODS[method].place === 'room' ? textOf(request['room']) : undefined;
}

/** Whether the room's owner would look its key up, and would find nothing. */
export function isFirstWrite({ method, key, keyIsNew }: Request): boolean {
  return key !== undefined && keyIsNew === true && METHODS[method].effect === 'writes';
}

/**
 * What it shares with the calls that it must not overtake when those are repeated: the room whose order it keeps, the room
 * that it opens or closes, or the player's presence. What was asked last is what holds.
 */
export function orderingKeyOf({ method, request }: Request): string | undefined {
  const { order, changes, place } = METHODS[method];
  if (order === 'room') return textOf(request['room']);
  if (place === 'room' && (changes === 'opens' || changes === 'closes'))
    return `open ${textOf(request['room'])}`;
  return changes === 'sets_presence' ? 'presence' : undefined;
}

/** What the machine does when the call succeeds. */
export function consequenceOf({ method, request }: Request): Consequence {
  if (method === 'FollowBoard') return { kind: 'follows', board: textOf(request['board']) };
  if (method === 'UnfollowBoard') return { kind: 'unfollows', board: textOf(request['board']) };
  switch (METHODS[method].changes ?? 'nothing') {
    case 'opens':
      return { kind: 'opens', seq: numberOf(request['seq']), rev: numberOf(request['rev']) };
    case 'closes':
      return { kind: 'closes', room: textOf(request['room']) };
    case 'signs_in':
      return { kind: 'signs_in' };
    case 'authenticates':
      return { kind: 'authenticates', access: textOf(request['access']) };
    case 'signs_out':
      return { kind: 'signs_out' };
    case 'sets_presence':
      return { kind: 'sets_presence', request: { ...(request as unknown as SetPresence) } };
    case 'nothing':
    case 'ends_session':
    case 'resumes':
      return { kind: 'none' };
  }
}
