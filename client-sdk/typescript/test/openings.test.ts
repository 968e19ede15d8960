// Streams that more than one call opens and closes: none stays behind for good, and none has a hole that the server did not make.

import { expect, test } from 'vitest';

import { CODES } from '../src/generated/codes.js';
import { EVENTS } from '../src/generated/tables.js';
import type { Pair } from './support/driver.js';
import { idOf } from './support/model.js';
import type { Body } from './support/scripted.js';
import { comeBack, followed, follower, frame, view, welcome } from './support/scripted.js';

const message = (room: string, seq: number): Uint8Array =>
  frame('event', EVENTS.MessageSent.number, {
    room,
    msg: { seq, from: idOf(4), name: 'n', text: String(seq), at: 1 },
  });

const live = (room: string, seq: number): Uint8Array =>
  frame('event', EVENTS.StreamPosition.number, { stream: room, seq, rev: 0, head: seq, live: true });

function viewAt(room: string, head: number): Body {
  return view(room, { info: { ...(view(room)['info'] as Body), head } });
}

const refused = { code: CODES.storage_unavailable.number, message: 'no' };

/** Follows a room from its beginning on, where the server has so many messages. */
function behind(head: number): { pair: Pair; room: string } {
  const { pair, rooms } = follower(1);
  const [room = ''] = rooms;
  pair.receive(frame('reply', 1, { inbox: 0, rooms: [{ room, view: viewAt(room, head) }] }));
  return { pair, room };
}

function has(pair: Pair, ...texts: number[]): void {
  expect(pair.texts).toStrictEqual(texts.map(String));
  expect(pair.machine.connection.state).toBe('online');
}

test('a room that is opened without a cursor goes on from the one it has', () => {
  const { pair, room } = behind(3);
  pair.receive(message(room, 1));
  pair.call('JoinRoom', { room }, 'join');
  pair.receive(frame('reply', 2, viewAt(room, 3)));
  pair.receive(live(room, 3));
  pair.receive(message(room, 4));
  expect(pair.machine.connection.state).toBe('catching_up');
  pair.receive(frame('reply', 3, viewAt(room, 4)));
  for (const seq of [2, 3, 4]) pair.receive(message(room, seq));
  pair.receive(live(room, 4));
  has(pair, 1, 2, 3, 4);
  expect(pair.machine.stats.holes).toBe(0);
  expect(pair.kinds()).not.toContain('mismatch');
});

test.each(['refused', 'given up, and refused'])('a room whose closing is %s is opened again', (how) => {
  const { pair, room } = behind(0);
  const close = pair.call('CloseRoom', { room });
  // Nobody opens it again while it may be closed.
  pair.receive(message(room, 2));
  if (how !== 'refused') pair.machine.cancel(close);
  pair.receive(frame('fault', 2, refused));
  pair.receive(frame('reply', 3, viewAt(room, 2)));
  for (const seq of [1, 2]) pair.receive(message(room, seq));
  pair.receive(live(room, 2));
  has(pair, 1, 2);
  expect(followed(pair)).toStrictEqual([room]);
});

test('a room that was lost before the answer of its opening came is asked for again', () => {
  const { pair } = follower(0);
  const room = idOf(60);
  pair.call('EnterRoom', { handle: 'lobby' }, 'enter');
  pair.receive(frame('event', EVENTS.RoomLost.number, { room, reason: 'kicked' }));
  pair.receive(frame('reply', 1, view(room)));
  pair.receive(frame('fault', 2, { code: CODES.not_a_member.number, message: 'no' }));
  expect(pair.outputs.find(({ kind }) => kind === 'stream_lost')).toMatchObject({ stream: room });
  expect(followed(pair)).toStrictEqual([]);
});

test('an inbox that was lost is not followed by the same player', () => {
  const { pair } = follower(0, { resume: { inbox: 0 } });
  pair.receive(frame('fault', 1, { code: CODES.forbidden.number, message: 'no' }));
  expect(pair.outputs.find(({ kind }) => kind === 'stream_lost')).toMatchObject({ stream: 'inbox' });
  comeBack(pair, false);
  pair.receive(welcome(pair));
  expect(pair.machine.cursors.inbox).toBeUndefined();
  expect(pair.machine.connection.state).toBe('online');
});
