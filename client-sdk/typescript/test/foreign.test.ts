// Code of the application that the client calls, and what the server may send: neither stops the client.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { CallError, Client, EVENTS, METHODS, UNHEARD_MAX } from '../src/index.js';
import type { ClientOptions, EventName, Link, MethodName, Problem } from '../src/index.js';
import { EVENT_NAMES_ALL } from '../src/events.js';
import { idOf } from './support/model.js';
import { ModelTransport, settle } from './support/gate.js';

const SECRET = 'a secret of sixteen';

let transport: ModelTransport;
const clients: Client[] = [];

beforeEach(() => {
  transport = new ModelTransport();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

async function player(options: Partial<ClientOptions> = {}): Promise<Client> {
  const client = new Client({ url: 'ws://model', transport, backOff: { baseMs: 1, capMs: 1 }, ...options });
  clients.push(client);
  await client.connect();
  await client.loginGuest({ secret: SECRET });
  await settle();
  return client;
}

async function inRoom(options: Partial<ClientOptions> = {}): Promise<{ client: Client; room: string }> {
  const client = await player(options);
  const { info } = await client.call('CreateRoom', { kind: 'public', name: 'lobby' });
  return { client, room: info.room };
}

async function refusal(call: Promise<unknown>): Promise<CallError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CallError)) throw new Error(`not refused: ${String(error)}`);
  return error;
}

describe('a listener that fails', () => {
  const failing: [string, () => unknown][] = [
    [
      'throws',
      () => {
        throw new Error('a bad listener');
      },
    ],
    ['rejects', () => Promise.reject(new Error('a bad listener'))],
  ];

  test.each(failing)('%s: the others hear, messages go on, and the application is told', async (_, fail) => {
    const { client, room } = await inRoom();
    const problems: Problem[] = [];
    const texts: string[] = [];
    client.on('problem', (problem) => problems.push(problem));
    for (const name of EVENT_NAMES_ALL) if (name !== 'problem') client.on(name, fail);
    client.on('MessageSent', ({ msg }) => texts.push(msg.text));
    await client.call('SendMessage', { room, text: 'one' });
    transport.link.lose();
    await client.call('SendMessage', { room, text: 'two' });
    await settle();
    expect(texts).toStrictEqual(['one', 'two']);
    expect(client.connection.state).toBe('online');
    const events = problems.map((problem) => (problem.kind === 'listener' ? problem.event : problem.kind));
    for (const event of ['MessageSent', 'connection', 'signedIn'] as const) expect(events).toContain(event);
  });

  test('is written to the console when nobody listens for problems, or that fails too', async () => {
    const error = vi.spyOn(console, 'error').mockImplementation(() => {
      throw new Error('not even that');
    });
    const { client, room } = await inRoom();
    client.on('MessageSent', () => {
      throw new Error('a bad listener');
    });
    await client.call('SendMessage', { room, text: 'one' });
    expect(error).toHaveBeenCalledTimes(1);
    client.on('problem', () => {
      throw new Error('a bad listener for problems');
    });
    await client.call('SendMessage', { room, text: 'two' });
    expect(error).toHaveBeenCalledTimes(2);
    expect(client.connection.state).toBe('online');
  });
});

describe('other foreign code that throws:', () => {
  test('a getter of a request, and random bytes', async () => {
    const { client, room } = await inRoom({
      randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
    });
    const request = Object.defineProperty({ room }, 'text', {
      enumerable: true,
      get: () => {
        throw new Error('a getter');
      },
    });
    expect(await refusal(client.call('SendMessage', request as never))).toMatchObject({
      code: 'invalid_argument',
    });
    for (const randomBytes of [
      () => {
        throw new Error('no entropy');
      },
      () => new Uint8Array(1),
      () => 'text' as never,
    ]) {
      const other = await player();
      const poor = new Client({ url: 'ws://model', transport, randomBytes });
      clients.push(poor);
      const error = await refusal(poor.call('LoginGuest', { secret: SECRET }));
      expect(error.code).toBe('invalid_argument');
      expect((await other.call('GetAccount', {})).role).toBe('player');
    }
  });

  test('a signal that is none', async () => {
    const { client, room } = await inRoom();
    for (const signal of [{}, 'abort', { aborted: true }, null]) {
      const call = client.call('SendMessage', { room, text: 'x' }, { signal: signal as never });
      expect((await refusal(call)).code).toBe('invalid_argument');
    }
    expect(transport.world.room(room).head).toBe(0);
  });

  test('a transport: the connection counts as lost, and the next one works', async () => {
    const { client, room } = await inRoom();
    const problems: Problem[] = [];
    client.on('problem', (problem) => problems.push(problem));
    const open = transport.open.bind(transport);
    let attempts = 0;
    transport.open = (url, events): Link => {
      attempts += 1;
      if (attempts === 1) throw new Error('no sockets left');
      const link = open(url, events);
      if (attempts === 2) {
        link.send = () => {
          throw new Error('broken pipe');
        };
      }
      return link;
    };
    const { link } = transport;
    link.close = () => {
      throw new Error('cannot close');
    };
    link.events.closed(undefined);
    expect((await client.call('SendMessage', { room, text: 'x' })).seq).toBe(1);
    expect(attempts).toBe(3);
    expect(problems.map(({ kind }) => kind)).toStrictEqual(['transport', 'unreachable', 'transport']);
  });
});

describe('names', () => {
  const inherited = Object.getOwnPropertyNames(Object.prototype);

  test.each([...inherited, 'sendMessage', '', 'Nothing'])('no method is called %s', async (name) => {
    const { client, room } = await inRoom();
    const error = await refusal(client.call(name as MethodName, {}));
    expect(error).toMatchObject({ code: 'unknown_method', retry: 'never' });
    expect((await client.call('SendMessage', { room, text: 'still here' })).seq).toBe(1);
    expect(transport.links).toHaveLength(1);
  });

  test.each([...inherited, 'messageSent', ''])('no event is called %s', async (name) => {
    const client = await player();
    expect(() => client.on(name as EventName, () => undefined)).toThrow(TypeError);
    expect(() => client.events(name as EventName)).toThrow(TypeError);
  });

  test('an event that is nearly called so is named', async () => {
    const client = await player();
    expect(() => client.on('messageSent' as EventName, () => undefined)).toThrow('MessageSent is meant');
    expect(() => client.on('MessageSent', 'not a function' as never)).toThrow(TypeError);
  });

  test('all events of the table can be listened for', async () => {
    const client = await player();
    for (const name of Object.keys(EVENTS)) client.on(name as EventName, () => undefined)();
    expect(Object.keys(METHODS).length).toBeGreaterThan(50);
  });
});

describe('times', () => {
  test.each([NaN, -1, '5' as never, null as never])('that are none are refused: %s', async (deadlineMs) => {
    const client = await player();
    const error = await refusal(client.call('GetAccount', {}, { deadlineMs }));
    expect(error).toMatchObject({ code: 'invalid_argument', field: 'deadlineMs' });
    expect(() => new Client({ url: 'ws://model', deadlineMs })).toThrow(TypeError);
    expect(() => new Client({ url: 'ws://model', handshakeMs: deadlineMs })).toThrow(TypeError);
    expect(() => new Client({ url: 'ws://model', backOff: { baseMs: deadlineMs, capMs: 1 } })).toThrow(
      TypeError,
    );
  });

  test.each([2 ** 31 - 1, 2 ** 31, 2 ** 32 + 1, 2 ** 53, Number.MAX_VALUE, Infinity])(
    'of %d ms make no storm of timers',
    async (deadlineMs) => {
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
      const set = vi.spyOn(globalThis, 'setTimeout');
      const client = new Client({ url: 'ws://model', transport, deadlineMs, handshakeMs: deadlineMs });
      clients.push(client);
      const call = client.call('Echo', { data: new Uint8Array() });
      await vi.advanceTimersByTimeAsync(60_000);
      expect(set.mock.calls.length).toBeLessThan(4);
      for (const [, ms] of set.mock.calls) expect(ms).toBeLessThan(2 ** 31);
      await client.connect();
      await call;
    },
  );
});

describe('options', () => {
  test.each<[Partial<Record<keyof ClientOptions, unknown>>]>([
    [{ url: 7 }],
    [{ url: 'http://host' }],
    [{ backOff: {} }],
    [{ backOff: 5 }],
    [{ backOff: null }],
    [{ backOff: { baseMs: 0, capMs: 0 } }],
    [{ backOff: { baseMs: 1 } }],
    [{ backOff: { baseMs: 1e9, capMs: 1 } }],
    [{ backOff: { baseMs: 2 ** 40, capMs: 2 ** 41 } }],
    [{ backOff: { baseMs: 1, capMs: Infinity } }],
    [{ backOff: { baseMs: 1, capMs: 1_000, baseMS: 2 } }],
    [{ tokens: {} }],
    [{ tokens: { load: () => undefined } }],
    [{ transport: {} }],
    [{ webSocket: 'ws' }],
    [{ randomBytes: 7 }],
    [{ resume: { inbox: '7' } }],
    [{ resume: { rooms: [{ room: 'lobby', seq: 1, rev: 1 }] } }],
    [{ resume: { inbox: 2 ** 53 } }],
    [{ resume: null }],
  ])('that no client can begin with are refused: %o', (options) => {
    expect(() => new Client({ url: 'ws://model', ...options } as ClientOptions)).toThrow(TypeError);
  });

  test('the inbox is followed unless it shall not be', async () => {
    expect((await player()).cursors.inbox).toBe(0);
    expect((await player({ resume: { inbox: 9 } })).cursors.inbox).toBeDefined();
    expect((await player({ inbox: false, resume: { inbox: 9 } })).cursors.inbox).toBeUndefined();
  });
});

describe('what is told before anybody listens', () => {
  type Server = keyof typeof EVENTS;
  const bodies: Partial<Record<Server, (n: number) => unknown>> = {
    TypingStarted: (n) => ({ room: idOf(9), user: idOf(9), name: String(n) }),
    RoomPresence: (n) => ({ room: idOf(9), online: n, members: n }),
    PlayerPresence: () => ({ presence: { user: idOf(9), status: 'online' } }),
  };

  test('of a room is heard by the first listener, in order and before anything newer', async () => {
    const { client, room } = await inRoom();
    for (let n = 1; n <= 31; n += 1) transport.world.post(transport.world.room(room), String(n));
    await settle();
    const seqs: number[] = [];
    client.on('MessageSent', ({ msg }) => seqs.push(msg.seq));
    transport.world.post(transport.world.room(room), 'newer');
    await settle();
    expect(seqs).toStrictEqual(Array.from({ length: 32 }, (_, index) => index + 1));
    const late: number[] = [];
    client.on('MessageSent', ({ msg }) => late.push(msg.seq));
    await settle();
    expect(late).toStrictEqual([]);
  });

  test('is read by an iterator too', async () => {
    const { client, room } = await inRoom();
    transport.world.post(transport.world.room(room), 'early');
    await settle();
    for await (const { msg } of client.events('MessageSent')) {
      expect(msg.text).toBe('early');
      break;
    }
  });

  test('waits for the next listener when the first goes at once', async () => {
    const { client, room } = await inRoom();
    transport.world.post(transport.world.room(room), 'early');
    await settle();
    client.on('MessageSent', () => undefined)();
    await settle();
    const texts: string[] = [];
    client.on('MessageSent', ({ msg }) => texts.push(msg.text));
    await settle();
    expect(texts).toStrictEqual(['early']);
  });

  test('is bounded: the oldest goes, and who comes too late is told how many', async () => {
    const { client, room } = await inRoom();
    const problems: Problem[] = [];
    client.on('problem', (problem) => problems.push(problem));
    for (let n = 1; n <= UNHEARD_MAX + 10; n += 1)
      transport.world.post(transport.world.room(room), String(n));
    await settle();
    const seqs: number[] = [];
    client.on('MessageSent', ({ msg }) => seqs.push(msg.seq));
    await settle();
    expect(seqs).toHaveLength(UNHEARD_MAX);
    expect(seqs[0]).toBe(11);
    expect(problems).toStrictEqual([{ kind: 'unheard', event: 'MessageSent', dropped: 10 }]);
  });

  test.each(Object.keys(bodies) as Server[])(
    '%s: what lasts is kept, what is for the moment is not',
    async (name) => {
      const client = await player();
      for (let n = 0; n < 3; n += 1) transport.link.connection?.event(name, bodies[name]?.(n) as never);
      transport.link.connection?.flush();
      await settle();
      const heard: unknown[] = [];
      client.on(name, (event) => heard.push(event));
      await settle();
      expect(heard.length).toBe(EVENTS[name].delivery === 'volatile' ? 0 : 3);
    },
  );
});

describe('cursors', () => {
  type Told = 'MessageSent' | 'MessageEdited' | 'InboxAdded' | 'gap' | 'problem';
  const message = (room: string, seq: number): Record<string, unknown> => ({
    room,
    msg: { seq, from: idOf(4), name: 'n', text: 't', at: 1 },
  });
  /** How the server tells of the n-th entry of a stream, and where the cursor of it is. */
  const kinds: Record<Told, [tell: (room: string, n: number) => void, at: 'seq' | 'rev' | 'inbox']> = {
    MessageSent: [(room, n) => transport.link.connection?.event('MessageSent', message(room, n)), 'seq'],
    MessageEdited: [
      (room, rev) =>
        transport.link.connection?.event('MessageEdited', { room, rev, seq: 1, text: 't', at: 1 }),
      'rev',
    ],
    InboxAdded: [
      (_, seq) => transport.link.connection?.event('InboxAdded', { seq, at: 1, entry: { kind: 'later' } }),
      'inbox',
    ],
    gap: [(room, n) => transport.link.connection?.frame('gap', room, 0, n, n), 'seq'],
    problem: [
      (room, rev) => transport.link.connection?.event('MessageEdited', { room, rev, seq: 1, text: 7, at: 1 }),
      'rev',
    ],
  };

  const cursor = (client: Client, at: 'seq' | 'rev' | 'inbox'): number | undefined =>
    at === 'inbox' ? client.cursors.inbox : client.cursors.rooms?.[0]?.[at];

  test.each(Object.keys(kinds) as Told[])(
    'stand where %s was heard, also in a listener that closes',
    async (name) => {
      const [tell, at] = kinds[name];
      const { client, room } = await inRoom();
      const seen: (number | undefined)[] = [];
      let others = 0;
      client.on(name, () => {
        seen.push(cursor(client, at));
        if (seen.length === 2) client.close();
      });
      client.on(name, () => (others += 1));
      for (let n = 1; n <= 4; n += 1) tell(room, n);
      // All four come in one message.
      transport.link.connection?.flush();
      await settle();
      expect(seen).toStrictEqual([1, 2]);
      expect(others).toBe(2);
      expect(cursor(client, at)).toBe(2);
    },
  );

  test('of a client that was closed by a listener bring the rest to the next one', async () => {
    const kept = { load: () => held, save: (tokens: unknown) => void (held = tokens) };
    let held: unknown;
    const { client, room } = await inRoom({ tokens: kept as NonNullable<ClientOptions['tokens']> });
    const texts: string[] = [];
    client.on('MessageSent', ({ msg }) => {
      texts.push(msg.text);
      if (texts.length === 2) client.close();
    });
    const { connection } = transport.link;
    if (connection !== undefined) connection.held = true;
    for (const text of ['1', '2', '3', '4']) transport.world.post(transport.world.room(room), text);
    if (connection !== undefined) connection.held = false;
    connection?.flush();
    await settle();
    expect(texts).toStrictEqual(['1', '2']);
    const next = new Client({
      url: 'ws://model',
      transport,
      tokens: kept as NonNullable<ClientOptions['tokens']>,
      resume: client.cursors,
    });
    clients.push(next);
    next.on('MessageSent', ({ msg }) => texts.push(msg.text));
    await next.connect();
    await settle();
    expect(texts).toStrictEqual(['1', '2', '3', '4']);
  });
});
