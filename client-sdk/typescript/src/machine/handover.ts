// The handover of a live client from one connection to another: the next one is made while the present one serves, and the one
// before is let go when nothing is awaited from it any more.
//
// | stage | present connection | other connection |
// |---|---|---|
// | handshaking | serves | hello is sent, the welcome is awaited |
// | settling | serves, but calls that change a connection wait | welcomed; takes over once no such call is on the wire |
// | leaving | the next one: calls go out on it, streams are resumed and leaderboards followed on it | the one before: answers what it was asked, and serves each stream until the present one does |
//
// Calls are numbered on across both, so a number says which connection answers. Entries of streams are dense and held against the
// cursor, so it does not matter which connection brings them first. Other events are told by both, and counted: what one has brought
// before is dropped when the other brings it. So that nothing said for the moment is lost that is on its way when the present connection
// serves everything, the one before is asked for an echo then: what it had to bring has come when that comes.

import { faultOf } from '../errors.js';
import type { Reconnect } from '../generated/codes.js';
import { CLOSE_CODES } from '../generated/codes.js';
import type { Identity, Welcome } from '../generated/types.js';
import { METHODS } from '../generated/tables.js';
import { LIMITS, VERSION } from '../generated/wire.js';
import type { ServerFrame } from '../wire/frame.js';
import { encodeClientFrame, InvalidFrame, readServerFrame } from '../wire/frame.js';
import type { Salvaged } from '../wire/salvage.js';
import { salvage } from '../wire/salvage.js';
import { encode } from '../wire/writer.js';
import { faulted, replied, repliedUnreadably } from './answers.js';
import { Echoes } from './echoes.js';
import { followBoards } from './boards.js';
import { happenedAhead, happenedBefore } from './entries.js';
import { Outbox } from './outbox.js';
import { beginAnew, goesOnSignedIn, greeted, helloFrame, sendResume } from './sign-in.js';
import type { HandoverStage, Leaving, State } from './state.js';
import { Broken } from './types.js';

/** How long calls that change a connection may keep the next one waiting. */
const SETTLE_MS_MAX = 5_000;

/** How long the one before is waited for. What it has not answered by then is asked again, under the same key. */
const LEAVE_MS_MAX = 2_000;

/** Whether a handover may begin: there is an open connection, with nobody being signed in, and no other handover. */
export function mayHandOver(state: State): boolean {
  const { standing, reading } = state.signIn;
  const isSigningIn = standing !== 'in' && (state.hasTokens || reading);
  const isAlone = state.handover === undefined && state.goaway === undefined;
  return state.phase.is === 'open' && !isSigningIn && isAlone;
}

/** Another socket is open: the machine greets the server there. False: this is not the time for it. */
export function beginHandover(state: State, now: number): boolean {
  if (!mayHandOver(state)) return false;
  const stage: HandoverStage = { is: 'handshaking', since: now, access: state.signIn.tokens.access };
  state.handover = { stage, outbox: new Outbox() };
  state.handover.outbox.push(helloFrame(state));
  state.echoes ??= new Echoes(now);
  state.echoes.begin(now);
  return true;
}

/** A message came over the other connection. */
export function otherReceived(state: State, now: number, message: Uint8Array): void {
  const { handover } = state;
  if (handover === undefined) return;
  const isLeft = handover.stage.is === 'leaving';
  const isWhole = isLeft ? beforeReceived : nextReceived;
  let at = 0;
  while (at < message.byteLength && state.handover === handover) {
    const read = message.byteLength > LIMITS.MESSAGE_BYTES_MAX ? undefined : readAt(message, at);
    if (read !== undefined && isWhole(state, now, read)) {
      at = read.next;
    } else if (isLeft) {
      return letGo(state, now);
    } else {
      return abandonNext(state, now, CLOSE_CODES.protocol_error);
    }
  }
}

/** The other connection has closed. */
export function otherDisconnected(state: State, now: number): void {
  const stage = state.handover?.stage;
  state.handover = undefined;
  if (stage?.is === 'leaving') left(state, now);
  else if (stage !== undefined) state.echoes?.end(now);
}

/** A frame, or what is known of one that cannot be read. */
interface Read {
  frame: ServerFrame | { kind: 'unreadable'; rest: Salvaged; reason: string };
  bytes: Uint8Array;
  next: number;
}

/** The frame that begins at `at`; nothing when its end cannot be told. */
function readAt(message: Uint8Array, at: number): Read | undefined {
  try {
    const { frame, next } = readServerFrame(message, at);
    return { frame, bytes: message.subarray(at, next), next };
  } catch (error) {
    if (!(error instanceof InvalidFrame)) throw error;
    const rest = salvage(message, at);
    if (rest === undefined) return undefined;
    const frame = { kind: 'unreadable', rest, reason: error.message } as const;
    return { frame, bytes: message.subarray(at, rest.next), next: rest.next };
  }
}

/**
 * Takes what came over the next connection before it has taken over. False: it does not fit, so that connection is given up; the
 * present one serves.
 */
function nextReceived(state: State, now: number, { frame, bytes }: Read): boolean {
  const { handover } = state;
  if (handover === undefined) return false;
  const { stage } = handover;
  switch (frame.kind) {
    case 'ping':
      handover.outbox.push(encodeClientFrame({ kind: 'pong', nonce: frame.nonce }));
      return true;
    case 'welcome':
      if (stage.is !== 'handshaking' || frame.body.v !== VERSION) return false;
      handover.stage = { is: 'settling', since: now, welcome: frame.body };
      return true;
    case 'event':
      if (stage.is !== 'settling') return false;
      happenedAhead(state, frame.event, frame.body, bytes);
      return true;
    case 'unreadable':
      // An event that the present connection tells of as well.
      return stage.is === 'settling' && frame.rest.kind === 'event';
    default:
      return false;
  }
}

/**
 * Takes what came over the connection before: answers to what it was asked, entries of streams that the present one does not serve
 * yet, and what the present one has not brought. False: it was the last, or does not fit, which ends that connection, and nothing else.
 */
function beforeReceived(state: State, now: number, { frame, bytes }: Read): boolean {
  if (isLast(state, frame)) return false;
  try {
    switch (frame.kind) {
      case 'reply':
        if (state.calls.isBefore(frame.call)) replied(state, now, frame.call, frame.body);
        break;
      case 'fault':
        if (frame.call !== 0 && state.calls.isBefore(frame.call)) {
          faulted(state, now, frame.call, frame.fault);
        }
        break;
      case 'ping':
        state.handover?.outbox.push(encodeClientFrame({ kind: 'pong', nonce: frame.nonce }));
        break;
      case 'event':
        happenedBefore(state, frame.event, frame.body, bytes);
        break;
      case 'state':
        toldState(state, frame);
        break;
      case 'unreadable':
        answeredUnreadably(state, now, frame.rest, frame.reason);
        break;
      default:
      // What is missing, and why the connection ends, is told by the present one.
    }
    return true;
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    return false;
  }
}

function isLast({ handover }: State, frame: Read['frame']): boolean {
  const last = handover?.stage.is === 'leaving' ? handover.stage.last : undefined;
  if (frame.kind === 'unreadable') {
    return (frame.rest.kind === 'reply' || frame.rest.kind === 'fault') && frame.rest.number === last;
  }
  return (frame.kind === 'reply' || frame.kind === 'fault') && frame.call === last;
}

/** What cannot be read of the rest, the present connection brings as well. */
function answeredUnreadably(state: State, now: number, { kind, number }: Salvaged, reason: string): void {
  if (number === 0 || !state.calls.isBefore(number)) return;
  if (kind === 'reply') repliedUnreadably(state, number, reason);
  if (kind !== 'fault') return;
  faulted(state, now, number, faultOf('internal', `the refusal cannot be read: ${reason}`));
}

/** A state came. Datagrams overtake each other: what is older than what was handed up is dropped. */
export function toldState(state: State, frame: ServerFrame & { kind: 'state' }): void {
  const { room, tick } = frame;
  const newest = state.ticks.get(room);
  if (newest !== undefined && tick <= newest) return;
  if (newest !== undefined || state.ticks.size < LIMITS.ROOMS_OPEN_MAX) state.ticks.set(room, tick);
  state.out(frame);
}

/** Goes on with a handover as far as that is possible now. */
export function handoverDue(state: State, now: number): void {
  const stage = state.handover?.stage;
  const at = endOf(state, stage);
  switch (stage?.is) {
    case 'handshaking':
      if (at <= now) abandonNext(state, now, CLOSE_CODES.handshake_timeout);
      break;
    case 'settling':
      if (state.calls.changeNothingOnWire) takeOver(state, now, stage.welcome);
      else if (at <= now) endSettling(state, now, stage.since);
      break;
    case 'leaving':
      if (at <= now) letGo(state, now);
      else if (!state.calls.awaitsBefore && !state.streams.anyServedBefore) askForLast(state, stage);
      break;
    case undefined:
  }
  state.echoes?.passed(now);
  if ((state.echoes?.endsAt ?? Infinity) <= now) state.echoes = undefined;
}

/**
 * What keeps the next connection waiting has taken too long. When nothing at all has come over the present one meanwhile, it is taken
 * for lost: it may be what the handover is for.
 */
function endSettling(state: State, now: number, since: number): void {
  if (state.heardAt >= since) return abandonNext(state, now, 1000);
  state.out({ kind: 'close', code: CLOSE_CODES.heartbeat_missed });
  rescued(state, now, 'back_off');
}

/** The answer to this is the last that is awaited from the connection before. */
function askForLast(state: State, stage: Leaving): void {
  if (stage.last !== undefined) return;
  stage.last = state.calls.newNumber();
  const body = encode({ data: new Uint8Array() });
  const method = METHODS.Echo.number;
  const echo = { kind: 'call', call: stage.last, method, body, key: undefined, head: undefined } as const;
  state.handover?.outbox.push(encodeClientFrame(echo));
}

/** When `handoverDue` has something to do though nothing has come. */
export function handoverTimeout(state: State): number {
  return Math.min(endOf(state, state.handover?.stage), state.echoes?.endsAt ?? Infinity);
}

function endOf(state: State, stage: HandoverStage | undefined): number {
  switch (stage?.is) {
    case 'handshaking':
      return stage.since + state.config.handshakeMs;
    case 'settling':
      return stage.since + SETTLE_MS_MAX;
    case 'leaving':
      return stage.since + LEAVE_MS_MAX;
    case undefined:
      return Infinity;
  }
}

/** The next connection becomes the present one, and the present one that before. */
function takeOver(state: State, now: number, welcome: Welcome): void {
  if (!isOfThisPlayer(state, welcome)) return abandonNext(state, now, 1000);
  state.calls.handedOver();
  state.streams.handedOver();
  becomePresent(state, { is: 'leaving', since: now, last: undefined });
  beginOnNext(state, now, welcome);
}

function isOfThisPlayer(state: State, { identity, refused }: Welcome): boolean {
  const whom = (who: Identity | undefined): string => (who === undefined ? '' : `${who.user} ${who.session}`);
  const here = state.signInNumber === undefined ? undefined : state.signIn.identity;
  return whom(identity) === whom(here) && refused === undefined;
}

/** Swaps the two connections. Without a stage, there is no other one any more. */
function becomePresent(state: State, stage?: HandoverStage): void {
  const { handover, outbox } = state;
  if (handover === undefined) return;
  state.outbox = handover.outbox;
  state.handover = stage && { stage, outbox };
  state.out({ kind: 'take_over' });
}

/** The next connection has been welcomed, and is the present one. */
function beginOnNext(state: State, now: number, welcome: Welcome): void {
  state.phase = { is: 'open', since: now };
  state.heardAt = now;
  state.stats.handovers += 1;
  state.takeTerms(welcome);
  state.clock.begin(now);
  if (welcome.identity === undefined) return;
  beginAnew(state);
  state.signIn.clockOffset = welcome.now - now;
  goesOnSignedIn(state, now, welcome.identity);
  // All of it is asked for anew.
  state.calls.endOwned((owner) => ['resume', 'reopen', 'close', 'follow'].includes(owner));
  sendResume(state);
  followBoards(state);
}

/** The connection before is not awaited any longer. */
function letGo(state: State, now: number): void {
  state.handover = undefined;
  state.out({ kind: 'close_other', code: 1000 });
  left(state, now);
}

/** The connection before is gone: what it was asked and has not answered is asked again. */
function left(state: State, now: number): void {
  state.streams.servedByPresentOnly();
  state.endAnswered(state.calls.lostBefore(), faultOf('disconnected'));
  state.echoes?.end(now);
}

/** Gives the next connection up. The present one goes on. */
export function abandonNext(state: State, now: number, code: number): void {
  if (state.handover === undefined) return;
  state.handover = undefined;
  state.out({ kind: 'close_other', code });
  state.echoes?.end(now);
}

/** The present connection is lost. True: the next one goes on in its place, and nothing has to be waited for. */
export function rescued(state: State, now: number, after: Reconnect): boolean {
  const stage = state.handover?.stage;
  const mayGoOn = (after === 'now' || after === 'back_off') && state.goaway === undefined;
  if (mayGoOn && state.phase.is === 'open') {
    state.echoes?.end(now);
    // A hello for somebody else would sign that one in.
    if (stage?.is === 'handshaking' && stage.access === state.signIn.tokens.access) {
      state.detach();
      becomePresent(state);
      state.phase = { is: 'handshaking', since: stage.since };
      state.heardAt = now;
      state.callsMax = LIMITS.CALLS_IN_FLIGHT_MAX;
      greeted(state);
      return true;
    }
    if (stage?.is === 'settling' && isOfThisPlayer(state, stage.welcome)) {
      state.detach();
      becomePresent(state);
      beginOnNext(state, now, stage.welcome);
      return true;
    }
  }
  state.dropOther();
  return false;
}
