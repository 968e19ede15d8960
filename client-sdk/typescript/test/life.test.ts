// What a client does in each state of its life, for each thing that it can be asked for, and at each of its waits.

import { readFileSync } from 'node:fs';

import { afterEach, describe, expect, test, vi } from 'vitest';

import { CallError, Client, LIFE } from '../src/index.js';
import type { Ask, ClientOptions, Does, Life, Tokens } from '../src/index.js';
import { idOf } from './support/model.js';
import { Gate, MemoryStore, ModelTransport, settle } from './support/gate.js';

const LIVES = Object.keys(LIFE) as Life[];
const ASKS = Object.keys(LIFE.new) as Ask[];

const clients: Client[] = [];

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  vi.useRealTimers();
});

interface Case {
  client: Client;
  transport: ModelTransport;
}

function newClient(transport: ModelTransport, options: Partial<ClientOptions> = {}): Client {
  const client = new Client({
    url: 'ws://model',
    transport,
    backOff: { baseMs: 600_000, capMs: 600_000 },
    ...options,
  });
  clients.push(client);
  return client;
}

/** A client in this state, and what it is connected with. */
async function inLife(life: Life): Promise<Case> {
  const transport = new ModelTransport();
  const client = newClient(transport);
  if (life === 'starting') transport.gate = new Gate();
  if (life === 'connecting' || life === 'waiting') transport.accepts = false;
  if (life !== 'new') client.connect().catch(() => undefined);
  await settle();
  if (life === 'waiting') transport.link.lose();
  if (life === 'stopped') transport.link.lose(4300);
  if (life === 'closed') client.close();
  await settle();
  expect(client.life).toBe(life);
  return { client, transport };
}

/** How a promise stands after all that is due at once has happened. */
async function outcome(promise: Promise<unknown>): Promise<'fulfilled' | 'waits' | 'refused'> {
  let is: 'fulfilled' | 'waits' | 'refused' = 'waits';
  promise.then(
    () => (is = 'fulfilled'),
    (error: unknown) => {
      is = 'refused';
      expect(error).toBeInstanceOf(CallError);
      expect((error as CallError).code).toBe('disconnected');
    },
  );
  await settle();
  return is;
}

/** What is seen of a promise in this state when the table says `does`. */
function expected(does: Does, life: Life): 'fulfilled' | 'waits' | 'refused' {
  if (does === 'refuses') return 'refused';
  if (does === 'acts' || does === 'begins') return 'fulfilled';
  return life === 'online' ? 'fulfilled' : 'waits';
}

const TRIES: Record<Ask, (at: Case, does: Does, life: Life) => Promise<void> | void> = {
  async connect({ client, transport }, does, life) {
    const links = transport.links.length;
    transport.accepts = true;
    expect(await outcome(client.connect())).toBe(expected(does, life));
    expect(transport.links.length - links).toBe(does === 'begins' ? 1 : 0);
  },
  async online({ client, transport }, does, life) {
    const links = transport.links.length;
    expect(await outcome(client.online())).toBe(expected(does, life));
    expect(transport.links.length).toBe(links);
  },
  async call({ client }, does, life) {
    const data = Uint8Array.of(1);
    expect(await outcome(client.call('Echo', { data }, { deadlineMs: Infinity }))).toBe(expected(does, life));
  },
  async on({ client, transport }, does, life) {
    const states: string[] = [];
    const stop = client.on('connection', ({ state }) => states.push(state));
    if (life === 'online') transport.link.lose();
    else client.close();
    await settle();
    expect(states.length > 0).toBe(does === 'acts');
    stop();
  },
  async events({ client }, does) {
    const events = client.events('connection');
    const first = events.next();
    if (does === 'ends') {
      expect(await first).toStrictEqual({ done: true, value: undefined });
    } else {
      client.close();
      expect(await first).toMatchObject({ done: false, value: { state: 'stopped' } });
      expect(await events.next()).toStrictEqual({ done: true, value: undefined });
    }
  },
  input({ client, transport }, does) {
    const sent = vi.fn();
    const link = transport.links.at(-1);
    if (link !== undefined) link.send = sent;
    client.input(idOf(1), 1, Uint8Array.of(1));
    expect(sent.mock.calls.length).toBe(does === 'acts' ? 1 : 0);
  },
  retryNow({ client, transport }, does) {
    const links = transport.links.length;
    client.retryNow();
    expect(transport.links.length - links).toBe(does === 'acts' ? 1 : 0);
  },
  async close({ client, transport }, does) {
    const told: unknown[] = [];
    client.on('connection', (connection) => told.push(connection));
    client.close();
    client.close();
    await settle();
    expect(client.life).toBe('closed');
    expect(transport.links.every(({ closed }) => closed)).toBe(true);
    if (does === 'nothing') expect(told).toStrictEqual([]);
  },
};

describe.each(LIVES)('a client that is %s', (life) => {
  test.each(ASKS)('does what the table says when asked to %s', async (ask) => {
    await TRIES[ask](await inLife(life), LIFE[life][ask], life);
  });

  test('does nothing more once it is closed, ever', async () => {
    const { client, transport } = await inLife(life);
    const pending = [client.connect(), client.online(), client.call('Echo', { data: new Uint8Array() })];
    const heard = vi.fn();
    client.close();
    client.on('connection', heard);
    transport.gate?.resolve();
    for (const link of transport.links) {
      link.events.opened();
      link.events.received(Uint8Array.of(0xc1));
      link.events.closed(undefined);
    }
    transport.accepts = true;
    const links = transport.links.length;
    // What was decided before may have been told; nothing else is.
    const [, , call] = await Promise.allSettled(pending);
    expect(call?.status).toBe('rejected');
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(transport.links.length).toBe(links);
    expect(client.connection).toStrictEqual({ state: 'stopped' });
    expect(heard).not.toHaveBeenCalled();
  });

  test('leaves nothing behind that keeps a program running when it is closed', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    const { client } = await inLife(life);
    client.call('Echo', { data: new Uint8Array() }).catch(() => undefined);
    client.close();
    await settle();
    expect(vi.getTimerCount()).toBe(0);
  });
});

test('the table of states in the manual is that of the code', () => {
  const manual = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const lines = manual.split('\n').filter((line) => /^\| `[a-z]+`/.test(line));
  const written = new Map(
    lines
      .map((line) =>
        line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim().replaceAll('`', '')),
      )
      .map(([life = '', ...cells]) => [life, cells]),
  );
  for (const life of LIVES) expect(written.get(life), life).toStrictEqual(ASKS.map((ask) => LIFE[life][ask]));
});

describe('a client that is closed at one of its waits never comes back:', () => {
  const tokens: Tokens = { access: 'access-1', refresh: 'refresh-1', user: idOf(2) };

  async function staysClosed(client: Client, transport: ModelTransport, go: () => void): Promise<void> {
    const links = transport.links.length;
    client.close();
    go();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(client.life).toBe('closed');
    expect(transport.links.length).toBe(links);
    expect(transport.links.every(({ closed }) => closed)).toBe(true);
  }

  test('in the tick in which it was told to connect', async () => {
    const transport = new ModelTransport();
    const client = newClient(transport);
    const connecting = client.connect();
    client.close();
    await expect(connecting).rejects.toMatchObject({ code: 'disconnected' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(transport.links).toHaveLength(0);
  });

  test('before the transport is ready, whether it then is or not', async () => {
    for (const ends of ['resolve', 'reject'] as const) {
      const { client, transport } = await inLife('starting');
      await staysClosed(client, transport, () => {
        transport.gate?.[ends](undefined);
      });
    }
  });

  test('while the token store loads, whatever it then says', async () => {
    for (const ends of ['resolve', 'reject'] as const) {
      const gate = new Gate<Tokens>();
      const transport = new ModelTransport();
      const store = { load: () => gate.promise, save: vi.fn() };
      const client = newClient(transport, { tokens: store });
      client.connect().catch(() => undefined);
      await settle();
      expect(client.life).toBe('connecting');
      await staysClosed(client, transport, () => {
        gate[ends](tokens);
      });
      expect(store.save).not.toHaveBeenCalled();
    }
  });

  test('while the link opens, and while the server is silent', async () => {
    const { client, transport } = await inLife('connecting');
    await staysClosed(client, transport, () => {
      transport.link.events.opened();
    });
    const second = new ModelTransport();
    const silent = newClient(second);
    second.accepts = false;
    silent.connect().catch(() => undefined);
    await settle();
    second.link.events.opened();
    await staysClosed(silent, second, () => undefined);
  });

  test('while it looks for tokens before it renews its own', async () => {
    const gate = new Gate<Tokens>();
    const transport = new ModelTransport();
    const store = new MemoryStore();
    const client = newClient(transport, { tokens: store });
    await client.connect();
    await client.loginGuest({ secret: 'a secret of sixteen' });
    await settle();
    const { connection } = transport.link;
    if (connection !== undefined) connection.user = undefined;
    store.load = () => gate.promise as never;
    const call = client.call('GetAccount', {}).catch((error: unknown) => error);
    await settle();
    expect(client.connection.state).toBe('catching_up');
    await staysClosed(client, transport, () => {
      gate.resolve({ ...store.kept });
    });
    expect(await call).toMatchObject({ code: 'disconnected' });
  });

  test('by a listener: what was still to be heard is not', async () => {
    const transport = new ModelTransport();
    const client = newClient(transport);
    const heard: string[] = [];
    client.on('connection', ({ state }) => {
      heard.push(state);
      if (state === 'connecting') client.close();
    });
    client.on('signedIn', () => heard.push('signedIn'));
    await expect(client.connect()).rejects.toMatchObject({ code: 'disconnected' });
    await settle();
    expect(heard).toStrictEqual(['connecting', 'stopped']);
  });
});

test('a user interface that starts, stops and starts again leaves one connection', async () => {
  const transport = new ModelTransport();
  const mount = (): (() => void) => {
    const client = newClient(transport);
    const stop = client.on('connection', () => undefined);
    void client.connect();
    return () => {
      stop();
      client.close();
    };
  };
  for (let times = 0; times < 50; times += 1) mount()();
  const unmount = mount();
  await settle();
  expect(transport.links.filter(({ closed }) => !closed)).toHaveLength(1);
  unmount();
  await settle();
  expect(transport.links.filter(({ closed }) => !closed)).toHaveLength(0);
});

describe('in a browser', () => {
  function withWindow(step: (window: EventTarget & { count: number }) => Promise<void>): Promise<void> {
    const window = Object.assign(new EventTarget(), { count: 0 });
    const add = window.addEventListener.bind(window);
    const remove = window.removeEventListener.bind(window);
    window.addEventListener = (...given: Parameters<typeof add>) => {
      window.count += 1;
      add(...given);
    };
    window.removeEventListener = (...given: Parameters<typeof remove>) => {
      window.count -= 1;
      remove(...given);
    };
    vi.stubGlobal('window', window);
    return step(window).finally(() => vi.unstubAllGlobals());
  }

  test('it connects at once when the device has found a network', () =>
    withWindow(async (window) => {
      const { transport } = await inLife('waiting');
      window.dispatchEvent(new Event('online'));
      expect(transport.links).toHaveLength(2);
    }));

  test.each(LIVES)('it listens for that only while it may connect: %s', (life) =>
    withWindow(async (window) => {
      const { client } = await inLife(life);
      expect(window.count).toBe(['new', 'stopped', 'closed'].includes(life) ? 0 : 1);
      client.close();
      await settle();
      expect(window.count).toBe(0);
    }),
  );
});
