import { faultOf, isSuspended, mayRetryLater } from '../errors.js';
import { METHODS } from '../generated/tables.js';
import type { Fault, Identity, SetPresence, SignedIn, Status, Welcome } from '../generated/types.js';
import { LIMITS, VERSION } from '../generated/wire.js';
import { encodeClientFrame } from '../wire/frame.js';
import { toUtf8 } from '../wire/utf8.js';
import { followBoards } from './boards.js';
import type { State } from './state.js';
import type { Found, TokensFrom } from './types.js';
import { named } from './streams.js';
import { Broken, Suspended } from './types.js';

/** Shortest time between two renewals of tokens, so that a server with a wrong clock is not asked without pause. */
const REFRESH_MS_MIN = 1_000;

/** Longest wait that a timer takes. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** The first frame on each connection. */
export function helloFrame(state: State): Uint8Array {
  const { access } = state.signIn.tokens;
  const presence = presenceToRestore(state);
  const body = { v: VERSION, sdk: state.config.sdk, token: access, presence };
  return encodeClientFrame({ kind: 'hello', body });
}

/** The hello is on its way: what rests on it may follow. */
export function greeted(state: State): void {
  if (state.signIn.tokens.access === undefined) return refresh(state);
  begin(state, 'assumed');
  sendResume(state);
  followBoards(state);
}

/** The server's answer to hello. */
export function welcomed(state: State, now: number, welcome: Welcome): void {
  state.signIn.clockOffset = welcome.now - now;
  if (welcome.identity !== undefined) {
    signedIn(state, now, welcome.identity);
  } else if (welcome.refused !== undefined) {
    if (mayRetryLater(welcome.refused)) throw new Broken('unusable', welcome.refused.message);
    if (isSuspended(welcome.refused)) throw new Suspended(welcome.refused);
    accessRefused(state, welcome.refused);
  } else if (state.signIn.standing === 'assumed') {
    throw new Broken('protocol', 'the welcome says nothing about the token');
  }
}

/** The server knows the player now. */
export function signedIn(state: State, now: number, identity: Identity): void {
  const before = state.signIn.identity;
  const isNew = before?.user !== identity.user;
  const otherPlayer = before !== undefined && isNew;
  if (otherPlayer) {
    state.dropOtherPlayer();
    state.streams.forgetAll();
    state.boards.clear();
    state.presence = undefined;
  }
  // Of the same player, an inbox that is not followed was lost.
  if (isNew && state.config.resume.inbox !== undefined) state.streams.follow('inbox', { seq: 0, rev: 0 });
  const wasOut = state.signIn.standing === 'out';
  begin(state, 'in');
  state.signIn.identity = identity;
  planRefresh(state, now, identity.expires_at);
  state.out({ kind: 'signed_in', identity });
  if (!wasOut && !otherPlayer) return;
  sendResume(state);
  followBoards(state);
}

/** The next connection of a handover knows the player. The application hears of it where it is news. */
export function goesOnSignedIn(state: State, now: number, identity: Identity): void {
  const before = state.signIn.identity;
  begin(state, 'in');
  planRefresh(state, now, identity.expires_at);
  state.signIn.identity = identity;
  const isNews =
    before?.user !== identity.user ||
    before.session !== identity.session ||
    before.role !== identity.role ||
    before.guest !== identity.guest;
  if (isNews) state.out({ kind: 'signed_in', identity });
}

/** The token in the hello has signed in the next connection of a handover: refusals on the one before say nothing of it. */
export function beginAnew(state: State): void {
  const { standing } = state.signIn;
  if (standing === 'out') return begin(state, 'in');
  state.signIn.standing = 'out';
  begin(state, standing);
}

/** The connection is signed in, or will be by the token in the hello. */
export function begin(state: State, standing: 'assumed' | 'in'): void {
  if (state.signIn.standing === 'out') state.signIn.begun += 1;
  state.signIn.standing = standing;
}

/**
 * Tokens are renewed when four fifths of the time are over that they had when they were first used. No later connection puts that
 * off; one that finds less left, because this clock stood still meanwhile, brings it forward.
 */
function planRefresh(state: State, now: number, expiresAt: number): void {
  const { signIn } = state;
  const left = Math.max(0, expiresAt - (now + signIn.clockOffset));
  const before = signIn.planned?.expiresAt === expiresAt ? signIn.planned.at : Infinity;
  const at = Math.min(before, now + Math.floor((left / 5) * 4));
  signIn.planned = { expiresAt, at };
  const earliest = (signIn.refreshedAt ?? -Infinity) + REFRESH_MS_MIN;
  signIn.refreshAt = Math.min(Math.max(at, earliest), now + TIMER_MS_MAX);
}

/** Renews the tokens, if it is time. */
export function refreshDue(state: State, now: number): void {
  if ((state.signIn.refreshAt ?? Infinity) > now) return;
  state.signIn.refreshedAt = now;
  refresh(state);
}

/** New tokens came. */
export function takeTokens(state: State, now: number, reply: SignedIn, from: TokensFrom): void {
  state.calls.endOwned((owner) => owner === 'refresh' || owner === 'renew');
  state.signIn.reading = false;
  state.signIn.tokens = { access: reply.access, refresh: reply.refresh, user: reply.identity.user };
  state.out({ kind: 'tokens', tokens: { ...state.signIn.tokens }, from });
  signedIn(state, now, reply.identity);
}

/** An access token that did not come with the reply was taken. */
export function takeAccess(
  state: State,
  now: number,
  access: string,
  identity: Identity,
  from: TokensFrom,
): void {
  const { refresh, user } = state.signIn.tokens;
  // The refresh token of another player, or of one who is not known, does not belong to this access token.
  const kept = user === identity.user ? refresh : undefined;
  state.signIn.tokens = { access, user: identity.user };
  if (kept !== undefined) state.signIn.tokens.refresh = kept;
  state.out({ kind: 'tokens', tokens: { ...state.signIn.tokens }, from });
  signedIn(state, now, identity);
}

/** The server does not take the access token any more. */
export function accessRefused(state: State, fault: Fault): void {
  state.signIn.standing = 'out';
  delete state.signIn.tokens.access;
  if (state.signIn.tokens.refresh === undefined) signedOut(state, fault);
  else refresh(state);
}

/** Gets new tokens, unless that is being done. First it is looked whether another client of the player has got some. */
export function refresh(state: State): void {
  const { signIn, calls } = state;
  signIn.refreshAt = undefined;
  // Without a connection it is looked before the next one is opened.
  if (signIn.tokens.refresh === undefined || !state.isConnected()) return;
  if (signIn.reading || calls.has('refresh') || calls.has('renew')) return;
  signIn.reading = true;
  state.out({ kind: 'read_tokens' });
}

/** The place where tokens are kept has been looked at. */
export function tokensFound(state: State, found: Found): void {
  const { signIn } = state;
  if (!signIn.reading) return;
  signIn.reading = false;
  if (found.is === 'other_player') return signedOut(state, otherPlayerFault());
  if (found.is === 'newer') signIn.tokens = { ...found.tokens };
  const access = found.is === 'newer' ? signIn.tokens.access : undefined;
  // Where nobody is signed in yet, `Authenticate` would make the player seen as online, whatever the hello said.
  const shows = signIn.standing === 'out' && presenceToRestore(state) !== undefined;
  if (access === undefined || (shows && signIn.tokens.refresh !== undefined)) return askForTokens(state);
  state.calls.add({ owner: 'renew', method: 'Authenticate', request: { access } });
}

/** Why a client is signed out that shares its tokens with one where another player has signed in. */
export function otherPlayerFault(): Fault {
  return faultOf('unauthenticated', 'another player has signed in where the tokens are kept');
}

/** Exchanges the refresh token for new tokens. */
export function askForTokens(state: State): void {
  const token = state.signIn.tokens.refresh;
  if (token === undefined) return signedOut(state, faultOf('token_expired'));
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
  // The server's clock is nobody's.
  state.calls.endOwned((owner) => !['app', 'detached', 'clock'].includes(owner));
  state.dropOtherPlayer();
  state.streams.forgetAll();
  state.boards.clear();
  state.presence = undefined;
  state.signIn = {
    tokens: {},
    refreshAt: undefined,
    planned: undefined,
    refreshedAt: undefined,
    identity: undefined,
    standing: 'out',
    begun: state.signIn.begun,
    clockOffset: state.signIn.clockOffset,
    reading: false,
  };
  const ended = state.calls.end((method) => METHODS[method].access !== 'anyone');
  state.endAnswered(ended, fault ?? faultOf('unauthenticated'));
  if (wasOut && fault === undefined) return;
  state.out({ kind: 'tokens', tokens: {}, from: 'sign_out' });
  state.out({ kind: 'signed_out', fault });
}

/** What a player may make of the presence. */
const STATUSES: Readonly<Record<Exclude<Status, 'in_game'>, true>> = {
  offline: true,
  online: true,
  away: true,
  busy: true,
};

/**
 * What the hello tells others to see of the player whom the tokens sign in: what a call asks for that has no answer yet, or what
 * was set last.
 */
export function presenceToRestore(state: State): SetPresence | undefined {
  if (!state.hasTokens) return undefined;
  return state.calls.presencesAskedFor().find(canBeRestored) ?? state.presence?.request;
}

/** What a call asks for may be what the server refuses: in the hello it would end the connection, or show a player who hides. */
function canBeRestored({ status, note }: SetPresence): boolean {
  return Object.hasOwn(STATUSES, status) && toUtf8(note ?? '').byteLength <= LIMITS.NOTE_BYTES_MAX;
}

/** Asks for all followed streams from their cursors, in as many calls as that takes. */
export function sendResume(state: State): void {
  state.calls.endOwned((owner) => owner === 'resume');
  const resume = state.streams.resume();
  if (resume === undefined) return;
  const { epoch, rooms = [] } = resume;
  let at = 0;
  do {
    const part = rooms.slice(at, at + LIMITS.RESUME_ROOMS_MAX);
    const inbox = at === 0 ? resume.inbox : undefined;
    const cursors = inbox === undefined ? { rooms: part } : { inbox, rooms: part };
    state.calls.add({
      owner: 'resume',
      method: 'Resume',
      request: named(epoch, cursors),
      epoch,
      rooms: part.map(({ room }) => room),
      inbox: inbox !== undefined,
    });
    at += LIMITS.RESUME_ROOMS_MAX;
  } while (at < rooms.length);
}

/** Asks for these rooms from their cursors. */
export function resumeRooms(state: State, asked: readonly string[]): void {
  const { epoch, rooms: all = [] } = state.streams.resume() ?? {};
  const rooms = all.filter(({ room }) => asked.includes(room));
  if (rooms.length === 0) return;
  const names = rooms.map(({ room }) => room);
  state.calls.add({
    owner: 'resume',
    method: 'Resume',
    request: named(epoch, { rooms }),
    epoch,
    rooms: names,
  });
}

/**
 * The idempotency key of the one use of a refresh token, so that a repetition after a lost reply, also by a later run of the
 * program, gets the first result. It tells tokens apart (FNV-1a of 128 bits) and hides nothing.
 */
export function refreshKey(token: string): string {
  const prime = 0x0000000001000000000000000000013bn;
  let hash = 0x6c62272e07bb014262b821756295c58dn;
  for (const byte of toUtf8(token)) {
    hash = BigInt.asUintN(128, (hash ^ BigInt(byte)) * prime);
  }
  return `refresh-${hash.toString(16).padStart(32, '0')}`;
}
