import { faultOf, mayRetryLater } from '../errors.js';
import { METHODS } from '../generated/tables.js';
import type { Fault, Identity, SignedIn, Welcome } from '../generated/types.js';
import { LIMITS } from '../generated/wire.js';
import type { State } from './state.js';
import { Broken } from './types.js';

/** Shortest time until tokens are renewed, so that a server with a wrong clock is not asked without pause. */
const REFRESH_MS_MIN = 1_000;

/** Longest wait that a timer takes. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** The server's answer to hello. */
export function welcomed(state: State, now: number, welcome: Welcome): void {
  state.signIn.clockOffset = welcome.now - now;
  if (welcome.identity !== undefined) {
    signedIn(state, now, welcome.identity);
  } else if (welcome.refused !== undefined) {
    if (mayRetryLater(welcome.refused)) throw new Broken('unusable', welcome.refused.message);
    accessRefused(state, welcome.refused);
  } else if (state.signIn.standing === 'assumed') {
    throw new Broken('protocol', 'the welcome says nothing about the token');
  }
}

/** The server knows the player now. */
export function signedIn(state: State, now: number, identity: Identity): void {
  const before = state.signIn.identity;
  const otherPlayer = before !== undefined && before.user !== identity.user;
  if (otherPlayer) state.streams.forgetAll();
  if (state.config.resume.inbox !== undefined) state.streams.follow('inbox', { seq: 0, rev: 0 });
  const wasOut = state.signIn.standing === 'out';
  begin(state, 'in');
  state.signIn.identity = identity;
  planRefresh(state, now, identity.expires_at);
  state.out({ kind: 'signed_in', identity });
  if (wasOut || otherPlayer) sendResume(state);
}

/** The connection is signed in, or will be by the token in the hello. */
export function begin(state: State, standing: 'assumed' | 'in'): void {
  if (state.signIn.standing === 'out') state.signIn.begun += 1;
  state.signIn.standing = standing;
}

/** Tokens are renewed when four fifths of their time are over. */
function planRefresh(state: State, now: number, expiresAt: number): void {
  const left = Math.max(0, expiresAt - (now + state.signIn.clockOffset));
  const wait = Math.min(Math.max(Math.floor((left / 5) * 4), REFRESH_MS_MIN), TIMER_MS_MAX);
  state.signIn.refreshAt = now + wait;
}

/** New tokens came. */
export function takeTokens(state: State, now: number, reply: SignedIn): void {
  state.calls.endOwned((owner) => owner === 'refresh');
  state.signIn.tokens = { access: reply.access, refresh: reply.refresh };
  state.out({ kind: 'tokens', tokens: { ...state.signIn.tokens } });
  signedIn(state, now, reply.identity);
}

/** The application's own access token was taken. */
export function takeAccess(state: State, now: number, access: string, identity: Identity): void {
  state.signIn.tokens.access = access;
  state.out({ kind: 'tokens', tokens: { ...state.signIn.tokens } });
  signedIn(state, now, identity);
}

/** The server does not take the access token any more. */
export function accessRefused(state: State, fault: Fault): void {
  state.signIn.standing = 'out';
  delete state.signIn.tokens.access;
  if (state.signIn.tokens.refresh === undefined) signedOut(state, fault);
  else refresh(state);
}

/** Asks for new tokens, unless that has been done. */
export function refresh(state: State): void {
  state.signIn.refreshAt = undefined;
  const token = state.signIn.tokens.refresh;
  if (token === undefined || state.calls.has('refresh')) return;
  state.calls.add({
    owner: 'refresh',
    method: 'RefreshTokens',
    request: { refresh: token },
    key: refreshKey(token),
  });
}

/** Nobody is signed in any more. Calls that need a player end. */
export function signedOut(state: State, fault: Fault | undefined): void {
  const wasOut = !state.hasTokens && state.signIn.identity === undefined;
  state.calls.endOwned((owner) => owner !== 'app' && owner !== 'detached');
  state.streams.forgetAll();
  state.signIn = {
    tokens: {},
    refreshAt: undefined,
    identity: undefined,
    standing: 'out',
    begun: state.signIn.begun,
    clockOffset: state.signIn.clockOffset,
  };
  const ended = state.calls.end((method) => METHODS[method].access !== 'anyone');
  state.endAnswered(ended, fault ?? faultOf('unauthenticated'));
  if (wasOut && fault === undefined) return;
  state.out({ kind: 'tokens', tokens: {} });
  state.out({ kind: 'signed_out', fault });
}

/** Asks for all followed streams from their cursors, in as many calls as that takes. */
export function sendResume(state: State): void {
  state.calls.endOwned((owner) => owner === 'resume');
  const resume = state.streams.resume();
  if (resume === undefined) return;
  const rooms = resume.rooms ?? [];
  let at = 0;
  do {
    const part = rooms.slice(at, at + LIMITS.RESUME_ROOMS_MAX);
    const inbox = at === 0 ? resume.inbox : undefined;
    state.calls.add({
      owner: 'resume',
      method: 'Resume',
      request: inbox === undefined ? { rooms: part } : { inbox, rooms: part },
      rooms: part.map(({ room }) => room),
      inbox: inbox !== undefined,
    });
    at += LIMITS.RESUME_ROOMS_MAX;
  } while (at < rooms.length);
}

/**
 * The idempotency key of the one use of a refresh token, so that a repetition after a lost reply, also by a later run of the
 * program, gets the first result. It tells tokens apart (FNV-1a of 128 bits) and hides nothing.
 */
export function refreshKey(token: string): string {
  const prime = 0x0000000001000000000000000000013bn;
  let hash = 0x6c62272e07bb014262b821756295c58dn;
  for (const byte of new TextEncoder().encode(token)) {
    hash = BigInt.asUintN(128, (hash ^ BigInt(byte)) * prime);
  }
  return `refresh-${hash.toString(16).padStart(32, '0')}`;
}
