// Objects of the application's and of the platform's that throw wherever they are touched: no call is left without an end, and no
// program ends over them. What nobody catches fails the run.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { CallError, Client } from '../src/index.js';
import type { ClientOptions, Link, Problem, WebSocketConstructor, WebSocketLike } from '../src/index.js';
import { reasonOf } from '../src/problems.js';
import { ModelTransport, settle } from './support/gate.js';
import { ModelConnection, World } from './support/model.js';

const SECRET = 'a secret of sixteen';

const clients: Client[] = [];
let transport: ModelTransport;

beforeEach(() => {
  transport = new ModelTransport();
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

function clientOf(options: Partial<ClientOptions>): Client {
  const client = new Client({ url: 'ws://model', backOff: { baseMs: 1, capMs: 1 }, ...options });
  clients.push(client);
  return client;
}

function refuse(): never {
  throw new Error('on purpose');
}

/** The object, of which one member throws: when it is looked at, or when it is called. */
function withHostile<T extends object>(target: T, member: string, when: 'touched' | 'called'): T {
  return new Proxy(target, {
    get(held, name): unknown {
      if (name === member) return when === 'called' ? refuse : refuse();
      const value: unknown = Reflect.get(held, name);
      return typeof value === 'function' ? (value.bind(held) as unknown) : value;
    },
    set(held, name, value): boolean {
      if (name === member && when === 'touched') refuse();
      return Reflect.set(held, name, value);
    },
  });
}

function revoked(): never {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy as never;
}

/** What foreign code may throw or hand over instead of an error or an event. */
const HOSTILE: readonly (readonly [what: string, make: () => never])[] = [
  ...['message', 'code', 'cause', 'errors', 'data', 'reason', 'error'].map(
    (name) => [`its ${name} throws`, () => withHostile({}, name, 'touched') as never] as const,
  ),
  ['it has no prototype', () => Object.create(null) as never],
  ['it is a revoked proxy', revoked],
  ['its errors are a revoked proxy', () => ({ errors: revoked() }) as never],
  ['its message is one of others', () => ({ message: { toString: refuse } }) as never],
  ['it is null', () => null as never],
  ['it is nothing', () => undefined as never],
  ['it is a symbol', () => Symbol('x') as never],
  [
    'it causes itself',
    () => {
      const error = new Error('round');
      error.cause = error;
      return error as never;
    },
  ],
];

/** Listeners whose promise is rejected. */
function rejecting(thrown: () => never): (() => unknown)[] {
  return [() => Promise.resolve().then(thrown)];
}

async function ends(call: Promise<unknown>): Promise<unknown> {
  const late = new Promise((_, reject) => setTimeout(reject, 5_000, new Error('it never ends')));
  return Promise.race([call.catch((error: unknown) => error), late]);
}

async function works(client: Client): Promise<void> {
  expect(await ends(client.call('GetAccount', {}))).toMatchObject({ role: 'player' });
}

describe('an AbortSignal', () => {
  const members = ['aborted', 'reason', 'addEventListener', 'removeEventListener'];
  const ways = members.flatMap((member) => [[member, 'touched'] as const, [member, 'called'] as const]);

  async function player(): Promise<Client> {
    const client = clientOf({ transport });
    await client.connect();
    await client.loginGuest({ secret: SECRET });
    return client;
  }

  test.each(ways)(
    'whose %s throws when it is %s keeps no call, iterator or close from its end',
    async (member, when) => {
      for (const aborts of [false, true]) {
        const controller = new AbortController();
        const signal = withHostile(controller.signal, member, when);
        const client = await player();
        const problems: Problem[] = [];
        client.on('problem', (problem) => problems.push(problem));
        const others = client.call('GetAccount', {});
        const call = client.call('GetAccount', {}, { signal });
        const reader = ((): AsyncIterableIterator<unknown> | undefined => {
          try {
            return client.events('connection', { signal });
          } catch (error) {
            expect(error).toMatchObject({ code: 'invalid_argument', field: 'signal' });
            return undefined;
          }
        })();
        const reading = reader?.next();
        const other = client.events('MessageSent').next();
        if (aborts) controller.abort('enough');
        const outcome = await ends(call);
        if (outcome instanceof CallError) expect(['invalid_argument', 'cancelled']).toContain(outcome.code);
        else expect(outcome).toMatchObject({ role: 'player' });
        expect(await ends(others)).toMatchObject({ role: 'player' });
        await works(client);
        client.close();
        expect(client.life).toBe('closed');
        expect(await ends(other)).toStrictEqual({ done: true, value: undefined });
        if (reading !== undefined) expect(await ends(reading)).toHaveProperty('done');
        for (const { kind } of problems) expect(['signal', 'unreachable']).toContain(kind);
      }
    },
  );

  test('that is given while it is listened to', async () => {
    const client = await player();
    const signal = {
      aborted: false,
      addEventListener(_: string, listener: () => void): void {
        this.aborted = true;
        listener();
      },
      removeEventListener: () => undefined,
    };
    expect(await ends(client.call('GetAccount', {}, { signal: { ...signal } }))).toMatchObject({
      code: 'cancelled',
    });
    expect(await ends(client.events('MessageSent', { signal }).next())).toMatchObject({ done: true });
    await works(client);
  });
});

/** A WebSocket of the model's. */
class ModelSocket implements WebSocketLike {
  binaryType = '';
  onopen: WebSocketLike['onopen'] = null;
  onmessage: WebSocketLike['onmessage'] = null;
  onclose: WebSocketLike['onclose'] = null;
  onerror: WebSocketLike['onerror'] = null;
  readonly connection: ModelConnection;

  constructor(world: World) {
    const received = (message: Uint8Array): void => {
      const { buffer } = Uint8Array.from(message);
      queueMicrotask(() => this.onmessage?.({ data: buffer }));
    };
    this.connection = new ModelConnection(world, received, (code) => this.onclose?.({ code }));
    setTimeout(() => this.onopen?.({}), 1);
  }

  send(data: Uint8Array): void {
    this.connection.receive(new Uint8Array(data));
  }

  close(): void {
    this.connection.end();
  }

  terminate(): void {
    this.connection.end();
  }

  on(): void {
    // Nothing comes that a package would tell.
  }
}

/** Sockets, of which the first is made by `first`. */
function socketsOf(first: (socket: ModelSocket) => WebSocketLike): {
  webSocket: WebSocketConstructor;
  sockets: ModelSocket[];
} {
  const world = new World();
  world.now = Date.now;
  world.pingMs = 60_000;
  const sockets: ModelSocket[] = [];
  const webSocket = function make(): WebSocketLike {
    const socket = new ModelSocket(world);
    sockets.push(socket);
    return sockets.length === 1 ? first(socket) : socket;
  } as unknown as WebSocketConstructor;
  return { webSocket, sockets };
}

describe('a WebSocket', () => {
  const members = [
    'binaryType',
    'onopen',
    'onmessage',
    'onclose',
    'onerror',
    'send',
    'close',
    'terminate',
    'on',
  ];
  const ways = members.flatMap((member) => [[member, 'touched'] as const, [member, 'called'] as const]);

  test.each(ways)(
    'whose %s throws when it is %s: the client comes to a connection, and closes',
    async (member, when) => {
      const { webSocket } = socketsOf((socket) => withHostile(socket, member, when));
      const client = clientOf({ webSocket });
      await client.connect();
      await client.loginGuest({ secret: SECRET });
      await works(client);
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      client.close();
      vi.advanceTimersByTime(10_000);
      expect(client.life).toBe('closed');
    },
  );

  const handlers = ['onopen', 'onmessage', 'onclose', 'onerror'] as const;
  const events = handlers.flatMap((handler) => HOSTILE.map(([what, make]) => [handler, what, make] as const));

  test.each(events)('that calls %s with an event of which %s', async (handler, _, make) => {
    const { webSocket, sockets } = socketsOf((socket) => socket);
    const client = clientOf({ webSocket });
    await client.connect();
    await client.loginGuest({ secret: SECRET });
    expect(() => sockets[0]?.[handler]?.(make())).not.toThrow();
    await works(client);
  });

  test.each(['touched', 'called'] as const)(
    'whose close throws when it is %s, after a text message',
    async (when) => {
      const { webSocket, sockets } = socketsOf((socket) => withHostile(socket, 'close', when));
      const client = clientOf({ webSocket });
      await client.connect();
      await client.loginGuest({ secret: SECRET });
      expect(() => sockets[0]?.onmessage?.({ data: 'text' })).not.toThrow();
      await works(client);
      expect(sockets).toHaveLength(2);
    },
  );
});

describe('what is thrown, and its error:', () => {
  /** Where foreign code runs, and throws what it is given: once, or where noted all the time. */
  const places: Record<string, (thrown: () => never) => Partial<ClientOptions>> = {
    'a WebSocket that can not be made': (thrown) => {
      const { webSocket } = socketsOf(thrown);
      return { webSocket };
    },
    'a transport that can not open': (thrown) => {
      const open = transport.open.bind(transport);
      let attempts = 0;
      transport.open = (url, events): Link => ((attempts += 1) === 1 ? thrown() : open(url, events));
      return { transport };
    },
    'a link that can not send': (thrown) => {
      const open = transport.open.bind(transport);
      let attempts = 0;
      transport.open = (url, events): Link => {
        const link = open(url, events);
        if ((attempts += 1) === 1) link.send = thrown;
        return link;
      };
      return { transport };
    },
    'a link that gives its end for an odd reason': (thrown) => {
      const open = transport.open.bind(transport);
      let attempts = 0;
      transport.open = (url, events): Link => {
        const odd = caught(thrown);
        if ((attempts += 1) === 1) {
          queueMicrotask(() => {
            events.received(odd as never);
            events.closed(odd as never, odd as never);
          });
          return { send: () => undefined, close: () => undefined };
        }
        return open(url, events);
      };
      return { transport };
    },
    'a store that throws': (thrown) => ({ transport, tokens: { load: thrown, save: thrown } }),
    'a store that rejects': (thrown) => {
      const rejects = (): Promise<never> => Promise.resolve().then(thrown);
      return { transport, tokens: { load: rejects, save: rejects } };
    },
    'a store that gives it': (thrown) => ({
      transport,
      tokens: { load: () => caught(thrown) as never, save: () => caught(thrown) as never },
    }),
  };

  function caught(thrown: () => never): unknown {
    try {
      return thrown();
    } catch (error) {
      return error;
    }
  }

  const cases = Object.keys(places).flatMap((place) =>
    HOSTILE.map(([what, make]) => [place, what, make] as const),
  );

  test.each(cases)('%s, of which %s', async (place, _, make) => {
    const thrown = (): never => {
      throw make() as Error;
    };
    const client = clientOf(places[place]?.(thrown) ?? {});
    await client.connect();
    await client.loginGuest({ secret: SECRET });
    await works(client);
    client.close();
    await settle();
  });

  test.each(HOSTILE)('listeners, getters of requests and random bytes, of which %s', async (_, make) => {
    const thrown = (): never => {
      throw make() as Error;
    };
    const client = clientOf({ transport, randomBytes: thrown });
    client.on('connection', thrown);
    for (const fail of rejecting(thrown)) client.on('signedIn', fail);
    client.on('tokens', () => ({ then: thrown }) as never);
    client.on('problem', thrown);
    await client.connect();
    const refused = await ends(client.loginGuest({ secret: SECRET }));
    expect(refused).toMatchObject({ code: 'invalid_argument' });
    await ends(client.call('LoginGuest', { secret: SECRET }, { key: 'a key' }));
    const request = Object.defineProperty({}, 'data', { enumerable: true, get: thrown });
    expect(await ends(client.call('Echo', request as never))).toMatchObject({ code: 'invalid_argument' });
    await works(client);
    expect(typeof reasonOf(caught(thrown))).toBe('string');
  });

  test('a transport that never can, or whose ready can not be looked at', async () => {
    for (const [, make] of HOSTILE) {
      const never = Object.assign(new ModelTransport(), { ready: () => Promise.reject(make() as Error) });
      const connecting = clientOf({ transport: never }).connect();
      await ends(connecting.catch(() => undefined));
    }
    const odd = withHostile(new ModelTransport(), 'ready', 'touched');
    expect(await ends(clientOf({ transport: odd }).connect())).toBeInstanceOf(Error);
  });

  test('a platform whose window and locks can not be touched', async () => {
    for (const member of ['addEventListener', 'removeEventListener']) {
      for (const when of ['touched', 'called'] as const) {
        vi.stubGlobal('window', withHostile(new EventTarget(), member, when));
        const client = clientOf({ transport });
        await client.connect();
        expect(() => {
          client.close();
        }).not.toThrow();
        vi.unstubAllGlobals();
      }
    }
  });
});
