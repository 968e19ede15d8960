import type { Events } from '../generated/tables.js';
import { EVENT_NAMES, EVENTS } from '../generated/tables.js';
import type { OpenRoom, StreamPosition } from '../generated/types.js';
import type { Missing, Stream } from '../wire/frame.js';
import { encodeClientFrame } from '../wire/frame.js';
import type { Value } from '../wire/reader.js';
import { isId } from '../wire/shape.js';
import type { ConnectionNumber } from './echoes.js';
import type { Consequence } from './pending.js';
import type { State } from './state.js';
import type { Place, Verdict } from './streams.js';
import { named } from './streams.js';
import type { Output } from './types.js';
import { Broken } from './types.js';

type Body = Record<string, Value>;

/** The stream that an event is an entry of, and its place there, as far as the body tells. */
function placeOf(
  name: keyof Events,
  body: Readonly<Body>,
): { stream: Stream | undefined; in: Place['in']; number: number | undefined } | undefined {
  const { entry } = EVENTS[name];
  if (entry === undefined) return undefined;
  const room = roomIn(body['room']);
  switch (entry) {
    case 'room_message': {
      const message = body['msg'] as Partial<Body> | undefined;
      return { stream: room, in: 'seq', number: numberIn(message?.['seq']) };
    }
    case 'room_change':
      return { stream: room, in: 'rev', number: numberIn(body['rev']) };
    case 'inbox':
      return { stream: 'inbox', in: 'seq', number: numberIn(body['seq']) };
  }
}

/** Where in its stream that stands which the output tells of, or what is passed over by a gap begins. Nothing for other outputs. */
export function firstOf(output: Output): { stream: Stream; place: Place } | undefined {
  switch (output.kind) {
    case 'event': {
      const name = EVENT_NAMES.get(output.event);
      const entry = name && placeOf(name, output.body);
      if (entry?.stream === undefined || entry.number === undefined) return undefined;
      return { stream: entry.stream, place: { in: entry.in, number: entry.number } };
    }
    case 'gap':
      return {
        stream: output.stream,
        place: { in: output.missing === 'messages' ? 'seq' : 'rev', number: output.from },
      };
    case 'unreadable': {
      const { stream, seq, rev } = output.unreadable;
      const number = seq ?? rev;
      if (stream === undefined || number === undefined) return undefined;
      return { stream, place: { in: seq === undefined ? 'rev' : 'seq', number } };
    }
    default:
      return undefined;
  }
}

function roomIn(value: Value | undefined): string | undefined {
  return typeof value === 'string' && isId(value) ? value : undefined;
}

function numberIn(value: Value | undefined): number | undefined {
  return Number.isSafeInteger(value) ? (value as number) : undefined;
}

/** Where an event belongs that can be read; nothing when it is no entry of a stream. */
function entryOf(event: number, body: Body): { stream: Stream; place: Place } | undefined {
  return firstOf({ kind: 'event', event, body });
}

/** An event came, in a frame of these bytes: what belongs to a stream is checked against its cursor before it is handed up. */
export function happened(state: State, event: number, body: Body, bytes: Uint8Array): void {
  const name = EVENT_NAMES.get(event);
  const entry = entryOf(event, body);
  if (entry !== undefined) {
    if (!takesEntry(state, entry.stream, entry.place)) return;
  } else if (name !== 'StreamPosition' && !state.isNews(state.present, { event, body, bytes })) {
    return;
  }
  if (name === 'StreamPosition') positioned(state, body as unknown as StreamPosition);
  toldOfRoom(state, event, body);
  state.out({ kind: 'event', event, body });
}

/** An event came over the connection before a handover. What the present one brings as well is left to it. */
export function happenedBefore(state: State, event: number, body: Body, bytes: Uint8Array): void {
  const entry = entryOf(event, body);
  if (entry === undefined) return happenedElsewhere(state, state.present - 1, { event, body, bytes });
  if (state.paused || !state.streams.entryBefore(entry.stream, entry.place)) return;
  state.out({ kind: 'event', event, body });
}

/** An event came over the next connection of a handover, before it has taken over: no stream is followed there. */
export function happenedAhead(state: State, event: number, body: Body, bytes: Uint8Array): void {
  if (entryOf(event, body) === undefined) {
    happenedElsewhere(state, state.present + 1, { event, body, bytes });
  }
}

/** An event that is no entry came over the connection that is not the present one. */
function happenedElsewhere(
  state: State,
  by: ConnectionNumber,
  told: { event: number; body: Body; bytes: Uint8Array },
): void {
  const { event, body } = told;
  if (EVENT_NAMES.get(event) === 'StreamPosition' || !state.isNews(by, told)) return;
  toldOfRoom(state, event, body);
  state.out({ kind: 'event', event, body });
}

/** What events say of a room that are no entries of it. */
function toldOfRoom(state: State, event: number, body: Body): void {
  if (EVENT_NAMES.get(event) !== 'RoomLost') return;
  state.streams.forget(body['room'] as string);
  // The answer of a call that had opened it before may still be on its way.
  state.calls.distrustOpeners();
}

/**
 * An event came that cannot be read. An entry of a stream is stepped over: the server would send the same one again and again.
 * `body` has what can be read of it.
 */
export function happenedUnreadably(state: State, event: number, body: Readonly<Body>, reason: string): void {
  const name = EVENT_NAMES.get(event);
  if (name === undefined) return;
  const entry = placeOf(name, body);
  if (entry === undefined) return state.out({ kind: 'unreadable', unreadable: { name, reason } });
  const { stream } = entry;
  const cursor = stream === undefined ? undefined : state.streams.cursor(stream);
  if (stream === undefined) {
    state.entryLost = true;
    return state.out({ kind: 'unreadable', unreadable: { name, reason } });
  }
  if (cursor === undefined) return;
  // Entries come in order, so one that does not tell its place is the next.
  const number = entry.number ?? cursor[entry.in] + 1;
  if (!takesEntry(state, stream, { in: entry.in, number })) return;
  state.out({ kind: 'unreadable', unreadable: { name, stream, [entry.in]: number, reason } });
}

/** Whether the entry is the next of its stream. The stream is then after it. */
function takesEntry(state: State, stream: Stream, place: Place): boolean {
  if (place.in === 'seq') state.streams.told(stream, place.number);
  if (cutByPause(state, stream)) return false;
  const verdict = state.streams.entry(stream, place);
  if (verdict === 'broken' && isStepped(state, stream)) {
    passLost(state, stream, place.in, place.number - 1);
    return settle(state, stream, state.streams.entry(stream, place), place);
  }
  return settle(state, stream, verdict, place);
}

/** Whether a hole that stays is stepped over: it may be what could not be read, or was there on another connection as well. */
function isStepped(state: State, stream: Stream): boolean {
  return state.entryLost || state.streams.hasLeftOut(stream);
}

/** What the server does not send, though it was asked twice: the stream goes on after it. */
function passLost(state: State, stream: Stream, within: Place['in'], to: number): void {
  const from = state.streams.pass(stream, { in: within, number: to });
  if (from === undefined) return;
  state.out({ kind: 'gap', stream, missing: within === 'seq' ? 'messages' : 'changes', from, to });
}

/** Part of a stream no longer exists. */
export function missed(state: State, stream: Stream, missing: Missing, from: number, to: number): void {
  if (missing === 'messages') state.streams.told(stream, to);
  if (cutByPause(state, stream)) return;
  let verdict = state.streams.gap(stream, missing, from, to);
  if (verdict === 'broken' && isStepped(state, stream)) {
    passLost(state, stream, missing === 'messages' ? 'seq' : 'rev', from - 1);
    verdict = state.streams.gap(stream, missing, from, to);
  }
  if (settle(state, stream, verdict, { in: missing === 'messages' ? 'seq' : 'rev', number: from })) {
    state.out({ kind: 'gap', stream, missing, from, to });
  }
}

function positioned(state: State, position: StreamPosition): void {
  const { stream, live } = position;
  if (stream !== 'inbox' && !isId(stream)) throw new Broken('protocol', 'unknown stream');
  state.streams.told(stream, position.head);
  if (!live && cutByPause(state, stream)) return;
  let verdict = state.streams.position(position);
  if (verdict === 'broken' && isStepped(state, stream)) {
    passLost(state, stream, 'seq', position.seq);
    passLost(state, stream, 'rev', position.rev);
    verdict = state.streams.position(position);
  }
  const cursor = state.streams.cursor(stream);
  const within = position.seq > (cursor?.seq ?? 0) ? 'seq' : 'rev';
  const settled = settle(state, stream, verdict, { in: within, number: position[within] });
  if (settled && !live && cursor !== undefined) {
    state.send(encodeClientFrame({ kind: 'ack', stream, cursor }));
  }
}

/** Whether the entry is to be handed up. `came` is its place, or the first place after what is missing. */
function settle(state: State, stream: Stream, verdict: Verdict, came: Place): boolean {
  if (verdict === 'next' || verdict === 'drop') return verdict === 'next';
  state.stats.holes += 1;
  const { seq, rev } = state.streams.cursor(stream) ?? { seq: 0, rev: 0 };
  const where = `after seq ${String(seq)} and rev ${String(rev)} came ${came.in} ${String(came.number)}`;
  if (verdict === 'broken') {
    state.streams.noteLeftOut(stream);
    throw new Broken('protocol', `something is missing in ${stream} although it was opened again: ${where}`);
  }
  state.mismatch(`something is missing in ${stream}: ${where}`);
  reopen(state, stream);
  return false;
}

function cutByPause(state: State, stream: Stream): boolean {
  if (state.paused && state.streams.cut(stream)) state.stats.cuts += 1;
  return state.paused;
}

/** Asks the server to follow the stream from our cursor. */
export function reopen(state: State, stream: Stream): void {
  if (stream === 'inbox') {
    const cursor = state.streams.cursor(stream);
    if (cursor === undefined) return;
    const epoch = state.streams.epochOf(stream);
    const request = named(epoch, { inbox: cursor.seq, rooms: [] });
    state.calls.add({ owner: 'resume', method: 'Resume', request, epoch, inbox: true });
    return;
  }
  const open = openFromCursor(state, stream);
  if (open !== undefined) {
    state.calls.add({ owner: 'reopen', method: 'OpenRoom', request: { ...open }, rooms: [stream] });
  }
}

/**
 * A call has come to nothing. A room that it was to close stays open; while that was not known it was not opened again, however
 * much it had to be.
 */
export function staysOpen(state: State, consequence: Consequence): void {
  if (consequence.kind !== 'closes' || !state.streams.isShut(consequence.room)) return;
  if (state.isConnected() && !state.calls.reopening(consequence.room)) reopen(state, consequence.room);
}

/** The call that opens a room from our cursor, if that counts, unless it is being closed or not followed. */
export function openFromCursor(state: State, room: string): OpenRoom | undefined {
  const cursor = state.streams.cursor(room);
  if (cursor === undefined || state.calls.closing(room)) return undefined;
  const counts = !state.streams.isOutlived(state.streams.epochOf(room));
  return counts ? { room, seq: cursor.seq, rev: cursor.rev } : { room };
}
