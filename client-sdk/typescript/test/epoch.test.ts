import { describe, expect, test } from 'vitest';

import type { Output } from '../src/machine/types.js';
import { Pair } from './support/driver.js';

const SECRET = 'a secret of sixteen';

/** A player in a room with three messages and a change. */
function inRoom(): { pair: Pair; room: string } {
  const pair = new Pair().start();
  pair.reply(pair.call('LoginGuest', { secret: SECRET }, 'login'));
  const made = pair.reply(pair.call('CreateRoom', { kind: 'public', name: 'lobby' }, 'create'));
  const { room } = made['info'] as { room: string };
  for (const text of ['1', '2', '3']) pair.reply(pair.call('SendMessage', { room, text }, `send ${text}`));
  pair.world.edit(pair.world.room(room), 1, 'edited');
  return { pair, room };
}

/** The server comes back with the room as it was after its first message, and others have written since. */
function restore({ pair, room }: { pair: Pair; room: string }, since: readonly string[]): void {
  pair.cut();
  const there = pair.world.room(room);
  pair.world.epoch += 1;
  there.log.length = 1;
  there.head = 1;
  there.rev = 0;
  for (const text of since) pair.world.post(there, text);
  pair.outputs.length = 0;
}

function gaps(pair: Pair): Output[] {
  return pair.outputs.filter(({ kind }) => kind === 'gap');
}

describe('a server that was restored', () => {
  test('is told of by a gap from the beginning, by a client that was ahead', () => {
    const at = inRoom();
    const { pair, room } = at;
    restore(at, []);
    pair.advance(1_000);
    expect(gaps(pair)).toStrictEqual([
      { kind: 'gap', stream: room, missing: 'messages', from: 1, to: 3 },
      { kind: 'gap', stream: room, missing: 'changes', from: 1, to: 1 },
    ]);
    expect(pair.machine.cursors).toMatchObject({ epoch: 2, rooms: [{ room, seq: 1, rev: 0 }] });
    pair.world.post(pair.world.room(room), 'anew');
    expect(pair.texts.at(-1)).toBe('anew');
    expect(pair.machine.connection).toStrictEqual({ state: 'online' });
  });

  test('is told of where others have written so much that no cursor is ahead', () => {
    const at = inRoom();
    const { pair, room } = at;
    restore(at, ['b', 'c', 'd', 'e']);
    pair.advance(1_000);
    // None of them comes as the next one, for what is before it is not what was seen.
    expect(gaps(pair)[0]).toStrictEqual({ kind: 'gap', stream: room, missing: 'messages', from: 1, to: 5 });
    expect(pair.texts).not.toContain('d');
    pair.world.post(pair.world.room(room), 'f');
    expect(pair.texts.at(-1)).toBe('f');
    expect(pair.machine.stats.holes).toBe(0);
  });

  test('is told of once', () => {
    const at = inRoom();
    const { pair } = at;
    restore(at, ['b']);
    pair.advance(1_000);
    pair.outputs.length = 0;
    pair.cut();
    pair.advance(1_000);
    expect(gaps(pair)).toStrictEqual([]);
  });

  test('is told of to a later run with the cursors of an earlier one', () => {
    const { pair, room } = inRoom();
    const resume = pair.machine.cursors;
    expect(resume.epoch).toBe(1);
    for (const epoch of [1, 2]) {
      const later = new Pair({ resume });
      const there = pair.world.room(room);
      later.world.rooms.set(room, { ...there, log: [...there.log] });
      later.world.epoch = epoch;
      later.call('LoginGuest', { secret: SECRET }, 'login');
      later.start();
      expect(gaps(later).length, String(epoch)).toBe(epoch === 1 ? 0 : 2);
      expect(later.machine.cursors.epoch).toBe(epoch);
    }
  });

  test('gets no head that was seen before', () => {
    const at = inRoom();
    const { pair, room } = at;
    pair.cut();
    pair.call('SendMessage', { room, text: 'offline' }, 'offline');
    restore(at, ['b', 'c', 'd', 'e']);
    if (pair.connection !== undefined) pair.connection.held = true;
    pair.advance(1_000);
    pair.call('SendMessage', { room, text: 'now' }, 'now');
    const [, , head] = pair.world.attempts.find(([, key]) => key === 'now') ?? [];
    expect(head).toBe(6);
  });
});
