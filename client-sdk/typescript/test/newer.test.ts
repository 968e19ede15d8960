// Servers that are newer, older or wrong: what they say of streams is told, ends what it is about, and nothing is repeated over it
// without a word.

import { describe, expect, test } from 'vitest';

import { CLOSE_CODES, CODES } from '../src/generated/codes.js';
import { EVENTS } from '../src/generated/tables.js';
import type { Output } from '../src/machine/types.js';
import type { Pair } from './support/driver.js';
import { idOf } from './support/model.js';
import type { Body } from './support/scripted.js';
import { comeBack, followed, follower, frame, view, welcome } from './support/scripted.js';

function lost(pair: Pair): string[] {
  return pair.outputs.flatMap((output) => (output.kind === 'stream_lost' ? [output.stream] : []));
}

function mismatches(pair: Pair): Output[] {
  return pair.outputs.filter(({ kind }) => kind === 'mismatch');
}

describe('a room of a resume', () => {
  const fault = (code: number): Body => ({ fault: { code, message: 'm' } });
  const outcomes: Record<string, (room: string) => Body[]> = {
    'is missing from the reply': () => [],
    'is refused for good': (room) => [{ room, ...fault(CODES.not_a_member.number) }],
    'is refused with a newer code': (room) => [{ room, ...fault(999) }],
    'has neither view nor fault': (room) => [{ room }],
    'has the view of another one': (room) => [{ room, view: view(idOf(77)) }],
    'has another one in its place': () => [{ room: idOf(77), view: view(idOf(77)) }],
  };

  test.each(Object.keys(outcomes))('that %s is lost, and the connection goes on', (what) => {
    const { pair, rooms } = follower(1);
    const [room = ''] = rooms;
    pair.receive(frame('reply', 1, { inbox: 0, rooms: outcomes[what]?.(room) }));
    expect(lost(pair)).toStrictEqual([room]);
    expect(followed(pair)).toStrictEqual([]);
    expect(pair.kinds()).not.toContain('close');
    expect(pair.machine.connection.state).toBe('online');
  });

  test.each(Object.keys(outcomes))('that %s keeps no other from coming back', (what) => {
    const { pair, rooms } = follower(2);
    const [room = '', other = ''] = rooms;
    const answered = { room: other, view: view(other) };
    pair.receive(frame('reply', 1, { inbox: 0, rooms: [...(outcomes[what]?.(room) ?? []), answered] }));
    // What is missing is asked for once more.
    pair.receive(frame('reply', 2, { inbox: 0, rooms: [] }));
    expect(lost(pair)).toStrictEqual([room]);
    expect(followed(pair)).toStrictEqual([other]);
    expect(pair.kinds()).not.toContain('close');
    expect(pair.machine.connection.state).toBe('online');
  });
});

describe('a resume that is refused for good', () => {
  test.each([999, CODES.invalid_argument.number, CODES.unknown_method.number])(
    'with code %d is told and asked for piece by piece',
    (code) => {
      const { pair, rooms } = follower(2, { resume: { inbox: 0 } });
      const [room = '', other = ''] = rooms;
      const fault = { code, message: 'no' };
      pair.receive(frame('fault', 1, fault));
      expect(mismatches(pair)).toHaveLength(1);
      for (const call of [2, 3]) pair.receive(frame('fault', call, fault));
      pair.receive(frame('reply', 4, view(other)));
      expect(lost(pair)).toStrictEqual(['inbox', room]);
      expect(followed(pair)).toStrictEqual([other]);
      expect(pair.kinds()).not.toContain('close');
      expect(pair.machine.connection.state).toBe('online');
    },
  );
});

describe('a hole that stays', () => {
  /** Up to the entry behind the hole, with which the server goes on though the room was opened again. */
  function meetsHole(pair: Pair, room: string, behind: Uint8Array): void {
    const opened = view(room, { rev: 3, info: { ...(view(room)['info'] as Body), head: 3 } });
    pair.receive(frame('reply', 1, { inbox: 0, rooms: [{ room, view: opened }] }));
    pair.receive(behind);
    pair.receive(frame('reply', 2, opened));
    pair.receive(behind);
  }

  const message = (room: string, seq: number): Uint8Array =>
    frame('event', EVENTS.MessageSent.number, {
      room,
      msg: { seq, from: idOf(4), name: 'n', text: 't', at: 1 },
    });
  const behind: Record<string, (room: string) => Uint8Array> = {
    'before a message': (room) => message(room, 3),
    'before a change': (room) =>
      frame('event', EVENTS.MessageEdited.number, { room, rev: 3, seq: 1, text: 't', at: 1 }),
    'before a gap': (room) => frame('gap', room, 0, 3, 3),
    'before a position': (room) =>
      frame('event', EVENTS.StreamPosition.number, { stream: room, seq: 3, rev: 0, head: 3, live: true }),
  };

  test.each(Object.keys(behind))('%s ends one connection and is told, then it is stepped over', (what) => {
    const { pair, rooms } = follower(1);
    const [room = ''] = rooms;
    const entry = behind[what]?.(room) ?? new Uint8Array();
    meetsHole(pair, room, entry);
    // Each time.
    expect(mismatches(pair)).toHaveLength(2);
    expect(pair.outputs).toContainEqual({ kind: 'close', code: CLOSE_CODES.protocol_error });
    comeBack(pair);
    meetsHole(pair, room, entry);
    expect(pair.kinds()).not.toContain('close');
    const gap = pair.outputs.find(({ kind }) => kind === 'gap');
    expect(gap).toMatchObject({ stream: room, from: 1 });
    expect(followed(pair)).toStrictEqual([room]);
    const { length } = pair.texts;
    const next = (pair.machine.cursors.rooms?.[0]?.seq ?? 0) + 1;
    pair.receive(message(room, next));
    expect(pair.texts).toHaveLength(length + 1);
  });
});

describe('a connection over which the server is at odds with the client', () => {
  test.each([0, 2, 65_535])('a welcome of version %d is told and not taken', (v) => {
    const { pair } = follower(0);
    comeBack(pair, false);
    const { welcomes } = pair.machine.stats;
    pair.receive(welcome(pair, { v }));
    expect(mismatches(pair)).toHaveLength(1);
    expect(pair.machine.stats.welcomes).toBe(welcomes);
    expect(pair.outputs).toContainEqual({ kind: 'close', code: CLOSE_CODES.protocol_error });
    expect(pair.kinds()).not.toContain('signed_in');
  });

  test('is no reason for the waits to begin anew, however long it has lasted', () => {
    const { pair } = follower(0);
    let longest = 0;
    for (let times = 0; times < 12; times += 1) {
      pair.advance(6_000);
      pair.outputs.length = 0;
      pair.receive(welcome(pair));
      expect(mismatches(pair)).toHaveLength(1);
      const { connection } = pair.machine;
      if (connection.state !== 'offline') throw new Error(`it is ${connection.state}`);
      const wait = (connection.retryAt ?? 0) - pair.now;
      longest = Math.max(longest, wait);
      pair.advance(wait);
      pair.receive(welcome(pair));
    }
    expect(longest).toBeGreaterThan(2_000);
  });
});
