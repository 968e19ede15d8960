import type { Events } from '../generated/tables.js';
import { EVENT_NAMES, EVENTS } from '../generated/tables.js';
import type { OpenRoom, StreamPosition } from '../generated/types.js';
import type { Missing, Stream } from '../wire/frame.js';
import { encodeClientFrame } from '../wire/frame.js';
import type { Value } from '../wire/reader.js';
import { isId } from '../wire/shape.js';
import type { State } from './state.js';
import type { Place, Verdict } from './streams.js';
import { Broken } from './types.js';

type Body = Record<string, Value>;

/** The stream that an event is an entry of, and its place there. The event's shape has been checked. */
function placeOf(name: keyof Events, body: Body): { stream: Stream; place: Place } | undefined {
  const { entry } = EVENTS[name];
  if (entry === undefined) return undefined;
  const room = body['room'] as string;
  switch (entry) {
    case 'room_message': {
      const message = body['msg'] as Body;
      return { stream: room, place: { in: 'seq', number: message['seq'] as number } };
    }
    case 'room_change':
      return { stream: room, place: { in: 'rev', number: body['rev'] as number } };
    case 'inbox':
      return { stream: 'inbox', place: { in: 'seq', number: body['seq'] as number } };
  }
}

/** An event came: what belongs to a stream is checked against its cursor before it is handed up. */
export function happened(state: State, event: number, body: Body): void {
  const name = EVENT_NAMES.get(event);
  const entry = name && placeOf(name, body);
  if (entry !== undefined) {
    if (entry.place.in === 'seq') state.streams.told(entry.stream, entry.place.number);
    if (cutByPause(state, entry.stream)) return;
    if (!settle(state, entry.stream, state.streams.entry(entry.stream, entry.place))) return;
  }
  if (name === 'StreamPosition') positioned(state, body as unknown as StreamPosition);
  if (name === 'RoomLost') state.streams.forget(body['room'] as string);
  state.out({ kind: 'event', event, body });
}

/** Part of a stream no longer exists. */
export function missed(state: State, stream: Stream, missing: Missing, from: number, to: number): void {
  if (missing === 'messages') state.streams.told(stream, to);
  if (cutByPause(state, stream)) return;
  if (settle(state, stream, state.streams.gap(stream, missing, from, to))) {
    state.out({ kind: 'gap', stream, missing, from, to });
  }
}

function positioned(state: State, position: StreamPosition): void {
  const { stream, live } = position;
  if (stream !== 'inbox' && !isId(stream)) throw new Broken('protocol', 'unknown stream');
  state.streams.told(stream, position.head);
  if (!live && cutByPause(state, stream)) return;
  const settled = settle(state, stream, state.streams.position(position));
  const cursor = state.streams.cursor(stream);
  if (settled && !live && cursor !== undefined) {
    state.send(encodeClientFrame({ kind: 'ack', stream, cursor }));
  }
}

/** Whether the entry is to be handed up. */
function settle(state: State, stream: Stream, verdict: Verdict): boolean {
  if (verdict === 'hole' || verdict === 'broken') state.stats.holes += 1;
  if (verdict === 'hole') reopen(state, stream);
  if (verdict === 'broken') throw new Broken('protocol', `${stream} has a hole after it was opened again`);
  return verdict === 'next';
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
    const request = { inbox: cursor.seq, rooms: [] };
    state.calls.add({ owner: 'resume', method: 'Resume', request, inbox: true });
    return;
  }
  const open = openFromCursor(state, stream);
  if (open !== undefined) {
    state.calls.add({ owner: 'reopen', method: 'OpenRoom', request: { ...open }, rooms: [stream] });
  }
}

/** The call that opens a room from our cursor, unless it is being closed or not followed. */
export function openFromCursor(state: State, room: string): OpenRoom | undefined {
  const cursor = state.streams.cursor(room);
  if (cursor === undefined || state.calls.closing(room)) return undefined;
  return { room, seq: cursor.seq, rev: cursor.rev };
}
