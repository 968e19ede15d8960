// How a connection ends, and what becomes of the client then.

import { faultOf } from '../errors.js';
import type { Reconnect } from '../generated/codes.js';
import { CLOSE_CODES, RECONNECT_RANGES } from '../generated/codes.js';
import type { Fault } from '../generated/types.js';
import { rescued } from './handover.js';
import { accessRefused } from './sign-in.js';
import type { State } from './state.js';

/** Longest time over which a server can spread the return of its clients. */
const GOAWAY_MS_MAX = 600_000;

/** What a close code asks of the client. */
export function reconnectAfter(code: number | undefined): Reconnect {
  if (code === undefined) return 'back_off';
  const range = RECONNECT_RANGES.find(([first, last]) => first <= code && code <= last);
  return range === undefined ? 'back_off' : range[2];
}

/** Gives the connection up though the socket stands. */
export function giveUp(state: State, now: number, code: number, why: string): void {
  state.out({ kind: 'close', code });
  lost(state, now, 'back_off', undefined, why);
}

/** The player is suspended. The tokens are kept: they are good again when the suspension ends. */
export function suspended(state: State, now: number, fault: Fault): void {
  state.out({ kind: 'fault', fault });
  state.out({ kind: 'close', code: 1000 });
  lost(state, now, 'never', CLOSE_CODES.suspended, fault.message);
}

/** The connection is gone: decides when to come back, and makes what was on the wire wait for it. */
export function lost(
  state: State,
  now: number,
  after: Reconnect,
  code: number | undefined,
  why: string,
): void {
  if (state.phase.is !== 'connecting' && !state.isConnected()) return;
  if (rescued(state, now, after)) {
    state.blame = undefined;
    return;
  }
  state.why = state.blame ?? why;
  state.blame = undefined;
  const lasted = state.phase.is === 'open' && now - state.phase.since >= state.config.stableMs;
  const { goaway } = state;
  state.goaway = undefined;
  if (after === 'never' || goaway?.reconnect === false) return halt(state, code);
  noteFailure(state);
  if (lasted) state.attempts = 0;
  let wait: number;
  if (goaway !== undefined) wait = state.upTo(Math.min(goaway.within_ms, GOAWAY_MS_MAX));
  else if (after === 'now' && lasted) wait = 0;
  else wait = state.wait(state.attempts);
  state.attempts += 1;
  state.phase = { is: 'waiting', at: now + wait };
  state.detach();
  if (after === 'after_sign_in') accessRefused(state, faultOf('unauthenticated'));
}

/** Whoever waits for a first connection should hear why there is none: once, and not of each attempt. */
function noteFailure(state: State): void {
  if (state.phase.is === 'open' || state.failing) return;
  state.failing = true;
  state.out({ kind: 'unreachable', why: state.why ?? '' });
}

/** There is no connection any more, and none is to come. */
export function halt(state: State, code: number | undefined): void {
  state.dropOther();
  state.phase = { is: 'stopped', code };
  state.detach();
  state.calls.endOwned((owner) => owner !== 'app');
  state.endAnswered(
    state.calls.end(() => true),
    faultOf('disconnected'),
  );
}
