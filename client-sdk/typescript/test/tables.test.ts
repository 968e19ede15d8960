import { describe, expect, test } from 'vitest';

import { codeName } from '../src/errors.js';
import type { EventInfo, MethodInfo } from '../src/generated/tables.js';
import { EVENTS, METHODS } from '../src/generated/tables.js';
import type { MethodName } from '../src/machine/pending.js';
import { encode } from '../src/wire/writer.js';
import { Pair } from './support/driver.js';
import { idOf, Refusal } from './support/model.js';

const METHOD_NAMES = Object.keys(METHODS) as MethodName[];

/** Names of the methods whose line says `what`, in the order of the table. */
function methods(what: (info: MethodInfo) => boolean): string[] {
  return METHOD_NAMES.filter((name) => what(METHODS[name]));
}

/** A player who is signed in, with an open room. */
function inRoom(): { pair: Pair; room: string } {
  const pair = new Pair();
  pair.world.pingMs = 1_000_000;
  pair.start();
  pair.reply(pair.call('LoginGuest', { secret: 'a secret of sixteen' }, 'login'));
  const { info } = pair.reply(pair.call('CreateRoom', { kind: 'public', name: 'lobby' }, 'create'));
  return { pair, room: (info as { room: string }).room };
}

describe('the table of methods', () => {
  test('says what keeps its order and what is for the moment', () => {
    expect(methods(({ order }) => order === 'room')).toStrictEqual(['SendMessage']);
    expect(methods(({ momentary }) => momentary === true)).toStrictEqual(['Typing', 'SendEphemeral']);
  });

  test.each<[MethodInfo['changes'], string[]]>([
    ['signs_in', ['Register', 'Login', 'LoginGuest', 'RefreshTokens']],
    ['authenticates', ['Authenticate']],
    ['signs_out', ['Logout', 'LogoutEverywhere', 'DeleteAccount']],
    ['ends_session', ['RevokeSession']],
    ['opens', ['CreateRoom', 'OpenDirect', 'JoinRoom', 'OpenRoom', 'EnterRoom']],
    ['closes', ['LeaveRoom', 'CloseRoom', 'DeleteRoom']],
    ['resumes', ['Resume']],
    ['nothing', []],
  ])('says what %s', (change, names) => {
    expect(methods(({ changes }) => changes === change)).toStrictEqual(names);
  });

  test('says whom a call acts on', () => {
    expect(methods(({ target }) => target === 'player')).toStrictEqual(['BanMember']);
    expect(methods(({ target }) => target === 'unblocked')).toStrictEqual(['InviteToRoom']);
  });
});

test('the table of events says what is an entry of a stream', () => {
  const entries = Object.entries<EventInfo>(EVENTS).filter(([, { entry }]) => entry !== undefined);
  expect(entries.map(([name, { entry }]) => [name, entry])).toStrictEqual([
    ['MessageSent', 'room_message'],
    ['MessageEdited', 'room_change'],
    ['MessageDeleted', 'room_change'],
    ['ReactionChanged', 'room_change'],
    ['InboxAdded', 'inbox'],
    ['AuthorErased', 'room_change'],
  ]);
});

describe('the machine does what the table says of', () => {
  test.each(METHOD_NAMES)(
    '%s without a connection: what is for the moment ends, the rest waits',
    (method) => {
      const { pair } = inRoom();
      pair.cut();
      const ticket = pair.call(method, {}, 'key');
      expect(pair.answers.has(ticket)).toBe(METHODS[method].momentary === true);
    },
  );

  test.each(METHOD_NAMES)('%s when nobody is signed in: at once, unless it needs nobody', (method) => {
    for (const pair of [new Pair(), new Pair().start()]) {
      if (pair.connection !== undefined) pair.connection.held = true;
      const ticket = pair.call(method, {}, 'key');
      const refused = METHODS[method].access !== 'anyone';
      expect(pair.answers.has(ticket)).toBe(refused);
      if (!refused) continue;
      const code = METHODS[method].momentary === true ? 'disconnected' : 'unauthenticated';
      if (pair.connection === undefined) expect(codeName(pair.fault(ticket).code)).toBe(code);
      else expect(codeName(pair.fault(ticket).code)).toBe('unauthenticated');
    }
  });

  test.each(METHOD_NAMES)('%s while a sign-in is under way: it waits for it', (method) => {
    const pair = new Pair().start();
    if (pair.connection !== undefined) pair.connection.held = true;
    pair.call('Login', { username: 'mina', password: 'right' }, 'login');
    const before = pair.world.calls.length;
    const ticket = pair.call(method, {}, 'key');
    expect(pair.answers.has(ticket)).toBe(false);
    expect(pair.world.calls.length - before).toBe(METHODS[method].access === 'anyone' ? 1 : 0);
  });

  test.each(METHOD_NAMES)(
    '%s when it is refused for speed: again after the time, if that is safe',
    (method) => {
      for (const code of ['rate_limited', 'overloaded'] as const) {
        for (const key of ['key', undefined]) {
          const { pair, room } = inRoom();
          let refusals = 1;
          pair.world.before = (called) => {
            if (called === method && refusals-- > 0) throw new Refusal(code, { retry_after_ms: 5_000 });
          };
          const before = pair.world.calls.filter((called) => called === method).length;
          const times = (): number => pair.world.calls.filter((called) => called === method).length - before;
          const ticket = pair.call(method, { room }, key);
          const { effect, momentary } = METHODS[method];
          const repeats = momentary !== true && (effect === 'reads' || key !== undefined);
          expect(times()).toBe(1);
          expect(pair.answers.has(ticket)).toBe(!repeats);
          const { nextTimeout } = pair.machine;
          if (repeats) expect(nextTimeout).toBeGreaterThanOrEqual(pair.now + 1);
          pair.machine.tick(pair.now + 4_999);
          pair.pump();
          expect(times()).toBe(1);
          pair.machine.tick(pair.now + 6_300);
          pair.pump();
          expect(times()).toBe(repeats ? 2 : 1);
        }
      }
    },
  );

  const inOrder = (method: MethodName): boolean => {
    const { order, changes, place } = METHODS[method];
    const moves = place === 'room' && (changes === 'opens' || changes === 'closes');
    return order === 'room' || moves || changes === 'sets_presence';
  };

  test.each(METHOD_NAMES)('%s behind a refused call of its room', (method) => {
    const { pair, room } = inRoom();
    pair.world.before = () => {
      throw new Refusal('rate_limited', { retry_after_ms: 60_000 });
    };
    pair.world.calls.length = 0;
    pair.call(method, { room }, 'first');
    pair.call(method, { room }, 'second');
    expect(pair.world.calls.length).toBe(inOrder(method) ? 1 : 2);
  });

  test.each(METHOD_NAMES.filter((method) => METHODS[method].changes === 'closes'))(
    '%s: the room is not followed any more',
    (method) => {
      const { pair, room } = inRoom();
      if (pair.connection !== undefined) pair.connection.held = true;
      pair.call(method, { room }, 'key');
      expect(pair.machine.cursors.rooms?.length).toBe(1);
      pair.receive(encode([9, 3, {}]));
      expect(pair.machine.cursors.rooms ?? []).toStrictEqual([]);
    },
  );

  test.each(METHOD_NAMES.filter((method) => METHODS[method].changes === 'opens'))(
    '%s: the room of the reply is followed, from where the request asks if it does',
    (method) => {
      const { pair } = inRoom();
      const other = pair.world.createRoom();
      other.head = 9;
      if (pair.connection !== undefined) pair.connection.held = true;
      pair.call(method, { room: other.id, seq: 4 }, 'key');
      pair.receive(encode([9, 3, { ...pair.world.view(other) }]));
      expect(pair.machine.cursors.rooms).toContainEqual({ room: other.id, seq: 4, rev: 0 });
    },
  );

  test.each(METHOD_NAMES.filter((method) => METHODS[method].changes === 'signs_out'))(
    '%s: nobody is signed in',
    (method) => {
      const { pair } = inRoom();
      if (pair.connection !== undefined) pair.connection.held = true;
      pair.call(method, {}, 'key');
      pair.receive(encode([9, 3, {}]));
      expect(pair.machine.identity).toBeUndefined();
    },
  );

  test.each(METHOD_NAMES.filter((method) => METHODS[method].changes === 'signs_in'))(
    '%s: the player of the reply is signed in',
    (method) => {
      const pair = new Pair().start();
      if (pair.connection !== undefined) pair.connection.held = true;
      pair.call(method, {}, 'key');
      pair.receive(encode([9, 1, { ...pair.world.tokensOf('a secret') }]));
      expect(pair.machine.identity?.user).toBe(pair.world.users.get('a secret')?.user);
    },
  );

  test('Authenticate: the player whom the reply names is signed in with the token of the request', () => {
    const pair = new Pair().start();
    if (pair.connection !== undefined) pair.connection.held = true;
    pair.call('Authenticate', { access: 'mine' });
    pair.receive(encode([9, 1, { ...pair.world.identityOf(idOf(5)) }]));
    expect(pair.machine.identity?.user).toBe(idOf(5));
    const tokens = { access: 'mine', user: idOf(5) };
    expect(pair.outputs).toContainEqual({ kind: 'tokens', tokens, from: 'sign_in' });
  });
});
