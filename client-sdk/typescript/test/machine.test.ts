import { describe, expect, test } from 'vitest';

import { codeName, faultOf } from '../src/errors.js';
import { CLOSE_CODES, CODES } from '../src/generated/codes.js';
import { METHODS } from '../src/generated/tables.js';
import { LIMITS } from '../src/generated/wire.js';
import type { MethodName } from '../src/machine/pending.js';
import { CALLS_HELD_MAX, Refused } from '../src/machine/calls.js';
import { reconnectAfter } from '../src/machine/lost.js';
import { refreshKey } from '../src/machine/sign-in.js';
import { backOffMs } from '../src/machine/types.js';
import { encode } from '../src/wire/writer.js';
import { Pair } from './support/driver.js';
import { idOf, Refusal } from './support/model.js';

type Line = (typeof METHODS)[MethodName];

const SECRET = 'a secret of sixteen';

/** A pair whose player has signed in. */
function signedIn(pair = new Pair()): Pair {
  pair.start();
  pair.reply(pair.call('LoginGuest', { secret: SECRET }, 'login'));
  return pair;
}

function inRoom(pair = signedIn()): { pair: Pair; room: string } {
  const reply = pair.reply(pair.call('CreateRoom', { kind: 'public', name: 'lobby' }, 'create'));
  const info = reply['info'] as { room: string };
  return { pair, room: info.room };
}

function send(pair: Pair, room: string, text: string, key = `send ${text}`): number {
  return pair.call('SendMessage', { room, text }, key);
}

describe('connecting', () => {
  test('goes from offline over connecting to online', () => {
    const pair = new Pair().start();
    const states = pair.outputs.flatMap((output) =>
      output.kind === 'connection' ? [output.connection.state] : [],
    );
    expect(states).toStrictEqual(['connecting', 'online']);
    expect(pair.kinds()[0]).toBe('connect');
  });

  test('waits longer after each failure, at random below a growing ceiling', () => {
    const pair = new Pair();
    pair.reachable = false;
    pair.start();
    pair.advance(120_000);
    const attempts = pair.kinds().filter((kind) => kind === 'connect').length;
    expect(attempts).toBeGreaterThan(8);
    expect(attempts).toBeLessThan(40);
    for (let n = 0; n < 12; n += 1) {
      const most = backOffMs({ baseMs: 250, capMs: 20_000 }, n, () => 0.999999);
      expect(most).toBe(Math.min(20_000, 250 * 2 ** n));
      expect(backOffMs({ baseMs: 250, capMs: 20_000 }, n, () => 0)).toBe(0);
    }
  });

  test('says why there is none: with each attempt in the state, and once in a series beside it', () => {
    const pair = new Pair();
    pair.reachable = false;
    pair.why = 'connect ECONNREFUSED 127.0.0.1:7350';
    const told = (): string[] =>
      pair.outputs.flatMap((output) => (output.kind === 'unreachable' ? [output.why] : []));
    pair.start();
    pair.advance(60_000);
    expect(told()).toStrictEqual([pair.why]);
    expect(pair.machine.connection).toMatchObject({ state: 'offline', why: pair.why });
    pair.reachable = true;
    pair.machine.retryNow(pair.now);
    pair.pump();
    expect(pair.machine.connection.state).toBe('online');
    pair.cut();
    expect(pair.machine.connection).toMatchObject({ state: 'offline', why: 'the connection broke' });
    // A connection that was lost is no attempt that failed.
    expect(told()).toHaveLength(1);
    pair.reachable = false;
    pair.advance(60_000);
    expect(told()).toHaveLength(2);
  });

  test('says why it was given up, in the words of the server if there were some', () => {
    const why = (pair: Pair): unknown => {
      const connections = pair.outputs.flatMap((output) =>
        output.kind === 'connection' && output.connection.state === 'offline' ? [output.connection.why] : [],
      );
      return connections[0];
    };
    const silent = new Pair();
    silent.delivers = false;
    silent.start().advance(10_000);
    expect(why(silent)).toBe('the server has not welcomed this client within 10000 ms');
    const malformed = new Pair().start();
    malformed.receive(Uint8Array.of(0xc1));
    expect(why(malformed)).toMatch(/\w/);
    const closed = new Pair().start();
    closed.cut(4101);
    expect(why(closed)).toBe('the server closed the connection with code 4101');
    const blamed = new Pair().start();
    blamed.connection?.frame('fault', 0, faultOf('overloaded', 'this server is full'));
    blamed.connection?.flush();
    blamed.cut(4101);
    expect(why(blamed)).toBe('this server is full');
  });

  test('gives a silent server up after the handshake time', () => {
    const pair = new Pair();
    pair.delivers = false;
    pair.start();
    pair.advance(10_000);
    expect(pair.outputs).toContainEqual({ kind: 'close', code: CLOSE_CODES.handshake_timeout });
  });

  test('answers pings, and gives a connection up that is silent for twice the interval', () => {
    const pair = new Pair().start();
    pair.connection?.ping(5);
    expect(pair.connection?.pongs).toBe(1);
    pair.advance(1_999);
    expect(pair.kinds()).not.toContain('close');
    pair.advance(1);
    expect(pair.outputs).toContainEqual({ kind: 'close', code: CLOSE_CODES.heartbeat_missed });
  });

  test.each([
    [4000, 'now'],
    [1001, 'now'],
    [4100, 'back_off'],
    [1006, 'back_off'],
    [1011, 'back_off'],
    [4201, 'after_sign_in'],
    [4300, 'never'],
    [1002, 'never'],
    [undefined, 'back_off'],
    [65_000, 'back_off'],
  ])('close code %s asks for %s', (code, expected) => {
    expect(reconnectAfter(code)).toBe(expected);
  });

  test('stays away when the server says so, and ends all calls', () => {
    const { pair, room } = inRoom();
    pair.delivers = false;
    const ticket = send(pair, room, 'lost');
    pair.cut(4300);
    expect(pair.machine.connection).toStrictEqual({ state: 'stopped', code: 4300 });
    expect(codeName(pair.fault(ticket).code)).toBe('disconnected');
    expect(() => pair.machine.call({ method: 'Echo', request: { data: new Uint8Array() } })).toThrow(Refused);
    expect(pair.machine.nextTimeout).toBeUndefined();
  });

  test('spreads the return over the time that a goaway gives', () => {
    const pair = new Pair({ random: () => 0.5 }).start();
    pair.connection?.frame('goaway', { reason: 'drain', reconnect: true, within_ms: 8_000 });
    pair.connection?.flush();
    pair.cut(4001);
    expect(pair.machine.connection).toStrictEqual({
      state: 'offline',
      retryAt: 4_000,
      why: 'the server closed the connection with code 4001',
    });
    pair.machine.retryNow(pair.now);
    pair.pump();
    expect(pair.machine.connection.state).toBe('online');
  });

  test('does not let a goaway keep it away for long', () => {
    const pair = new Pair({ random: () => 0.999999 }).start();
    pair.connection?.frame('goaway', { reason: 'drain', reconnect: true, within_ms: 2 ** 50 });
    pair.connection?.flush();
    pair.cut(4001);
    expect(pair.machine.nextTimeout).toBeLessThanOrEqual(600_000);
  });

  test('a malformed message ends the connection, not the client', () => {
    const { pair, room } = inRoom();
    pair.receive(Uint8Array.of(0xc1));
    expect(pair.outputs).toContainEqual({ kind: 'close', code: CLOSE_CODES.protocol_error });
    pair.advance(1_000);
    expect(pair.machine.connection.state).toBe('online');
    pair.reply(send(pair, room, 'still here'));
  });

  test('an oversized message ends the connection', () => {
    const pair = new Pair().start();
    pair.receive(new Uint8Array(LIMITS.MESSAGE_BYTES_MAX + 1));
    expect(pair.outputs).toContainEqual({ kind: 'close', code: CLOSE_CODES.protocol_error });
  });
});

describe('calls', () => {
  test('wait for a connection and for the player, and go out in order', () => {
    const pair = new Pair();
    const room = pair.world.createRoom();
    pair.call('LoginGuest', { secret: SECRET }, 'login');
    const sends = ['1', '2', '3'].map((text) => send(pair, room.id, text));
    expect(pair.answers.size).toBe(0);
    pair.start();
    expect(sends.map((ticket) => pair.reply(ticket)['seq'])).toStrictEqual([1, 2, 3]);
  });

  test('are repeated under their key after a lost reply, with one effect', () => {
    const { pair, room } = inRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    const ticket = send(pair, room, 'once');
    expect(pair.answers.has(ticket)).toBe(false);
    pair.cut();
    pair.advance(1_000);
    expect(pair.reply(ticket)['seq']).toBe(1);
    expect(pair.world.room(room).head).toBe(1);
    expect(pair.texts).toStrictEqual(['once']);
  });

  test('that write without a key end when the connection goes away', () => {
    const { pair, room } = inRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    const keyless = pair.call('SendMessage', { room, text: 'x' });
    const reading = pair.call('Echo', { data: Uint8Array.of(1) });
    pair.cut();
    expect(codeName(pair.fault(keyless).code)).toBe('disconnected');
    pair.advance(1_000);
    expect(pair.reply(reading)['data']).toStrictEqual(Uint8Array.of(1));
  });

  test('for the moment neither wait for a connection nor are repeated', () => {
    const { pair, room } = inRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    pair.world.calls.length = 0;
    const onWire = pair.call('SendEphemeral', { room, text: 'o/' });
    const typing = pair.call('Typing', { room });
    expect(pair.world.calls).toStrictEqual(['SendEphemeral', 'Typing']);
    pair.world.calls.length = 0;
    pair.cut();
    const offline = pair.call('SendEphemeral', { room, text: 'o/' });
    for (const ticket of [onWire, typing, offline]) {
      expect(codeName(pair.fault(ticket).code)).toBe('disconnected');
    }
    pair.advance(1_000);
    const online = pair.call('SendEphemeral', { room, text: 'o/' });
    expect(pair.reply(online)).toStrictEqual({});
    expect(pair.world.calls).toStrictEqual(['Resume', 'SendEphemeral']);
  });

  test('are at most as many on the wire as the server allows, with places for the machine', () => {
    const { pair } = inRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    const before = pair.world.calls.length;
    for (let n = 0; n < 100; n += 1) pair.call('Echo', { data: new Uint8Array() });
    expect(pair.world.calls.length - before).toBe(LIMITS.CALLS_IN_FLIGHT_MAX - 4);
    if (pair.connection !== undefined) pair.connection.held = false;
    pair.connection?.flush();
    expect(pair.world.calls.length - before).toBe(100);
  });

  test('beyond the bound are refused at once', () => {
    const pair = new Pair();
    for (let n = 0; n < CALLS_HELD_MAX; n += 1) pair.call('Echo', { data: new Uint8Array() });
    expect(() => pair.call('Echo', { data: new Uint8Array() })).toThrow(Refused);
    pair.start();
    expect(pair.answers.size).toBe(CALLS_HELD_MAX);
  });

  test('that are longer than a frame, or carry a bad key, are refused', () => {
    const pair = new Pair();
    const why = (step: () => unknown): string | undefined => {
      try {
        step();
      } catch (error) {
        if (error instanceof Refused) return error.why;
      }
      return undefined;
    };
    expect(why(() => pair.call('Echo', { data: new Uint8Array(LIMITS.FRAME_BYTES_MAX) }))).toBe('too_long');
    for (const key of ['', 'k'.repeat(65), '안'.repeat(22)]) {
      expect(why(() => pair.call('Echo', { data: new Uint8Array() }, key))).toBe('key');
    }
  });

  test('end with deadline, on the wire or waiting', () => {
    const pair = new Pair();
    const waiting = pair.machine.call({ method: 'Echo', request: { data: new Uint8Array() }, deadline: 50 });
    pair.advance(49);
    expect(pair.answers.size).toBe(0);
    pair.advance(1);
    expect(codeName(pair.fault(waiting).code)).toBe('deadline');
    pair.start();
    if (pair.connection !== undefined) pair.connection.held = true;
    const ticket = pair.machine.call({ method: 'Echo', request: { data: new Uint8Array() }, deadline: 99 });
    pair.pump();
    pair.advance(50);
    expect(codeName(pair.fault(ticket).code)).toBe('deadline');
    expect(pair.connection?.cancelled).toHaveLength(1);
  });

  test('that end with deadline say why there was no connection', () => {
    const echo = { method: 'Echo', request: { data: new Uint8Array() } } as const;
    const idle = new Pair();
    const early = idle.machine.call({ ...echo, deadline: 50 });
    idle.advance(50);
    expect(idle.fault(early).message).toBe('No answer came in time; never connected: connect was not called');
    const pair = new Pair();
    pair.reachable = false;
    pair.why = 'connection refused';
    pair.start();
    const never = pair.machine.call({ ...echo, deadline: 5_000 });
    pair.advance(5_000);
    expect(pair.fault(never).message).toBe('No answer came in time; never connected: connection refused');
    pair.reachable = true;
    pair.machine.retryNow(pair.now);
    pair.pump();
    pair.reachable = false;
    pair.cut();
    const lost = pair.machine.call({ ...echo, deadline: pair.now + 5_000 });
    pair.advance(5_000);
    expect(pair.fault(lost).message).toMatch(/; not connected: connection refused$/);
  });

  test('that are cancelled get no answer, and the server is told', () => {
    const pair = new Pair().start();
    if (pair.connection !== undefined) pair.connection.held = true;
    const ticket = pair.call('Echo', { data: new Uint8Array() });
    pair.machine.cancel(ticket);
    pair.pump();
    expect(pair.connection?.cancelled).toStrictEqual([1]);
    if (pair.connection !== undefined) pair.connection.held = false;
    pair.connection?.flush();
    expect(pair.answers.has(ticket)).toBe(false);
  });

  test('that are cancelled keep their place on the wire until the server has answered', () => {
    const pair = new Pair().start();
    if (pair.connection !== undefined) pair.connection.held = true;
    const most = LIMITS.CALLS_IN_FLIGHT_MAX - 4;
    for (let n = 0; n < most; n += 1) pair.machine.cancel(pair.call('Echo', { data: new Uint8Array() }));
    pair.pump();
    const late = pair.call('Echo', { data: new Uint8Array() });
    expect(pair.world.calls).toHaveLength(most);
    if (pair.connection !== undefined) pair.connection.held = false;
    pair.connection?.flush();
    pair.reply(late);
  });

  test('refused as too fast are repeated after the time, and later sends of the room stay behind', () => {
    const { pair, room } = inRoom();
    let refusals = 2;
    pair.world.before = (method) => {
      if (method === 'SendMessage' && refusals-- > 0)
        throw new Refusal('rate_limited', { retry_after_ms: 100 });
    };
    const sends = ['a', 'b', 'c', 'd'].map((text) => send(pair, room, text));
    expect(pair.answers.has(sends[0] ?? 0)).toBe(false);
    pair.advance(400);
    for (const ticket of sends) pair.reply(ticket);
    const log = pair.world.room(room).log;
    expect(log.map(({ body }) => (body['msg'] as { text: string }).text)).toStrictEqual(['a', 'b', 'c', 'd']);
    expect(pair.texts).toStrictEqual(['a', 'b', 'c', 'd']);
  });

  test('refused for good are answered with the fault', () => {
    const { pair } = inRoom();
    const ticket = send(pair, idOf(999_999), 'nowhere');
    expect(codeName(pair.fault(ticket).code)).toBe('room_not_found');
  });

  test('with a reply that does not fit its type end, and the connection goes on', () => {
    const { pair, room } = inRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    const ticket = send(pair, room, 'x');
    pair.receive(encode([9, 3, { seq: 'one', at: 1 }]));
    expect(codeName(pair.fault(ticket).code)).toBe('internal');
    expect(pair.kinds()).not.toContain('close');
    expect(pair.kinds()).toContain('unreadable');
  });
});

describe('first attempts', () => {
  const follows = (): { pair: Pair; room: string } => {
    const at = inRoom();
    for (const text of ['1', '2', '3']) at.pair.world.post(at.pair.world.room(at.room), text);
    at.pair.world.attempts.length = 0;
    return at;
  };

  test('say what the server had told of their room', () => {
    const { pair, room } = follows();
    send(pair, room, 'a');
    pair.world.edit(pair.world.room(room), 1, 'edited');
    send(pair, room, 'b');
    pair.machine.pause(true);
    pair.world.post(pair.world.room(room), 'held back');
    send(pair, room, 'c');
    expect(pair.world.attempts).toStrictEqual([
      ['SendMessage', 'send a', 3],
      ['SendMessage', 'send b', 4],
      ['SendMessage', 'send c', 6],
    ]);
  });

  test('hear of the newest message from replies and positions too', () => {
    const { pair, room } = follows();
    if (pair.connection !== undefined) pair.connection.held = true;
    pair.world.room(room).head = 100;
    send(pair, room, 'x');
    const number = pair.world.calls.length;
    pair.receive(encode([9, number, { seq: 30, at: 1 }]));
    send(pair, room, 'a', 'after a reply');
    pair.call('ReadHistory', { room });
    pair.receive(encode([9, number + 2, { messages: [], first: 1, head: 40, rev: 0 }]));
    send(pair, room, 'b', 'after history');
    pair.receive(encode([11, 16, { stream: room, seq: 3, rev: 0, head: 50, live: false }]));
    send(pair, room, 'c', 'after a page');
    pair.receive(encode([15, room, 0, 4, 60]));
    send(pair, room, 'd', 'after a gap');
    pair.receive(encode([15, room, 1, 1, 90]));
    send(pair, room, 'e', 'after a gap of changes');
    expect(pair.world.attempts.map(([, , head]) => head)).toStrictEqual([3, 30, 40, 50, 60, 60]);
  });

  test('are not repetitions: those say nothing', () => {
    const { pair, room } = follows();
    const refusals: ('rate_limited' | 'overloaded')[] = ['rate_limited', 'overloaded'];
    pair.world.before = () => {
      const code = refusals.shift();
      if (code !== undefined) throw new Refusal(code, { retry_after_ms: 10 });
    };
    pair.call('EditMessage', { room, seq: 1, text: 'anew' }, 'edit');
    pair.advance(1_000);
    if (pair.connection !== undefined) pair.connection.held = true;
    send(pair, room, 'c');
    pair.cut();
    pair.advance(1_000);
    expect(pair.world.attempts.filter(([, key]) => key === 'edit')).toStrictEqual([
      ['EditMessage', 'edit', 3],
      ['EditMessage', 'edit'],
      ['EditMessage', 'edit'],
    ]);
    expect(pair.world.attempts.filter(([, key]) => key === 'send c')).toStrictEqual([
      ['SendMessage', 'send c', 3],
      ['SendMessage', 'send c'],
    ]);
  });

  test('that wait for a connection or a place on the wire say what was seen when they were made', () => {
    const { pair, room } = follows();
    pair.cut();
    send(pair, room, 'offline');
    pair.world.post(pair.world.room(room), 'meanwhile');
    pair.advance(1_000);
    expect(pair.world.attempts).toStrictEqual([['SendMessage', 'send offline', 3]]);
    if (pair.connection !== undefined) pair.connection.held = true;
    for (let n = 0; n < LIMITS.CALLS_IN_FLIGHT_MAX - 4; n += 1) pair.call('Echo', { data: new Uint8Array() });
    send(pair, room, 'behind');
    if (pair.connection !== undefined) pair.connection.held = false;
    pair.world.post(pair.world.room(room), 'ahead');
    expect(pair.world.attempts.at(-1)).toStrictEqual(['SendMessage', 'send behind', 5]);
    send(pair, room, 'now');
    expect(pair.world.attempts.at(-1)).toStrictEqual(['SendMessage', 'send now', 7]);
  });

  test('say nothing of a room that is not followed', () => {
    const { pair, room } = follows();
    const heads = (): (number | undefined)[] => pair.world.attempts.splice(0).map(([, , head]) => head);
    const other = pair.world.createRoom();
    send(pair, other.id, 'elsewhere');
    pair.reply(pair.call('CloseRoom', { room }));
    send(pair, room, 'closed');
    expect(heads()).toStrictEqual([undefined, undefined]);
    pair.reply(pair.call('JoinRoom', { room }, 'join'));
    send(pair, room, 'joined');
    expect(heads()).toStrictEqual([undefined, 4]);
    pair.connection?.event('RoomLost', { room, reason: 'kicked' });
    pair.connection?.flush();
    send(pair, room, 'kicked');
    expect(heads()).toStrictEqual([undefined]);
  });

  test('take back what the server has forgotten, and believe the application nothing', () => {
    const { pair, room } = follows();
    const there = pair.world.room(room);
    there.head = 1;
    there.log.length = 1;
    pair.cut();
    pair.advance(1_000);
    send(pair, room, 'anew');
    expect(pair.world.attempts.at(-1)).toStrictEqual(['SendMessage', 'send anew', 1]);

    const later = new Pair({ resume: { rooms: [{ room, seq: 9, rev: 0 }] } });
    later.call('LoginGuest', { secret: SECRET }, 'login');
    send(later, room, 'early');
    later.world.rooms.set(room, there);
    later.start();
    send(later, room, 'resumed');
    const sends = later.world.attempts.filter(([method]) => method === 'SendMessage');
    expect(sends).toStrictEqual([
      ['SendMessage', 'send early'],
      ['SendMessage', 'send resumed', 3],
    ]);
  });

  test('are the writes at rooms, under a key that is new', () => {
    for (const [method, { place, effect }] of Object.entries(METHODS) as [MethodName, Line][]) {
      for (const keyIsNew of [true, false]) {
        const { pair, room } = follows();
        if (pair.connection !== undefined) pair.connection.held = true;
        const request = { room, user: idOf(1), access: 'access', refresh: 'refresh', seq: 1 };
        pair.machine.call({ method, request, key: 'k', keyIsNew });
        pair.pump();
        const tells = keyIsNew && place === 'room' && effect === 'writes';
        const expected = tells ? [method, 'k', 3] : [method, 'k'];
        expect(pair.world.attempts[0], method).toStrictEqual(expected);
      }
    }
  });
});

describe('signing in', () => {
  test('comes back by the access token, with hello, resume and held calls in one message', () => {
    const { pair, room } = inRoom();
    pair.cut();
    send(pair, room, 'while away');
    pair.world.calls.length = 0;
    pair.advance(1_000);
    expect(pair.world.calls).toStrictEqual(['Resume', 'SendMessage']);
    expect(pair.texts).toStrictEqual(['while away']);
    expect(pair.machine.connection.state).toBe('online');
  });

  test('renews the tokens after four fifths of their time, once', () => {
    const pair = new Pair();
    pair.world.tokenMs = 100_000;
    pair.world.pingMs = 1_000_000;
    signedIn(pair);
    pair.advance(79_999);
    expect(pair.world.calls).not.toContain('RefreshTokens');
    pair.advance(1);
    expect(pair.world.calls.filter((name) => name === 'RefreshTokens')).toHaveLength(1);
    const tokens = pair.outputs.filter((output) => output.kind === 'tokens');
    expect(tokens).toHaveLength(2);
  });

  test.each(['reconnects', 'is handed over'])('renews them no later when it often %s', (how) => {
    const pair = new Pair();
    pair.world.tokenMs = 100_000;
    pair.world.pingMs = 1_000_000;
    signedIn(pair);
    for (let at = 0; at < 75_000; at += 5_000) {
      if (how === 'reconnects') pair.cut();
      else pair.handOver();
      pair.advance(5_000);
      expect(pair.world.calls).not.toContain('RefreshTokens');
    }
    pair.advance(10_000);
    expect(pair.world.calls.filter((name) => name === 'RefreshTokens')).toHaveLength(1);
  });

  test('renews them in time when its clock stood still while the device slept', () => {
    const pair = new Pair();
    pair.world.tokenMs = 100_000;
    pair.world.pingMs = 1_000_000;
    signedIn(pair);
    pair.cut();
    const awake = pair.world.now;
    pair.world.now = () => awake() + 90_000;
    pair.advance(9_000);
    expect(pair.world.calls.filter((name) => name === 'RefreshTokens')).toHaveLength(1);
  });

  test('stays away while the player is suspended, whatever it tried, and keeps the tokens', () => {
    const byHello = (pair: Pair): void => {
      pair.world.suspended = 'spam';
    };
    const byRefresh = (pair: Pair): void => {
      for (const user of pair.world.users.values()) user.access.clear();
      pair.world.before = (method) => {
        if (method === 'RefreshTokens') throw new Refusal('suspended');
      };
    };
    for (const suspend of [byHello, byRefresh]) {
      const pair = signedIn();
      suspend(pair);
      pair.cut();
      pair.advance(9_000);
      expect(pair.machine.connection).toMatchObject({ state: 'stopped', code: CLOSE_CODES.suspended });
      const told = pair.outputs.flatMap((output) => (output.kind === 'fault' ? [output.fault] : []));
      expect(told).toMatchObject([{ code: CODES.suspended.number }]);
      const kinds = pair.outputs.map((output) => output.kind);
      expect(kinds).not.toContain('signed_out');
      expect(kinds.filter((kind) => kind === 'tokens')).toHaveLength(1);
    }
  });

  test('gets new tokens when the server does not take the access token, and nothing is lost', () => {
    const { pair, room } = inRoom();
    for (const user of pair.world.users.values()) user.access.clear();
    pair.cut();
    const ticket = send(pair, room, 'kept');
    pair.advance(1_000);
    expect(pair.world.calls).toContain('RefreshTokens');
    expect(pair.reply(ticket)['seq']).toBe(1);
    expect(pair.texts).toStrictEqual(['kept']);
    expect(pair.kinds()).not.toContain('signed_out');
  });

  test('asks the player when the refresh token is refused too', () => {
    const { pair, room } = inRoom();
    pair.world.users.clear();
    pair.cut();
    const ticket = send(pair, room, 'homeless');
    pair.advance(1_000);
    expect(codeName(pair.fault(ticket).code)).toBe('token_invalid');
    expect(pair.kinds()).toContain('signed_out');
    expect(pair.machine.identity).toBeUndefined();
    expect(pair.machine.connection.state).toBe('online');
  });

  test('a late refusal of an earlier sign-in does not end the present one', () => {
    const { pair, room } = inRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    const tickets = ['a', 'b'].map((text) => send(pair, room, text));
    const refusal = { code: CODES.unauthenticated.number, message: 'who is it?' };
    pair.receive(encode([10, 3, refusal]));
    pair.connection?.flush();
    expect(pair.world.calls.at(-1)).toBe('RefreshTokens');
    if (pair.connection !== undefined) pair.connection.held = false;
    pair.connection?.flush();
    pair.receive(encode([10, 4, refusal]));
    expect(pair.world.calls.filter((name) => name === 'RefreshTokens')).toHaveLength(1);
    expect(pair.machine.connection.state).toBe('online');
    for (const ticket of tickets) pair.reply(ticket);
  });

  test('a close for an ended sign-in leads to a refresh', () => {
    const { pair } = inRoom();
    pair.cut(4201);
    pair.advance(1_000);
    expect(pair.world.calls).toContain('RefreshTokens');
    expect(pair.machine.connection.state).toBe('online');
  });

  test('signing out forgets tokens and rooms', () => {
    const { pair } = inRoom();
    pair.reply(pair.call('Logout', {}, 'out'));
    expect(pair.machine.cursors).toStrictEqual({});
    expect(pair.outputs).toContainEqual({ kind: 'tokens', tokens: {}, from: 'sign_out' });
    expect(pair.outputs).toContainEqual({ kind: 'signed_out', fault: undefined });
  });

  test('one refresh token always has the same key', () => {
    expect(refreshKey('a')).toBe('refresh-d228cb696f1a8caf78912b704e4a8964');
    expect(refreshKey('token-1')).not.toBe(refreshKey('token-2'));
  });
});

describe('streams', () => {
  test('are back-filled in pages from the cursor, each acknowledged', () => {
    const { pair, room } = inRoom();
    const there = pair.world.room(room);
    pair.cut();
    for (let n = 1; n <= 10; n += 1) pair.world.post(there, String(n));
    pair.world.edit(there, 1, 'edited');
    pair.advance(1_000);
    expect(pair.texts).toStrictEqual(['1', '2', '3', '4', '5', '6', '7', '8', '9', '10']);
    expect(pair.machine.cursors).toStrictEqual({ epoch: 1, rooms: [{ room, seq: 10, rev: 1 }] });
    expect(pair.machine.connection.state).toBe('online');
  });

  test('open where the call asks', () => {
    const pair = signedIn();
    const room = pair.world.createRoom();
    for (let n = 1; n <= 4; n += 1) pair.world.post(room, String(n));
    pair.reply(pair.call('OpenRoom', { room: room.id, seq: 1 }));
    expect(pair.texts).toStrictEqual(['2', '3', '4']);
  });

  test('drop what came twice', () => {
    const { pair, room } = inRoom();
    pair.reply(send(pair, room, 'a'));
    const [entry] = pair.world.room(room).log;
    pair.connection?.event('MessageSent', entry?.body ?? {});
    pair.connection?.flush();
    expect(pair.texts).toStrictEqual(['a']);
  });

  test('with a hole are opened again from the cursor', () => {
    const { pair, room } = inRoom();
    const there = pair.world.room(room);
    pair.world.post(there, '1');
    pair.connection?.skipOne(room);
    for (const text of ['2', '3', '4']) pair.world.post(there, text);
    expect(pair.texts).toStrictEqual(['1', '2', '3', '4']);
    expect(pair.machine.stats.holes).toBe(1);
  });

  test('tell of what retention removed', () => {
    const { pair, room } = inRoom();
    const there = pair.world.room(room);
    pair.cut();
    for (let n = 1; n <= 6; n += 1) pair.world.post(there, String(n));
    pair.world.retain(there, 4);
    pair.advance(1_000);
    expect(pair.outputs).toContainEqual({ kind: 'gap', stream: room, missing: 'messages', from: 1, to: 3 });
    expect(pair.texts).toStrictEqual(['4', '5', '6']);
  });

  test('behind our cursor tell of it: the server has forgotten', () => {
    const { pair, room } = inRoom();
    for (const text of ['1', '2', '3']) pair.reply(send(pair, room, text));
    const there = pair.world.room(room);
    there.head = 1;
    there.log.length = 1;
    pair.cut();
    pair.advance(1_000);
    expect(pair.outputs).toContainEqual({ kind: 'gap', stream: room, missing: 'messages', from: 2, to: 3 });
    pair.world.post(there, 'anew');
    expect(pair.texts.at(-1)).toBe('anew');
  });

  test('that cannot be opened now are opened later', () => {
    const { pair, room } = inRoom();
    let busy = true;
    pair.world.before = (method) => {
      if (method === 'OpenRoom' && busy) throw new Refusal('unavailable');
    };
    pair.cut();
    pair.world.post(pair.world.room(room), 'missed');
    pair.advance(1_000);
    expect(pair.texts).toStrictEqual([]);
    expect(pair.machine.connection.state).toBe('catching_up');
    pair.world.pingMs = 1_000_000;
    busy = false;
    pair.advance(20_000);
    expect(pair.texts).toStrictEqual(['missed']);
    expect(pair.machine.connection.state).toBe('online');
  });

  test('that cannot be opened again are lost, and said to be', () => {
    const { pair, room } = inRoom();
    pair.world.rooms.delete(room);
    pair.cut();
    pair.advance(1_000);
    const lost = pair.outputs.find((output) => output.kind === 'stream_lost');
    expect(lost).toMatchObject({ stream: room, fault: { message: 'room_not_found' } });
    expect(pair.machine.cursors).toStrictEqual({});
  });

  test('of a room that was opened by a repeated call are opened on the new connection', () => {
    const pair = signedIn();
    const room = pair.world.createRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    const ticket = pair.call('JoinRoom', { room: room.id }, 'join');
    pair.cut();
    pair.world.post(room, 'meanwhile');
    pair.advance(1_000);
    pair.reply(ticket);
    pair.world.post(room, 'live');
    expect(pair.texts).toStrictEqual(['meanwhile', 'live']);
  });

  test('are cut while paused, and complete after the pause', () => {
    const { pair, room } = inRoom();
    const there = pair.world.room(room);
    pair.machine.pause(true);
    for (let n = 1; n <= 9; n += 1) pair.world.post(there, String(n));
    expect(pair.texts).toStrictEqual([]);
    pair.connection?.event('TypingStarted', { room, user: idOf(1), name: 'x' });
    pair.connection?.flush();
    expect(pair.kinds().at(-1)).toBe('event');
    pair.machine.pause(false);
    pair.pump();
    expect(pair.texts).toStrictEqual(['1', '2', '3', '4', '5', '6', '7', '8', '9']);
    expect(pair.machine.stats.cuts).toBe(1);
  });

  test('survive a program that keeps its cursors', () => {
    const { pair, room } = inRoom();
    pair.reply(send(pair, room, 'before'));
    const tokens = pair.outputs.findLast((output) => output.kind === 'tokens');
    const later = new Pair({ resume: pair.machine.cursors, tokens: tokens?.tokens ?? {} });
    for (const [id, kept] of pair.world.rooms) later.world.rooms.set(id, kept);
    for (const [secret, user] of pair.world.users) later.world.users.set(secret, user);
    later.world.post(later.world.room(room), 'after');
    later.start();
    expect(later.texts).toStrictEqual(['after']);
  });

  test('that a player left are forgotten', () => {
    const { pair, room } = inRoom();
    pair.reply(pair.call('CloseRoom', { room }));
    pair.cut();
    pair.world.calls.length = 0;
    pair.advance(1_000);
    expect(pair.world.calls).toStrictEqual([]);
    expect(pair.machine.connection.state).toBe('online');
  });
});

describe('presence', () => {
  /** What others saw of the player during `step`, one after the other. */
  function seen(pair: Pair, step: () => void): string[] {
    pair.world.presences.length = 0;
    step();
    return [...pair.world.presences];
  }

  /** Loses the connection, and makes the next one. */
  function again(pair: Pair, code?: number): void {
    pair.world.pingMs = 1_000_000;
    pair.cut(code);
    pair.advance(25_000);
  }

  function hidden(): Pair {
    const { pair } = inRoom();
    pair.reply(pair.call('SetPresence', { status: 'offline', note: 'shh' }));
    return pair;
  }

  test('is not in the hello of a player who set none, nor in one without tokens', () => {
    const { pair } = inRoom();
    again(pair);
    expect(pair.world.restored).toStrictEqual([undefined, undefined]);
    pair.reply(pair.call('SetPresence', { status: 'offline' }));
    pair.reply(pair.call('Logout', {}, 'out'));
    again(pair);
    expect(pair.world.restored.at(-1)).toBeUndefined();
  });

  test('is what it was from the beginning of each connection on', () => {
    const pair = hidden();
    for (const code of [undefined, 4000, 4100]) {
      const presences = seen(pair, () => {
        again(pair, code);
      });
      expect(presences).toStrictEqual(['offline']);
      expect(pair.world.restored.at(-1)).toStrictEqual({ status: 'offline', note: 'shh' });
    }
    expect(pair.world.calls.filter((name) => name === 'SetPresence')).toHaveLength(1);
  });

  test.each([4201, undefined])('is what it was after the tokens had to be renewed (%s)', (code) => {
    const pair = hidden();
    for (const user of pair.world.users.values()) user.access.clear();
    const presences = seen(pair, () => {
      again(pair, code);
    });
    expect(pair.world.calls).toContain('RefreshTokens');
    expect(presences).toStrictEqual(['offline']);
  });

  test('is what it was after another client has renewed the tokens', () => {
    const pair = hidden();
    const [secret] = pair.world.users.keys();
    for (const user of pair.world.users.values()) user.access.clear();
    const { access, refresh, identity } = pair.world.tokensOf(secret ?? '');
    pair.found = { is: 'newer', tokens: { access, refresh, user: identity.user } };
    const presences = seen(pair, () => {
      again(pair);
    });
    expect(presences).toStrictEqual(['offline']);
    expect(pair.machine.connection.state).toBe('online');
  });

  test('is the one that was asked for last, though the server was too busy for the first', () => {
    const { pair } = inRoom();
    let refusals = 1;
    pair.world.before = (method) => {
      if (method === 'SetPresence' && refusals-- > 0)
        throw new Refusal('rate_limited', { retry_after_ms: 50 });
    };
    const presences = seen(pair, () => {
      const tickets = ['away', 'offline'].map((status) => pair.call('SetPresence', { status }));
      pair.advance(500);
      for (const ticket of tickets) pair.reply(ticket);
    });
    expect(presences).toStrictEqual(['away', 'offline']);
    again(pair);
    expect(pair.world.presences.at(-1)).toBe('offline');
  });

  test('that a call asks for is in the hello though its answer has not come', () => {
    const { pair } = inRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    const asked = pair.call('SetPresence', { status: 'offline' });
    const presences = seen(pair, () => {
      again(pair);
    });
    pair.reply(asked);
    expect(presences).toStrictEqual(['offline', 'offline']);
  });

  test('that was set while offline is in the hello, and holds from then on', () => {
    const pair = hidden();
    pair.cut();
    const tickets = ['busy', 'away'].map((status) => pair.call('SetPresence', { status }));
    const presences = seen(pair, () => {
      pair.advance(1_000);
    });
    for (const ticket of tickets) pair.reply(ticket);
    expect(presences).toStrictEqual(['away', 'busy', 'away']);
    again(pair);
    expect(pair.world.presences.at(-1)).toBe('away');
  });

  test('that was refused, or is going to be, is not in the hello', () => {
    const long = 'x'.repeat(LIMITS.NOTE_BYTES_MAX + 1);
    for (const request of [
      { status: 'in_game' },
      { status: 'no status' },
      { status: 'toString' },
      { status: 'online', note: long },
      { status: 'online', note: 'é'.repeat(LIMITS.NOTE_BYTES_MAX / 2 + 1) },
    ]) {
      const pair = hidden();
      pair.world.before = (method, body) => {
        if (method === 'SetPresence' && body['status'] !== 'offline') throw new Refusal('invalid_argument');
      };
      pair.cut();
      const asked = pair.call('SetPresence', request);
      const presences = seen(pair, () => {
        pair.advance(1_000);
      });
      expect(codeName(pair.fault(asked).code)).toBe('invalid_argument');
      expect(presences).toStrictEqual(['offline']);
      again(pair);
      expect(pair.world.restored.at(-1)).toStrictEqual({ status: 'offline', note: 'shh' });
    }
  });

  test('of one player is not that of the next', () => {
    const pair = hidden();
    pair.reply(pair.call('Logout', {}, 'out'));
    pair.reply(pair.call('LoginGuest', { secret: 'another player here' }, 'in'));
    again(pair);
    expect(pair.world.restored.at(-1)).toBeUndefined();
  });
});

describe('what opens and closes a room', () => {
  test('leaves it as it was asked for last, though the server was too busy for the first', () => {
    const pair = signedIn();
    const room = pair.world.createRoom();
    let refusals = 1;
    pair.world.before = (method) => {
      if (method === 'OpenRoom' && refusals-- > 0) throw new Refusal('rate_limited', { retry_after_ms: 50 });
    };
    pair.call('OpenRoom', { room: room.id });
    pair.call('CloseRoom', { room: room.id });
    pair.advance(500);
    expect(pair.machine.cursors.rooms ?? []).toStrictEqual([]);
    expect(pair.world.calls.slice(-2)).toStrictEqual(['OpenRoom', 'CloseRoom']);
  });
});
