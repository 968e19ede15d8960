import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, expectTypeOf, test, vi } from 'vitest';
import { WebSocket as WebSocketOfWs } from 'ws';

import { Client as AnyClient } from '../src/client.js';
import { QUEUE_MAX } from '../src/events.js';
import { METHODS } from '../src/generated/tables.js';
import type { Methods } from '../src/generated/tables.js';
import type { MessageSent, Sent, SignedIn } from '../src/generated/types.js';
import { CallError, Client, CODES, PACKAGE_VERSION } from '../src/node.js';
import type { ClientOptions, Problem, Tokens, WebSocketConstructor, WebSocketLike } from '../src/node.js';
import { FakeServer } from './support/fake-server.js';
import { Refusal } from './support/model.js';

const SECRET = 'a secret of sixteen';
const QUICK = { backOff: { baseMs: 10, capMs: 50 } };

let server: FakeServer;
const clients: Client[] = [];

beforeEach(async () => {
  server = await FakeServer.start();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await server.stop();
});

function newClient(options: Partial<ClientOptions> = {}): Client {
  const client = new Client({ url: server.url, ...QUICK, ...options });
  clients.push(client);
  return client;
}

async function player(secret = SECRET, options: Partial<ClientOptions> = {}): Promise<Client> {
  const client = newClient(options);
  await client.connect();
  await client.loginGuest({ secret });
  return client;
}

async function refusal(call: Promise<unknown>): Promise<CallError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CallError)) throw new Error(`not refused: ${String(error)}`);
  return error;
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries += 1) {
    if (tries > 500) throw new Error(`it did not come to pass: ${String(condition)}`);
    await sleep(10);
  }
}

describe('calls', () => {
  test('between two players: join, send, hear', async () => {
    const [one, two] = [await player('the first of secrets'), await player('the second secret')];
    const { info } = await one.call('CreateRoom', { kind: 'public', name: 'lobby' });
    const view = await two.call('JoinRoom', { room: info.room });
    expect(view.info.name).toBe('lobby');
    const heard: MessageSent[] = [];
    two.on('MessageSent', (event) => heard.push(event));
    const sent = await one.call('SendMessage', { room: info.room, text: 'hello' });
    expect(sent.seq).toBe(1);
    await until(() => heard.length === 1);
    expect(heard[0]?.msg.text).toBe('hello');
  });

  test('have keys that are new, unless they are given', async () => {
    const client = await player();
    const { info } = await client.call('CreateRoom', { kind: 'public', name: 'lobby' });
    await client.call('SendMessage', { room: info.room, text: 'a' });
    await client.call('SendMessage', { room: info.room, text: 'b' }, { key: 'of an earlier run' });
    const [drawn, given] = server.world.attempts.slice(-2);
    expect(drawn?.[2]).toBe(0);
    expect(given).toStrictEqual(['SendMessage', 'of an earlier run']);
  });

  test('have the types of the table', () => {
    expectTypeOf<Methods['SendMessage']['reply']>().toEqualTypeOf<Sent>();
    const client = new Client({ url: 'ws://localhost' });
    expectTypeOf<ReturnType<Client['loginGuest']>>().resolves.toEqualTypeOf<SignedIn>();
    // @ts-expect-error: no such method
    void client.call('SendMessages', {}).catch(() => undefined);
    // @ts-expect-error: a field is missing
    void client.call('SendMessage', { room: 'x' }).catch(() => undefined);
    client.close();
  });

  test('that are refused say why and what to do', async () => {
    const client = await player();
    server.world.before = () => {
      throw new Refusal('slow_mode', { retry_after_ms: 1_500, field: 'text', message: 'wait' });
    };
    const error = await refusal(client.call('SendMessage', { room: '0000000000000001', text: 'x' }));
    expect(error).toMatchObject({
      name: 'CallError',
      code: 'slow_mode',
      number: CODES.slow_mode.number,
      retry: 'later',
      retryAfterMs: 1_500,
      field: 'text',
      message: 'text: wait',
    });
  });

  test('that cannot travel are refused here, with the field', async () => {
    const client = newClient();
    const room = '0000000000000001';
    const surrogate = await refusal(client.call('SendMessage', { room, text: 'a\ud800' }));
    expect(surrogate).toMatchObject({ code: 'invalid_argument', field: 'text', retry: 'never' });
    const wrong = { room: 7 } as unknown as { room: string };
    expect(await refusal(client.call('JoinRoom', wrong))).toMatchObject({ field: 'room' });
    const data = new Uint8Array(70_000);
    expect(await refusal(client.call('Echo', { data }))).toMatchObject({ code: 'invalid_argument' });
    expect(await refusal(client.call('Echo', { data: new Uint8Array() }, { key: '' }))).toMatchObject({
      code: 'invalid_argument',
    });
  });

  test('that were mistyped are told what was meant', async () => {
    const client = await player();
    const call = client.call.bind(client) as (...given: unknown[]) => Promise<unknown>;
    const message = async (...given: unknown[]): Promise<string> => (await refusal(call(...given))).message;
    for (const method of Object.keys(METHODS)) {
      const mistyped = `${method.charAt(0).toLowerCase()}${method.slice(1)}`;
      expect(await message(mistyped, {})).toBe(`there is no method ${mistyped}: ${method} is meant`);
      for (const nothing of [undefined, null]) {
        expect(await message(method, nothing)).toMatch(
          new RegExp(`^call\\('${method}', request\\): a request is missing, such as {`),
        );
      }
    }
    expect(await message('Enter', {})).toBe('there is no method Enter: EnterRoom is meant');
    expect(await message('Sing', {})).toContain('there are Echo, ');
    expect(await message('EnterRoom', { name: 'lobby' })).toBe('handle: is missing; there is no field name');
    expect(await message('EnterRoom', {})).toBe('handle: expected a value');
    const echo = { data: new Uint8Array() };
    for (const [options, expected] of [
      [{ deadline: 5 }, /no option deadline: deadlineMs is meant/],
      [{ DeadlineMs: 5 }, /no option DeadlineMs: deadlineMs is meant/],
      [{ abort: 5 }, /no option abort: there are signal, deadlineMs, key/],
      [5, /options have to be an object with signal/],
      [null, /options have to be an object with signal/],
    ] as const) {
      const error: unknown = await call('Echo', echo, options).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(TypeError);
      expect((error as TypeError).message).toMatch(expected);
    }
    const make = (options?: unknown) => () => new Client(options as ClientOptions);
    expect(make()).toThrow(
      new TypeError("new Client(options): options are missing, such as { url: 'ws://127.0.0.1:7350' }"),
    );
    expect(make('ws://127.0.0.1:7350')).toThrow('options are missing');
    expect(make({ url: server.url, token: 1 })).toThrow('there is no option token: tokens is meant');
    expect(make({ address: server.url })).toThrow('there is no option address: there are url, tokens,');
  });

  test('that are refused name their field in the message', async () => {
    const fault = { code: CODES.invalid_argument.number, message: 'too short' };
    expect(new CallError({ ...fault, field: 'rooms[0].handle' }).message).toBe('rooms[0].handle: too short');
    expect(new CallError(fault).message).toBe('too short');
    const client = await player();
    const { message } = await refusal(client.call('LeaveRoom', { room: 'lobby' }));
    expect(message).toBe('room: expected an id');
  });

  test('can be given up by a signal, before and on the wire', async () => {
    const client = await player();
    for (const connection of server.sockets.keys()) connection.held = true;
    const reason = new Error('changed my mind');
    const controller = new AbortController();
    const call = client.call('Echo', { data: new Uint8Array() }, { signal: controller.signal });
    await sleep(20);
    controller.abort(reason);
    const error = await refusal(call);
    expect(error.code).toBe('cancelled');
    expect(error.cause).toBe(reason);
    await until(() => [...server.sockets.keys()].some(({ cancelled }) => cancelled.length === 1));
    const aborted = client.call('Echo', { data: new Uint8Array() }, { signal: controller.signal });
    expect((await refusal(aborted)).code).toBe('cancelled');
  });

  test('end with deadline after the time of the call or of the client', async () => {
    const client = newClient({ deadlineMs: 30 });
    expect((await refusal(client.call('Echo', { data: new Uint8Array() }))).code).toBe('deadline');
    const patient = newClient();
    const call = patient.call('Echo', { data: new Uint8Array() }, { deadlineMs: 10 });
    expect(await refusal(call)).toMatchObject({ code: 'deadline', retry: 'later' });
  });

  test('beyond what is held are refused as overloaded', async () => {
    const client = newClient();
    const calls = Array.from({ length: 1_024 }, () => client.call('Echo', { data: new Uint8Array() }));
    const error = await refusal(client.call('Echo', { data: new Uint8Array() }));
    expect(error).toMatchObject({ code: 'overloaded', retry: 'later' });
    await client.connect();
    expect(await Promise.all(calls)).toHaveLength(1_024);
  });
});

describe('the connection', () => {
  test('comes back by itself, with the rooms and what was missed', async () => {
    const client = await player();
    const { info } = await client.call('CreateRoom', { kind: 'public', name: 'lobby' });
    const texts: string[] = [];
    const states: string[] = [];
    client.on('MessageSent', ({ msg }) => texts.push(msg.text));
    client.on('connection', ({ state }) => states.push(state));
    server.cut();
    // Being offline may be over before anybody looks.
    await until(() => states.includes('offline'));
    const room = server.world.room(info.room);
    for (const text of ['one', 'two', 'three', 'four', 'five']) server.world.post(room, text);
    const sent = await client.call('SendMessage', { room: info.room, text: 'mine' });
    expect(sent.seq).toBe(6);
    await until(() => texts.length === 6);
    expect(texts).toStrictEqual(['one', 'two', 'three', 'four', 'five', 'mine']);
    expect(states[0]).toBe('offline');
    expect(states.at(-1)).toBe('online');
  });

  test('survives a server that is away for a time, on the same port', async () => {
    const client = await player();
    const { info } = await client.call('CreateRoom', { kind: 'public', name: 'lobby' });
    const { port, world } = server;
    await server.stop();
    const call = client.call('SendMessage', { room: info.room, text: 'patience' });
    await sleep(100);
    server = await FakeServer.start(world, port);
    expect((await call).seq).toBe(1);
  });

  test('keeps tokens in the store of the program', async () => {
    let kept: Tokens | undefined;
    const tokens = {
      load: () => kept,
      save: (now: Tokens) => {
        kept = now;
      },
    };
    const first = await player(SECRET, { tokens });
    const user = first.identity?.user;
    expect(kept?.refresh).toBeDefined();
    first.close();
    const second = newClient({ tokens });
    await second.connect();
    await until(() => second.identity !== undefined);
    expect(second.identity?.user).toBe(user);
    await second.logout();
    await until(() => kept?.refresh === undefined);
    expect(kept).toStrictEqual({});
  });

  test('ends for good when it is closed', async () => {
    const client = await player();
    for (const connection of server.sockets.keys()) connection.held = true;
    const call = client.call('Echo', { data: new Uint8Array() });
    client.close();
    expect((await refusal(call)).code).toBe('disconnected');
    expect(client.connection).toStrictEqual({ state: 'stopped' });
    await until(() => server.sockets.size === 0);
    const refused = [client.call('GetAccount', {}), client.connect(), client.online()];
    for (const error of await Promise.all(refused.map(refusal))) {
      // A client that was closed never works again.
      expect(error).toMatchObject({ code: 'disconnected', retry: 'never' });
    }
    expect((await refusal(client.connect())).message).toBe('the client has been closed: make a new one');
    expect(client.connection).toStrictEqual({ state: 'stopped' });
  });

  test('is refused to those whom the server wants to stay away', async () => {
    const client = await player();
    for (const connection of server.sockets.keys()) connection.close(4300);
    await until(() => client.connection.state === 'stopped');
    expect(client.connection).toStrictEqual({ state: 'stopped', code: 4300 });
  });

  test('is given up when text comes instead of bytes', async () => {
    const client = await player();
    const states: string[] = [];
    client.on('connection', ({ state }) => states.push(state));
    for (const socket of server.sockets.values()) socket.send('hello');
    await until(() => states.includes('online'));
    expect(states[0]).toBe('offline');
  });

  test('needs an address and a WebSocket, and says so', async () => {
    expect(() => new Client({ url: 'http://127.0.0.1:1' })).toThrow(TypeError);
    const before = globalThis.WebSocket as typeof WebSocket | undefined;
    Reflect.deleteProperty(globalThis, 'WebSocket');
    try {
      const client = new AnyClient({ url: server.url });
      await expect(client.connect()).rejects.toThrow('pass one as the option `webSocket`');
    } finally {
      if (before !== undefined) globalThis.WebSocket = before;
    }
  });

  test('says why it does not come about: on the console once, in its state, and in calls that were too late', async () => {
    const refusing = createServer();
    refusing.on('upgrade', (_, socket) => {
      socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 15\r\n\r\nno socket\nhere\n');
    });
    refusing.listen(0, '127.0.0.1');
    await once(refusing, 'listening');
    const { port } = refusing.address() as AddressInfo;
    const gone = await FakeServer.start();
    const { url: goneUrl } = gone;
    await gone.stop();
    const cases: [string, RegExp][] = [
      [goneUrl, /ECONNREFUSED/],
      [goneUrl.replace('127.0.0.1', 'localhost'), /ECONNREFUSED/],
      [`ws://127.0.0.1:${String(port)}/path`, /the server answered HTTP 404 Not Found: no socket here$/],
      [server.url.replace('ws:', 'wss:'), /SSL|TLS|packet length/i],
    ];
    for (const [url, expected] of cases) {
      const log = vi.spyOn(console, 'error').mockImplementation(() => undefined);
      const client = newClient({ url, webSocket: WebSocketOfWs as unknown as WebSocketConstructor });
      const reasons: (string | undefined)[] = [];
      client.on('connection', (connection) => {
        if (connection.state === 'offline') reasons.push(connection.why);
      });
      void client.connect();
      const late = await refusal(client.call('Echo', { data: new Uint8Array() }, { deadlineMs: 300 }));
      expect(late.code).toBe('deadline');
      expect(late.message).toMatch(/^No answer came in time; never connected: /);
      expect(late.message).toMatch(expected);
      expect(reasons.length).toBeGreaterThan(1);
      for (const reason of reasons) expect(reason).toMatch(expected);
      expect(log.mock.calls).toStrictEqual([[expect.stringMatching(/^pitturu: no connection: /)]]);
      log.mockRestore();
      client.close();
    }
    refusing.close();
  });

  test('tells of a WebSocket that gives no reason, as those of browsers do', async () => {
    class Silent implements WebSocketLike {
      binaryType = '';
      onopen: WebSocketLike['onopen'] = null;
      onmessage: WebSocketLike['onmessage'] = null;
      onclose: WebSocketLike['onclose'] = null;
      onerror: WebSocketLike['onerror'] = null;
      constructor() {
        queueMicrotask(() => {
          this.onerror?.({ type: 'error' });
          this.onclose?.({ code: 1006, reason: '' });
        });
      }
      send = () => undefined;
      close = () => undefined;
    }
    const client = newClient({ webSocket: Silent });
    const problems: Problem[] = [];
    client.on('problem', (problem) => problems.push(problem));
    void client.connect();
    await until(() => problems.length > 0);
    expect(problems).toHaveLength(1);
    expect(JSON.stringify(problems)).toMatch(/unreachable.*does not say why/);
  });

  test('rejects connect when it is closed meanwhile', async () => {
    const client = newClient();
    await server.stop();
    const connecting = client.connect();
    await sleep(30);
    client.close();
    expect((await refusal(connecting)).code).toBe('disconnected');
    server = await FakeServer.start();
  });
});

describe('events', () => {
  test('come to listeners until they are told to stop', async () => {
    const client = await player();
    const { info } = await client.call('CreateRoom', { kind: 'public', name: 'lobby' });
    const texts: string[] = [];
    const stop = client.on('MessageSent', ({ msg }) => {
      texts.push(msg.text);
      if (msg.text === 'b') stop();
    });
    for (const text of ['a', 'b', 'c']) await client.call('SendMessage', { room: info.room, text });
    expect(texts).toStrictEqual(['a', 'b']);
  });

  test('come as an async stream, in order, until the loop is left', async () => {
    const client = await player();
    const { info } = await client.call('CreateRoom', { kind: 'public', name: 'lobby' });
    const events = client.events('MessageSent');
    for (const text of ['a', 'b', 'c']) server.world.post(server.world.room(info.room), text);
    const texts: string[] = [];
    for await (const { msg } of events) {
      texts.push(msg.text);
      if (msg.text === 'c') break;
    }
    expect(texts).toStrictEqual(['a', 'b', 'c']);
    expect(await events.next()).toStrictEqual({ done: true, value: undefined });
  });

  test('stop coming when the signal aborts or the client is closed', async () => {
    const client = await player();
    const controller = new AbortController();
    const read = async (events: AsyncIterable<unknown>): Promise<string> => {
      for await (const event of events) expect(event).toBeUndefined();
      return 'over';
    };
    const aborted = read(client.events('TypingStarted', { signal: controller.signal }));
    const closed = read(client.events('TypingStarted'));
    controller.abort();
    expect(await aborted).toBe('over');
    client.close();
    expect(await closed).toBe('over');
    expect(await read(client.events('gap'))).toBe('over');
  });

  test('wait at the server for a slow reader: none is lost, and few wait here', async () => {
    server.world.page = 50;
    const client = await player();
    const { info } = await client.call('CreateRoom', { kind: 'public', name: 'lobby' });
    const events = client.events('MessageSent');
    const total = 3_000;
    const room = server.world.room(info.room);
    for (let n = 1; n <= total; n += 1) {
      server.world.post(room, String(n));
      if (n % 100 === 0) await sleep(1);
    }
    await sleep(100);
    const { size } = events as unknown as { size: number };
    expect(size).toBeGreaterThan(500);
    expect(size).toBeLessThan(1_000);
    expect(client.connection.state).toBe('catching_up');
    let next = 1;
    for await (const { msg } of events) {
      expect(msg.seq).toBe(next);
      next += 1;
      if (msg.seq === total) break;
    }
    await until(() => client.connection.state === 'online');
  });

  test('that may be lost are dropped when nobody reads them', async () => {
    const client = await player();
    const events = client.events('TypingStarted');
    const [connection] = server.sockets.keys();
    const room = '0000000000000001';
    for (let n = 0; n < QUEUE_MAX + 10; n += 1) {
      connection?.event('TypingStarted', { room, user: room, name: String(n) });
    }
    connection?.flush();
    await sleep(100);
    expect((events as unknown as { size: number }).size).toBe(QUEUE_MAX);
    expect(await events.next()).toMatchObject({ done: false, value: { name: '10' } });
  });
});

test('the version is that of the package', async () => {
  const { default: manifest } = await import('../package.json', { with: { type: 'json' } });
  expect(PACKAGE_VERSION).toBe(manifest.version);
});
