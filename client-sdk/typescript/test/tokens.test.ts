// Clients that keep their tokens, alone or with others, in stores of every kind.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { Client } from '../src/index.js';
import type { ClientOptions, Problem, Tokens } from '../src/index.js';
import { STORE_MS } from '../src/token-keeper.js';
import { Gate, MemoryStore, ModelTransport, settle } from './support/gate.js';

const SECRET = 'a secret of sixteen';

let transport: ModelTransport;
let store: MemoryStore;
const clients: Client[] = [];

beforeEach(() => {
  transport = new ModelTransport();
  store = new MemoryStore();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

interface Tab {
  client: Client;
  transport: ModelTransport;
  problems: Problem[];
  signedOut: unknown[];
}

/** A client of the same server; each tab has a transport of its own, so that they are cut one by one. */
function tab(options: Partial<ClientOptions> = {}): Tab {
  const own = new ModelTransport();
  Object.defineProperty(own, 'world', { value: transport.world });
  const client = new Client({
    url: 'ws://model',
    transport: own,
    tokens: store,
    backOff: { baseMs: 1, capMs: 1 },
    ...options,
  });
  clients.push(client);
  const problems: Problem[] = [];
  const signedOut: unknown[] = [];
  client.on('problem', (problem) => problems.push(problem));
  client.on('signedOut', (event) => signedOut.push(event));
  return { client, transport: own, problems, signedOut };
}

async function signedIn(secret = SECRET): Promise<Tab> {
  const made = tab();
  await made.client.connect();
  await made.client.loginGuest({ secret });
  await settle();
  return made;
}

/** The server does not take the access tokens given so far any more. */
function expire(): void {
  for (const user of transport.world.users.values()) user.access.clear();
}

async function again(at: Tab): Promise<void> {
  at.transport.link.lose();
  await vi.waitFor(() => {
    expect(at.client.connection.state).toBe('online');
  });
  await settle();
}

describe('the second run of a program', () => {
  test('is signed in when connect is over, and told so; the first is told that nobody is', async () => {
    const first = tab();
    expect(await first.client.connect()).toBeUndefined();
    await first.client.loginGuest({ secret: SECRET });
    first.client.close();
    await settle();
    const second = tab();
    const identity = await second.client.connect();
    expect(identity?.user).toBe(first.client.identity?.user);
    expect(await second.client.online()).toStrictEqual(identity);
  });

  test('is told that nobody is signed in when its tokens are good no more', async () => {
    store.kept = { access: 'access-8', refresh: 'refresh-8' };
    const { client, signedOut } = tab();
    expect(await client.connect()).toBeUndefined();
    expect(signedOut).toHaveLength(1);
  });

  test('keeps calls made before the store was read for the player whom it brings', async () => {
    await signedIn();
    const { client } = tab();
    const call = client.call('GetAccount', {});
    void client.connect();
    expect((await call).user).toBe(transport.world.users.get(SECRET)?.user);
  });
});

describe('tabs that share a store', () => {
  test('one signs out and in as another player: the other one clears nothing and plays nobody else', async () => {
    const [a, b] = [await signedIn(), tab()];
    await b.client.connect();
    await a.client.logout();
    await a.client.loginGuest({ secret: 'another player here' });
    await settle();
    const kept = store.kept;
    expire();
    transport.world.users.get('another player here')?.access.add(kept?.access ?? '');
    await again(b);
    expect(store.kept).toStrictEqual(kept);
    expect(b.client.identity).toBeUndefined();
    expect(b.signedOut).toMatchObject([
      { fault: { message: expect.stringContaining('another player') as string } },
    ]);
    expect(a.client.identity?.user).toBe(kept?.user);
  });

  test('one signs out: the other one leaves what is not its own', async () => {
    const [a, b] = [await signedIn(), tab()];
    await b.client.connect();
    store.kept = { access: 'x', refresh: 'of somebody', user: '0000000000000009' };
    await b.client.logout();
    await settle();
    expect(store.kept.refresh).toBe('of somebody');
    await a.client.logout();
    await settle();
    expect(store.kept.refresh).toBe('of somebody');
  });

  test('the one that signed in last clears its own tokens', async () => {
    const a = await signedIn();
    await a.client.logout();
    await settle();
    expect(store.kept).toStrictEqual({});
  });

  test('one slept while the other renewed twice: it wakes with the new tokens and uses no old one', async () => {
    const [a, b] = [await signedIn(), tab()];
    await b.client.connect();
    for (let times = 0; times < 2; times += 1) {
      expire();
      await again(a);
    }
    // The idempotency keys of the old tokens are forgotten, so another use of them ends the session.
    transport.world.results.clear();
    transport.world.calls.length = 0;
    await again(b);
    expect(transport.world.calls).not.toContain('RefreshTokens');
    expect(b.client.identity?.user).toBe(a.client.identity?.user);
    expect(b.signedOut).toStrictEqual([]);
  });

  test('one whose access token ran out while it was connected takes the other’s', async () => {
    const [a, b] = [await signedIn(), tab()];
    await b.client.connect();
    expire();
    await again(a);
    transport.world.results.clear();
    transport.world.calls.length = 0;
    const { link } = b.transport;
    if (link.connection !== undefined) link.connection.user = undefined;
    await b.client.call('GetAccount', {});
    expect(transport.world.calls).toContain('Authenticate');
    expect(transport.world.calls).not.toContain('RefreshTokens');
    expect(b.signedOut).toStrictEqual([]);
  });

  test('renew one after the other where there are Web Locks', async () => {
    const held: string[] = [];
    let tail: Promise<unknown> = Promise.resolve();
    const request = (name: string, _: unknown, step: () => Promise<void>): Promise<void> => {
      const turn = tail.then(async () => {
        held.push(name);
        await step();
        held.push('free');
      });
      tail = turn;
      return turn;
    };
    vi.stubGlobal('navigator', { locks: { request } });
    const [a, b] = [await signedIn(), tab()];
    await b.client.connect();
    expire();
    transport.world.results.clear();
    transport.world.calls.length = 0;
    for (const { transport: own } of [a, b]) {
      own.accepts = false;
      own.link.lose();
    }
    await vi.waitFor(() => {
      expect([a.transport.links.length, b.transport.links.length]).toStrictEqual([2, 2]);
    });
    for (const { transport: own } of [a, b]) own.link.accept();
    await vi.waitFor(() => {
      expect(a.client.connection.state + b.client.connection.state).toBe('onlineonline');
    });
    await vi.waitFor(() => {
      expect(held).toStrictEqual(['pitturu tokens ws://model', 'free', 'pitturu tokens ws://model', 'free']);
    });
    expect(transport.world.calls.filter((name) => name === 'RefreshTokens')).toHaveLength(1);
  });

  test('go on without locks that are refused', async () => {
    vi.stubGlobal('navigator', { locks: { request: () => Promise.reject(new Error('not here')) } });
    const a = await signedIn();
    expire();
    await again(a);
    expect(a.client.identity).toBeDefined();
  });
});

describe('a store that', () => {
  const broken: [string, () => unknown][] = [
    [
      'throws',
      () => {
        throw new Error('quota');
      },
    ],
    ['rejects', () => Promise.reject(new Error('quota'))],
    [
      'throws nothing at all',
      () => {
        const nothing = undefined as unknown as Error;
        throw nothing;
      },
    ],
  ];

  test.each(broken)('%s when it loads: nobody is signed in, and the application is told', async (_, load) => {
    const { client, problems } = tab({ tokens: { load: load as () => Tokens, save: () => undefined } });
    expect(await client.connect()).toBeUndefined();
    await client.loginGuest({ secret: SECRET });
    expect(client.identity).toBeDefined();
    expect(problems[0]).toMatchObject({ kind: 'token_store', doing: 'load' });
  });

  test.each(broken)('%s when it saves: everything goes on, and the application is told', async (_, save) => {
    const {
      client,
      problems,
      transport: own,
    } = tab({
      tokens: { load: () => undefined, save: save as () => Promise<void> },
    });
    await client.connect();
    await client.loginGuest({ secret: SECRET });
    const { info } = await client.call('CreateRoom', { kind: 'public', name: 'lobby' });
    const texts: string[] = [];
    client.on('MessageSent', ({ msg }) => texts.push(msg.text));
    await client.call('SendMessage', { room: info.room, text: 'one' });
    expire();
    own.link.lose();
    await client.call('SendMessage', { room: info.room, text: 'two' });
    expect(texts).toStrictEqual(['one', 'two']);
    expect(client.connection.state).toBe('online');
    expect(problems.filter(({ kind }) => kind === 'token_store').length).toBeGreaterThan(0);
    expect(problems).toContainEqual(expect.objectContaining({ kind: 'token_store', doing: 'save' }));
  });

  test.each([
    'text',
    7,
    [],
    { access: 7 },
    { refresh: '' },
    { refresh: 'a\u0000b' },
    { refresh: 'x'.repeat(3_000) },
    { access: {} },
    Object.defineProperty({}, 'access', {
      get: () => {
        throw new Error('a getter');
      },
    }),
  ])('gives what is no tokens (%#): nothing of it is sent', async (given) => {
    const { client, problems } = tab({ tokens: { load: () => given, save: () => undefined } });
    expect(await client.connect()).toBeUndefined();
    await client.loginGuest({ secret: SECRET });
    expect(problems.length).toBe(Array.isArray(given) ? 0 : 1);
  });

  test('gives null, as a parser of an empty place does: nobody is signed in', async () => {
    const { client, problems } = tab({ tokens: { load: () => null, save: () => undefined } });
    expect(await client.connect()).toBeUndefined();
    expect(problems).toStrictEqual([]);
  });

  test('never answers when it loads: the client goes on without', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const { client, problems } = tab({
      tokens: { load: () => new Gate<Tokens>().promise, save: () => undefined },
    });
    const connecting = client.connect();
    await vi.advanceTimersByTimeAsync(STORE_MS + 10);
    expect(await connecting).toBeUndefined();
    expect(problems).toMatchObject([{ kind: 'token_store', doing: 'load' }]);
  });

  test('never answers when it saves: later tokens are saved all the same', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const saved: Tokens[] = [];
    const save = (tokens: Tokens): Promise<void> | undefined => {
      saved.push(tokens);
      return saved.length === 1 ? new Gate<void>().promise : undefined;
    };
    const { client, problems } = tab({ tokens: { load: () => undefined, save: save } });
    await client.connect();
    await client.loginGuest({ secret: SECRET });
    await settle();
    expect(client.connection.state).toBe('online');
    await client.logout();
    await client.loginGuest({ secret: 'another player here' });
    expect(saved).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(STORE_MS + 10);
    expect(saved.at(-1)?.user).toBe(client.identity?.user);
    expect(problems).toMatchObject([{ kind: 'token_store', doing: 'save' }]);
  });

  test('saves nothing for long does not bring old tokens back', async () => {
    const {
      client,
      signedOut,
      transport: own,
    } = tab({
      tokens: { load: () => ({ access: 'access-1', refresh: 'refresh-1' }), save: () => undefined },
    });
    transport.world.tokensOf(SECRET);
    expect(await client.connect()).toBeDefined();
    for (let times = 0; times < 3; times += 1) {
      expire();
      own.link.lose();
      await client.call('GetAccount', {});
    }
    expect(signedOut).toStrictEqual([]);
  });

  test('is slow saves in the order in which the tokens came', async () => {
    const saved: (string | undefined)[] = [];
    const save = async ({ refresh }: Tokens): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, saved.length === 0 ? 20 : 1));
      saved.push(refresh);
    };
    const { client } = tab({ tokens: { load: () => undefined, save } });
    await client.connect();
    await client.loginGuest({ secret: SECRET });
    await client.logout();
    await client.loginGuest({ secret: SECRET });
    await vi.waitFor(() => {
      expect(saved.length).toBe(2);
    });
    expect(saved).toStrictEqual(['refresh-1', 'refresh-2']);
  });
});
