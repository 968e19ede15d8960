import { faultOf, mayRetryLater } from '../errors.js';
import { METHODS } from '../generated/tables.js';
import type { Fault, Identity, SignedIn, Welcome } from '../generated/types.js';
import type { Core } from './core.js';
import { Broken } from './types.js';

/** Shortest time until tokens are renewed, so that a server with a wrong clock is not asked without pause. */
const REFRESH_MS_MIN = 1_000;

/** Longest wait that a timer takes. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** The server's answer to hello. */
export function welcomed(core: Core, now: number, welcome: Welcome): void {
  core.signIn.clockOffset = welcome.now - now;
  if (welcome.identity !== undefined) {
    signedIn(core, now, welcome.identity);
  } else if (welcome.refused !== undefined) {
    if (mayRetryLater(welcome.refused)) throw new Broken('unusable', welcome.refused.message);
    accessRefused(core, welcome.refused);
  } else if (core.signIn.standing === 'assumed') {
    throw new Broken('protocol', 'the welcome says nothing about the token');
  }
}

/** The server knows the player now. */
export function signedIn(core: Core, now: number, identity: Identity): void {
  const before = core.signIn.identity;
  const otherPlayer = before !== undefined && before.user !== identity.user;
  if (otherPlayer) core.streams.forgetAll();
  if (core.config.resume.inbox !== undefined) core.streams.follow('inbox', { seq: 0, rev: 0 });
  const wasOut = core.signIn.standing === 'out';
  begin(core, 'in');
  core.signIn.identity = identity;
  planRefresh(core, now, identity.expires_at);
  core.out({ kind: 'signed_in', identity });
  if (wasOut || otherPlayer) sendResume(core);
}

/** The connection is signed in, or will be by the token in the hello. */
export function begin(core: Core, standing: 'assumed' | 'in'): void {
  if (core.signIn.standing === 'out') core.signIn.begun += 1;
  core.signIn.standing = standing;
}

/** Tokens are renewed when four fifths of their time are over. */
function planRefresh(core: Core, now: number, expiresAt: number): void {
  const left = Math.max(0, expiresAt - (now + core.signIn.clockOffset));
  const wait = Math.min(Math.max(Math.floor((left / 5) * 4), REFRESH_MS_MIN), TIMER_MS_MAX);
  core.signIn.refreshAt = now + wait;
}

/** New tokens came. */
export function takeTokens(core: Core, now: number, reply: SignedIn): void {
  core.calls.endOwned((owner) => owner === 'refresh');
  core.signIn.tokens = { access: reply.access, refresh: reply.refresh };
  core.out({ kind: 'tokens', tokens: { ...core.signIn.tokens } });
  signedIn(core, now, reply.identity);
}

/** The application's own access token was taken. */
export function takeAccess(core: Core, now: number, access: string, identity: Identity): void {
  core.signIn.tokens.access = access;
  core.out({ kind: 'tokens', tokens: { ...core.signIn.tokens } });
  signedIn(core, now, identity);
}

/** The server does not take the access token any more. */
export function accessRefused(core: Core, fault: Fault): void {
  core.signIn.standing = 'out';
  delete core.signIn.tokens.access;
  if (core.signIn.tokens.refresh === undefined) signedOut(core, fault);
  else refresh(core);
}

/** Asks for new tokens, unless that has been done. */
export function refresh(core: Core): void {
  core.signIn.refreshAt = undefined;
  const token = core.signIn.tokens.refresh;
  if (token === undefined || core.calls.has('refresh')) return;
  core.calls.add({
    owner: 'refresh',
    method: 'RefreshTokens',
    request: { refresh: token },
    key: refreshKey(token),
  });
}

/** Nobody is signed in any more. Calls that need a player end. */
export function signedOut(core: Core, fault: Fault | undefined): void {
  const wasOut = !core.hasTokens && core.signIn.identity === undefined;
  core.calls.endOwned((owner) => owner !== 'app' && owner !== 'detached');
  core.streams.forgetAll();
  core.signIn = {
    tokens: {},
    refreshAt: undefined,
    identity: undefined,
    standing: 'out',
    begun: core.signIn.begun,
    clockOffset: core.signIn.clockOffset,
  };
  const ended = core.calls.end((method) => METHODS[method].access !== 'anyone');
  core.endAnswered(ended, fault ?? faultOf('unauthenticated'));
  if (wasOut && fault === undefined) return;
  core.out({ kind: 'tokens', tokens: {} });
  core.out({ kind: 'signed_out', fault });
}

/** Asks for all followed streams from their cursors. */
export function sendResume(core: Core): void {
  core.calls.endOwned((owner) => owner === 'resume');
  const resume = core.streams.resume();
  if (resume === undefined) return;
  core.calls.add({
    owner: 'resume',
    method: 'Resume',
    request: { ...resume },
    rooms: (resume.rooms ?? []).map(({ room }) => room),
    inbox: resume.inbox !== undefined,
  });
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
