// Handovers rule by rule; `simulation.test.ts` has them at random.

import { describe, expect, test } from 'vitest';

import { CLOSE_CODES, CODES } from '../src/generated/codes.js';
import { EVENTS } from '../src/generated/tables.js';
import type { Output } from '../src/machine/types.js';
import { Pair } from './support/driver.js';
import { idOf, Refusal } from './support/model.js';
import { frame, welcome } from './support/scripted.js';

const SECRET = 'a secret of sixteen';

/** A signed-in player in a room, with nothing told so far. */
function inRoom(): { pair: Pair; room: string } {
  const pair = new Pair().start();
  pair.world.pingMs = 1_000_000;
  pair.reply(pair.call('LoginGuest', { secret: SECRET }, 'login'));
  const room = pair.world.createRoom().id;
  pair.reply(pair.call('OpenRoom', { room }));
  pair.cut();
  pair.advance(30_000);
  pair.outputs.length = 0;
  pair.world.calls.length = 0;
  return { pair, room };
}

/** The same, with the next connection welcomed as the test says, which is the server there. */
function ahead(fields: Record<string, unknown> = {}): { pair: Pair; room: string } {
  const { pair, room } = inRoom();
  pair.handOver(true);
  pair.otherReceive(welcome(pair, fields));
  return { pair, room };
}

/** The same, with the next connection as the present one, and one call owed by the one before. */
function leaving(): { pair: Pair; room: string; owed: number } {
  const { pair, room } = inRoom();
  if (pair.connection !== undefined) pair.connection.held = true;
  const owed = pair.call('SendMessage', { room, text: 'owed' }, 'owed');
  pair.handOver();
  expect(pair.kinds()).toContain('take_over');
  expect(pair.other).toBeDefined();
  return { pair, room, owed };
}

function ephemeral(room: string, text: string): Uint8Array {
  const body = { room, from: idOf(1), name: 'somebody', text, at: 1 };
  return frame('event', EVENTS.EphemeralSent.number, body);
}

function heard(pair: Pair, event: keyof typeof EVENTS): Record<string, unknown>[] {
  return pair.outputs.flatMap((output) =>
    output.kind === 'event' && output.event === EVENTS[event].number ? [output.body] : [],
  );
}

function closes(pair: Pair): Output[] {
  return pair.outputs.filter(({ kind }) => kind === 'close' || kind === 'close_other');
}

/** What the application would hear of. */
function told(pair: Pair): string[] {
  return pair.kinds().filter((kind) => !['take_over', 'close_other', 'event', 'answer'].includes(kind));
}

/** The answer to a call came late. */
function release(pair: Pair): void {
  const before = pair.other;
  if (before === undefined) throw new Error('there is no connection before');
  before.held = false;
  before.flush();
}

describe('a handover', () => {
  test('is not seen by the application, and leaves one connection', () => {
    const { pair, room } = inRoom();
    const [first] = pair.world.connections;
    pair.world.post(pair.world.room(room), 'before');
    expect(pair.handOver()).toBe(true);
    pair.world.post(pair.world.room(room), 'after');
    expect(pair.texts).toStrictEqual(['before', 'after']);
    expect(told(pair)).toStrictEqual([]);
    expect(pair.kinds().filter((kind) => kind !== 'event')).toStrictEqual(['take_over', 'close_other']);
    expect(pair.world.connections.size).toBe(1);
    expect(pair.world.connections.has(first as never)).toBe(false);
    expect(pair.machine.stats.handovers).toBe(1);
    expect(pair.machine.isHandingOver).toBe(false);
  });

  test('asks the connection before for an echo, and leaves it when that has come', () => {
    const { pair, room } = inRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    pair.connection?.tellForTheMoment(pair.world.room(room), 'on its way');
    pair.handOver();
    expect(pair.world.calls.slice(-2)).toStrictEqual(['Resume', 'Echo']);
    expect(closes(pair)).toStrictEqual([]);
    release(pair);
    expect(heard(pair, 'EphemeralSent')).toHaveLength(1);
    expect(closes(pair)).toStrictEqual([{ kind: 'close_other', code: 1000 }]);
  });

  test('lets the connection before answer what it was asked', () => {
    const { pair, room, owed } = leaving();
    expect(pair.machine.awaitsAnswers).toBe(true);
    expect(pair.world.calls.filter((call) => call === 'SendMessage')).toHaveLength(1);
    release(pair);
    expect(pair.reply(owed)).toMatchObject({ seq: 1 });
    expect(pair.world.room(room).log).toHaveLength(1);
    expect(pair.texts).toStrictEqual(['owed']);
    expect(pair.machine.awaitsAnswers).toBe(false);
  });

  test('keeps the order of a room behind what the connection before has yet to answer', () => {
    const { pair, room } = leaving();
    const other = pair.world.createRoom().id;
    const behind = pair.call('SendMessage', { room, text: 'behind' }, 'behind');
    const elsewhere = pair.call('SendMessage', { room: other, text: 'elsewhere' }, 'elsewhere');
    expect(pair.answers.has(behind)).toBe(false);
    pair.reply(elsewhere);
    release(pair);
    expect(pair.reply(behind)).toMatchObject({ seq: 2 });
    expect(pair.texts).toStrictEqual(['owed', 'behind']);
  });

  test('counts a call that was given up, too: what follows it stays behind it', () => {
    const { pair, room, owed } = leaving();
    pair.machine.cancel(owed);
    pair.pump();
    expect(pair.other?.cancelled).toHaveLength(1);
    expect(pair.connection?.cancelled).toStrictEqual([]);
    const behind = pair.call('SendMessage', { room, text: 'behind' }, 'behind');
    expect(pair.answers.has(behind)).toBe(false);
    release(pair);
    pair.reply(behind);
  });

  test('does not wait for the connection before for longer than two seconds', () => {
    const { pair, room, owed } = leaving();
    pair.advance(1_999);
    expect(closes(pair)).toStrictEqual([]);
    pair.advance(1);
    expect(closes(pair)).toStrictEqual([{ kind: 'close_other', code: 1000 }]);
    expect(pair.reply(owed)).toMatchObject({ seq: 1 });
    expect(pair.world.attempts.slice(-1)).toStrictEqual([['SendMessage', 'owed']]);
    expect(pair.world.room(room).log).toHaveLength(1);
    expect(told(pair)).toStrictEqual([]);
  });

  test('repeats what a lost connection before owed, but no write without a key', () => {
    const { pair, room } = inRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    const keyed = pair.call('SendMessage', { room, text: 'keyed' }, 'keyed');
    const keyless = pair.call('SendMessage', { room, text: 'keyless' });
    const momentary = pair.call('Typing', { room });
    pair.handOver();
    pair.cutOther();
    expect(pair.reply(keyed)).toMatchObject({ seq: 1 });
    for (const ticket of [keyless, momentary]) {
      expect(pair.fault(ticket).code).toBe(CODES.disconnected.number);
    }
    expect(told(pair)).toStrictEqual([]);
  });

  test('numbers calls on, so that no answer is taken for another', () => {
    const { pair, owed } = leaving();
    const echoes = [1, 2, 3].map((n) => pair.call('Echo', { data: Uint8Array.of(n) }));
    for (const [at, ticket] of echoes.entries()) {
      expect(pair.reply(ticket)['data']).toStrictEqual(Uint8Array.of(at + 1));
    }
    release(pair);
    expect(pair.reply(owed)).toHaveProperty('seq');
  });

  test('waits while a call is on the wire that changes a connection, and others of the kind wait for it', () => {
    const { pair, room } = inRoom();
    const present = pair.connection;
    if (present === undefined) throw new Error('not connected');
    present.held = true;
    const closing = pair.call('CloseRoom', { room });
    pair.handOver();
    const opening = pair.call('OpenRoom', { room: pair.world.createRoom().id });
    const echo = pair.call('Echo', { data: new Uint8Array() });
    expect(pair.kinds()).not.toContain('take_over');
    expect(pair.world.calls).toStrictEqual(['CloseRoom', 'Echo']);
    present.held = false;
    present.flush();
    expect(pair.kinds()).toContain('take_over');
    for (const ticket of [closing, opening, echo]) pair.reply(ticket);
    expect(pair.machine.cursors.rooms).toHaveLength(1);
  });

  test('asks for all streams once, whatever was going to be asked again', () => {
    const { pair, room } = inRoom();
    pair.world.before = (method) => {
      if (method === 'OpenRoom') throw new Refusal('overloaded', { retry_after_ms: 5_000 });
    };
    pair.cut();
    pair.advance(30_000);
    pair.connection?.end();
    pair.world.calls.length = 0;
    pair.world.before = () => undefined;
    pair.handOver();
    pair.advance(30_000);
    expect(pair.world.calls).toStrictEqual(['Resume', 'Echo']);
    expect(pair.machine.cursors.rooms?.map((cursor) => cursor.room)).toStrictEqual([room]);
    expect(pair.machine.connection.state).toBe('online');
  });

  test('gives the next connection up after five seconds of that', () => {
    const { pair, room } = inRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    pair.call('CloseRoom', { room });
    pair.handOver();
    pair.advance(3_000);
    pair.receive(frame('ping', 1, 0));
    pair.advance(1_999);
    expect(closes(pair)).toStrictEqual([]);
    pair.advance(1);
    expect(closes(pair)).toStrictEqual([{ kind: 'close_other', code: 1000 }]);
    expect(pair.machine.isHandingOver).toBe(false);
    expect(pair.machine.connection.state).toBe('online');
  });

  test('takes the present connection for lost when nothing has come over it in that time', () => {
    const { pair, room } = inRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    const closing = pair.call('CloseRoom', { room });
    pair.advance(3_000);
    pair.handOver();
    const next = pair.other;
    pair.advance(5_000);
    expect(closes(pair)).toStrictEqual([{ kind: 'close', code: CLOSE_CODES.heartbeat_missed }]);
    expect(pair.connection).toBe(next);
    pair.reply(closing);
    expect(pair.machine.connection.state).toBe('online');
    expect(pair.kinds()).not.toContain('connect');
  });
});

describe('the next connection', () => {
  test('is given up when it is not welcomed in time', () => {
    const { pair } = inRoom();
    pair.handOver(true);
    pair.advance(9_999);
    expect(closes(pair)).toStrictEqual([]);
    pair.advance(1);
    expect(closes(pair)).toStrictEqual([{ kind: 'close_other', code: CLOSE_CODES.handshake_timeout }]);
    expect(told(pair)).toStrictEqual([]);
  });

  test.each([
    ['of another version', { v: 2 }, CLOSE_CODES.protocol_error],
    ['with the token refused', { identity: undefined, refused: { code: 1, message: 'no' } }, 1000],
    ['of nobody', { identity: undefined }, 1000],
  ])('is given up after a welcome %s', (_, fields, code) => {
    const { pair } = ahead(fields);
    expect(closes(pair)).toStrictEqual([{ kind: 'close_other', code }]);
    expect(told(pair)).toStrictEqual([]);
    expect(pair.machine.stats.handovers).toBe(0);
  });

  test('is given up when it is of another session of the player', () => {
    const { pair } = inRoom();
    pair.handOver(true);
    const [user] = pair.world.users.values();
    const identity = { ...pair.world.identityOf(user?.user ?? ''), session: idOf(8) };
    pair.otherReceive(welcome(pair, { identity }));
    expect(closes(pair)).toStrictEqual([{ kind: 'close_other', code: 1000 }]);
  });

  test.each([
    ['bytes that are no frame', Uint8Array.of(0xc1)],
    ['a reply', frame('reply', 1, {})],
    ['a goaway', frame('goaway', { reason: 'drain', reconnect: true, within_ms: 1 })],
  ])('is given up over %s before it has taken over', (_, message) => {
    const { pair, room } = inRoom();
    pair.handOver(true);
    pair.otherReceive(message);
    expect(closes(pair)).toStrictEqual([{ kind: 'close_other', code: CLOSE_CODES.protocol_error }]);
    pair.world.post(pair.world.room(room), 'still served');
    expect(pair.texts).toStrictEqual(['still served']);
  });

  test('takes the place of the present one that is lost before the welcome', () => {
    const { pair, room } = inRoom();
    pair.handOver(true);
    const next = pair.other;
    pair.cut();
    expect(pair.connection).toBe(next);
    expect(pair.kinds()).not.toContain('connect');
    if (next !== undefined) next.held = false;
    next?.flush();
    pair.world.post(pair.world.room(room), 'here');
    expect(pair.texts).toStrictEqual(['here']);
    expect(pair.machine.connection.state).toBe('online');
    expect(pair.machine.isHandingOver).toBe(false);
  });

  test('takes the place of the present one that is lost while it waits', () => {
    const { pair, room } = inRoom();
    const lost = pair.connection;
    if (lost !== undefined) lost.held = true;
    const closing = pair.call('CloseRoom', { room });
    pair.handOver();
    pair.advance(4_000);
    const next = pair.other;
    pair.cut();
    expect(pair.connection).toBe(next);
    expect(pair.kinds()).not.toContain('connect');
    pair.reply(closing);
    expect(pair.machine.connection.state).toBe('online');
  });

  test('does not take the place of one that ended for good, nor after a goaway or a stop', () => {
    const ends: ((pair: Pair) => void)[] = [
      (pair) => {
        pair.cut(4300);
      },
      (pair) => {
        pair.receive(frame('goaway', { reason: 'drain', reconnect: true, within_ms: 1 }));
      },
      (pair) => {
        pair.machine.stop();
        pair.pump();
      },
    ];
    for (const end of ends) {
      const { pair } = inRoom();
      pair.handOver(true);
      end(pair);
      expect(pair.kinds()).toContain('close_other');
      expect(pair.kinds()).not.toContain('take_over');
      expect(pair.other).toBeUndefined();
    }
  });

  test('goes when the present one is lost that has just taken over', () => {
    const { pair, owed } = leaving();
    pair.cut();
    expect(pair.other).toBeUndefined();
    pair.advance(30_000);
    expect(pair.reply(owed)).toMatchObject({ seq: 1 });
  });

  test('is not asked for while it is not the time for it', () => {
    const offline = new Pair();
    expect(offline.handOver()).toBe(false);
    const { pair } = inRoom();
    expect(pair.machine.mayHandOver).toBe(true);
    pair.handOver(true);
    expect(pair.machine.mayHandOver).toBe(false);
    expect(pair.handOver()).toBe(false);
    const away = inRoom().pair;
    away.receive(frame('goaway', { reason: 'drain', reconnect: true, within_ms: 1 }));
    expect(away.handOver()).toBe(false);
  });

  test('says where the server takes QUIC', () => {
    const quic = { port: 7351, certificate_hash: 'ab'.repeat(32) };
    const { pair } = ahead({ quic });
    expect(pair.machine.quic).toStrictEqual(quic);
  });
});

describe('what both connections tell', () => {
  test('is handed up once, and as often as it was said', () => {
    const { pair, room } = leaving();
    for (const text of ['a', 'b', 'b']) pair.receive(ephemeral(room, text));
    for (const text of ['a', 'b', 'b', 'c']) pair.otherReceive(ephemeral(room, text));
    pair.receive(ephemeral(room, 'c'));
    expect(heard(pair, 'EphemeralSent').map(({ text }) => text)).toStrictEqual(['a', 'b', 'b', 'c']);
  });

  test('counts also before the next connection has taken over', () => {
    const { pair, room } = inRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    pair.call('CloseRoom', { room });
    pair.handOver();
    pair.otherReceive(ephemeral(room, 'a'));
    pair.receive(ephemeral(room, 'a'));
    expect(heard(pair, 'EphemeralSent')).toHaveLength(1);
  });

  test('is not heard from the one before by another player', () => {
    const { pair, room } = leaving();
    pair.reply(pair.call('Logout', {}, 'logout'));
    expect(closes(pair)).toStrictEqual([{ kind: 'close_other', code: 1000 }]);
    pair.otherReceive(ephemeral(room, 'late'));
    expect(heard(pair, 'EphemeralSent')).toStrictEqual([]);
  });

  test('counts again from nothing when the echoes are over', () => {
    const { pair, room } = leaving();
    pair.otherReceive(ephemeral(room, 'a'));
    pair.cutOther();
    pair.advance(4_999);
    expect(pair.machine.echoes).toBeDefined();
    pair.advance(1);
    expect(pair.machine.echoes).toBeUndefined();
    pair.receive(ephemeral(room, 'a'));
    expect(heard(pair, 'EphemeralSent')).toHaveLength(2);
  });

  test('holds no more than it may, and hands the rest up as it comes', () => {
    const { pair, room } = leaving();
    for (let n = 0; n < 5_000; n += 1) pair.receive(ephemeral(room, String(n)));
    expect(heard(pair, 'EphemeralSent')).toHaveLength(5_000);
    for (let n = 0; n < 5_000; n += 1) pair.otherReceive(ephemeral(room, String(n)));
    const more = heard(pair, 'EphemeralSent').length;
    expect(more).toBeGreaterThan(5_000);
    expect(more).toBeLessThanOrEqual(10_000 - 2_000);
  });

  test('is no older state after a newer one, of the same thing', () => {
    const { pair, room } = leaving();
    const presence = (user: string, status: string): Uint8Array =>
      frame('event', EVENTS.PlayerPresence.number, { presence: { user, status } });
    const read = (user: string, seq: number): Uint8Array =>
      frame('event', EVENTS.ReadMarkerMoved.number, { room, user, read: seq });
    pair.receive(presence(idOf(2), 'away'));
    pair.otherReceive(presence(idOf(2), 'online'));
    pair.otherReceive(presence(idOf(3), 'busy'));
    pair.receive(read(idOf(2), 5));
    pair.otherReceive(read(idOf(2), 4));
    pair.otherReceive(read(idOf(3), 4));
    const statuses = heard(pair, 'PlayerPresence').map(
      (body) => (body['presence'] as { status: string }).status,
    );
    expect(statuses).toStrictEqual(['away', 'busy']);
    expect(heard(pair, 'ReadMarkerMoved').map((body) => body['read'])).toStrictEqual([5, 4]);
  });

  test('is no state of a match with an older tick', () => {
    const { pair, room } = leaving();
    const state = (tick: number): Uint8Array => frame('state', room, tick, Uint8Array.of(tick));
    pair.receive(state(5));
    pair.otherReceive(state(4));
    pair.otherReceive(state(5));
    pair.otherReceive(state(7));
    pair.receive(state(6));
    const ticks = pair.outputs.flatMap((output) => (output.kind === 'state' ? [output.tick] : []));
    expect(ticks).toStrictEqual([5, 7]);
  });

  test('may come by datagrams, of which those are dropped that are no state', () => {
    const { pair, room } = leaving();
    const state = (tick: number): Uint8Array => frame('state', room, tick, Uint8Array.of(tick));
    const two = new Uint8Array([...state(8), ...state(9)]);
    for (const datagram of [state(5), state(4), two, ephemeral(room, 'x'), Uint8Array.of(0xc1), state(6)]) {
      pair.machine.receivedDatagram(datagram);
    }
    pair.machine.receivedDatagram(new Uint8Array(70_000));
    pair.pump();
    const ticks = pair.outputs.flatMap((output) => (output.kind === 'state' ? [output.tick] : []));
    expect(ticks).toStrictEqual([5, 6]);
    expect(heard(pair, 'EphemeralSent')).toStrictEqual([]);
    expect(pair.machine.connection.state).toBe('online');
  });

  test('is a room that was lost, once', () => {
    const { pair, room } = leaving();
    const lost = frame('event', EVENTS.RoomLost.number, { room, reason: 'kicked' });
    pair.otherReceive(lost);
    pair.receive(lost);
    expect(heard(pair, 'RoomLost')).toHaveLength(1);
    expect(pair.machine.cursors.rooms).toBeUndefined();
  });
});

describe('the connection before', () => {
  test('brings entries until the present one does, and nobody sees a gap or a wait', () => {
    const { pair, room } = inRoom();
    pair.handOver(true);
    const next = pair.other;
    if (next === undefined) throw new Error('no next connection');
    // The welcome comes, and the answer to the resume does not.
    pair.otherReceive(welcome(pair));
    expect(pair.kinds()).toContain('take_over');
    pair.world.post(pair.world.room(room), 'one');
    pair.world.post(pair.world.room(room), 'two');
    expect(pair.texts).toStrictEqual(['one', 'two']);
    expect(pair.machine.connection.state).toBe('online');
    expect(told(pair)).toStrictEqual([]);
  });

  test('has made a stream live, which it stays while the present one catches up with it', () => {
    const { pair, room } = inRoom();
    pair.handOver(true);
    pair.otherReceive(welcome(pair));
    for (const text of ['one', 'two']) pair.world.post(pair.world.room(room), text);
    expect(pair.texts).toStrictEqual(['one', 'two']);
    // The present one begins before them, and says so page by page.
    const opened = pair.world.view(pair.world.room(room));
    pair.receive(frame('reply', 2, { inbox: 0, rooms: [{ room, view: opened }] }));
    for (const seq of [1, 2]) {
      const position = { stream: room, seq, rev: 0, head: 2, live: false };
      pair.receive(frame('event', EVENTS.StreamPosition.number, position));
    }
    expect(told(pair)).toStrictEqual([]);
    const live = { stream: room, seq: 2, rev: 0, head: 2, live: true };
    pair.receive(frame('event', EVENTS.StreamPosition.number, live));
    pair.receive(frame('event', EVENTS.StreamPosition.number, { ...live, live: false }));
    expect(pair.machine.connection.state, 'once it is that far, it counts').toBe('catching_up');
  });

  test('is left to the present one where it leaves something out', () => {
    const { pair, room } = leaving();
    const before = pair.other;
    before?.skipOne(room);
    release(pair);
    pair.world.post(pair.world.room(room), 'next');
    expect(pair.texts).toStrictEqual(['owed', 'next']);
    expect(pair.machine.stats.holes).toBe(0);
  });

  test('does not sign the player out by a refusal', () => {
    const { pair, owed } = leaving();
    const call = 2;
    pair.otherReceive(frame('fault', call, { code: CODES.token_expired.number, message: 'late' }));
    expect(told(pair)).toStrictEqual([]);
    expect(pair.world.calls).not.toContain('RefreshTokens');
    expect(pair.reply(owed)).toHaveProperty('seq');
  });

  test('ends over what is no frame, and nothing else does', () => {
    const { pair, owed } = leaving();
    pair.otherReceive(Uint8Array.of(0xc1));
    expect(closes(pair)).toStrictEqual([{ kind: 'close_other', code: 1000 }]);
    expect(pair.reply(owed)).toMatchObject({ seq: 1 });
    expect(told(pair)).toStrictEqual([]);
  });

  test('answers what cannot be read, and that call ends', () => {
    const { pair, owed } = leaving();
    pair.otherReceive(frame('reply', 2, { seq: 'none' }));
    expect(pair.fault(owed).code).toBe(CODES.internal.number);
    expect(pair.machine.connection.state).toBe('online');
  });
});
