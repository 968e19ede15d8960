// A client that races and moves between two ways, over fake links and a model server, on the clock of fake timers.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { Client } from '../src/client.js';
import type { Problem } from '../src/events.js';
import type { ClientOptions } from '../src/options.js';
import type { Preference } from '../src/transport/ways.js';
import { encodeClientFrame } from '../src/wire/frame.js';
import { randomOf } from './support/driver.js';
import { FakeNet } from './support/fake-net.js';

const SECRET = 'a secret of sixteen';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

let hosts = 0;

/** A client of a host that no other test has spoken of, so that nothing is remembered of it. */
function clientOf(net: FakeNet, options: Partial<ClientOptions> = {}): { client: Client; heard: Heard } {
  hosts += 1;
  net.world.quic ??= { port: 443 };
  const url = `wss://host${String(hosts)}.example`;
  const client = new Client({ url, ...options }, net.transports);
  return { client, heard: new Heard(client) };
}

/** What an application hears. */
class Heard {
  readonly states: string[] = [];
  readonly texts: string[] = [];
  readonly seqs: number[] = [];
  readonly moments: string[] = [];
  readonly signedIn: string[] = [];
  readonly problems: Problem[] = [];

  constructor(client: Client) {
    client.on('connection', ({ state }) => this.states.push(state));
    client.on('MessageSent', ({ msg }) => {
      this.texts.push(msg.text);
      this.seqs.push(msg.seq);
    });
    client.on('EphemeralSent', ({ text }) => this.moments.push(text));
    client.on('signedIn', ({ user }) => this.signedIn.push(user));
    client.on('problem', (problem) => this.problems.push(problem));
  }
}

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

/** Signed in, and in a room. */
async function playing(net: FakeNet, client: Client): Promise<string> {
  void client.connect();
  void client.loginGuest({ secret: SECRET, name: 'Jun' });
  const room = net.world.createRoom().id;
  const opened = client.call('OpenRoom', { room });
  await pass(1_000);
  await opened;
  return room;
}

describe('the first connection', () => {
  test('makes no WebSocket where the better way opens at once', async () => {
    const net = new FakeNet();
    const { client, heard } = clientOf(net);
    void client.connect();
    await pass(10_000);
    expect(net.ways).toStrictEqual(['webtransport']);
    expect(net.urls[0]).toMatch(/^https:\/\/host\d+\.example:443\/$/);
    expect(client.transport).toBe('webtransport');
    expect(client.transportStats).toStrictEqual({
      webtransportOpened: 1,
      websocketOpened: 0,
      webtransportFailed: 0,
      handovers: 0,
    });
    expect(heard.states).toStrictEqual(['connecting', 'online']);
    client.close();
  });

  test('is greeted by WebSocket after 200 ms and its own opening where UDP is blocked', async () => {
    const net = new FakeNet();
    net.roads.webtransport.opens = 'never';
    const { client, heard } = clientOf(net);
    const start = performance.now();
    void client.connect();
    await pass(20_000);
    const webSocket = net.made.find(({ way }) => way === 'websocket');
    expect(webSocket?.greetedAt).toBe(start + 200 + 60);
    expect(net.made.find(({ way }) => way === 'webtransport')?.greetedAt).toBeUndefined();
    expect(client.transport).toBe('websocket');
    expect(client.transportStats.webtransportFailed).toBe(1);
    expect(heard.states).toStrictEqual(['connecting', 'online']);
    expect(heard.problems).toStrictEqual([]);
    expect(net.links.size).toBe(1);
    client.close();
  });

  test('closes the one that loses without a word', async () => {
    const net = new FakeNet();
    net.roads.webtransport.opens = 240;
    const { client } = clientOf(net);
    void client.connect();
    await pass(10_000);
    const [better, webSocket] = net.made;
    expect(better?.greetedAt).toBeDefined();
    expect(webSocket?.closedWith).toBe(1000);
    expect(webSocket?.greetedAt).toBeUndefined();
    client.close();
  });

  test('says why there is none when both fail, and goes on trying both', async () => {
    const net = new FakeNet();
    net.roads.webtransport.opens = 'refused';
    net.roads.websocket.opens = 'refused';
    const { client, heard } = clientOf(net);
    void client.connect();
    await pass(2_000);
    expect(heard.problems).toStrictEqual([{ kind: 'unreachable', why: 'websocket is refused' }]);
    expect(net.ways.slice(0, 4)).toStrictEqual(['webtransport', 'websocket', 'webtransport', 'websocket']);
    net.roads.webtransport.opens = 30;
    await pass(30_000);
    expect(client.connection.state).toBe('online');
    client.close();
  });

  test('goes on with WebSocket where WebTransport throws', async () => {
    const net = new FakeNet();
    net.roads.webtransport.opens = 'throws';
    const { client, heard } = clientOf(net);
    void client.connect();
    await pass(1_000);
    expect(client.transport).toBe('websocket');
    expect(heard.problems.map(({ kind }) => kind)).toStrictEqual(['transport']);
    client.close();
  });

  test('is moved to the better way that opens late, and nobody hears of it', async () => {
    const net = new FakeNet();
    net.roads.webtransport.opens = 1_500;
    const { client, heard } = clientOf(net);
    const room = await playing(net, client);
    expect(client.transport).toBe('websocket');
    heard.states.length = 0;
    heard.signedIn.length = 0;
    await pass(1_000);
    expect(client.transport).toBe('webtransport');
    expect(client.transportStats).toMatchObject({ webtransportOpened: 1, websocketOpened: 1, handovers: 1 });
    net.world.post(net.world.room(room), 'here');
    await pass(100);
    expect(heard.texts).toStrictEqual(['here']);
    expect(heard.states).toStrictEqual([]);
    expect(heard.signedIn).toStrictEqual([]);
    expect(net.links.size).toBe(1);
    client.close();
  });

  test('trusts the certificate that the welcome tells, on ws:', async () => {
    const net = new FakeNet();
    const hash = 'ab'.repeat(32);
    net.world.quic = { port: 7351, certificate_hashes: [hash] };
    const { client } = clientOf(net, { url: `ws://127.0.0.1:${String(20_000 + hosts)}` });
    void client.connect();
    await pass(1_000);
    expect(net.ways).toStrictEqual(['websocket']);
    await pass(2_000);
    expect(net.ways).toStrictEqual(['websocket', 'webtransport']);
    expect(net.urls[1]).toBe('https://127.0.0.1:7351/');
    expect(net.hashes).toStrictEqual([[hash]]);
    expect(client.transport).toBe('webtransport');
    client.close();
  });
});

const seeds = Array.from({ length: Number(process.env['PITTURU_SEEDS'] ?? 6) }, (_, n) => n + 1);

describe('moving', () => {
  test.each(seeds)(
    'there and back under calls and events loses nothing, doubles nothing and is not seen (seed %d)',
    async (seed) => {
      const random = randomOf(seed);
      const net = new FakeNet();
      net.roads.websocket.latencyMs = 5 + Math.floor(random() * 80);
      net.roads.webtransport.latencyMs = 5 + Math.floor(random() * 80);
      // Pages are fetched faster than messages come.
      net.world.page = 10;
      const { client, heard } = clientOf(net);
      const room = await playing(net, client);
      heard.states.length = 0;
      const sends: Promise<unknown>[] = [];
      const texts: string[] = [];
      const moments: string[] = [];
      const preferences: Preference[] = ['auto', 'websocket', 'webtransport'];
      for (let n = 0; n < 1_000; n += 1) {
        if (random() < 0.5) {
          texts.push(`own ${String(n)}`);
          sends.push(client.call('SendMessage', { room, text: `own ${String(n)}` }));
        }
        if (random() < 0.3) net.world.post(net.world.room(room), `other ${String(n)}`);
        if (random() < 0.3) {
          moments.push(String(n));
          net.world.say(net.world.room(room), String(n));
        }
        if (random() < 0.05) {
          client.preferTransport(preferences[Math.floor(random() * 3)] ?? 'auto');
        }
        await pass(Math.floor(random() * 60));
      }
      await pass(10_000);
      await Promise.all(sends);
      const log = net.world.room(room).log.flatMap((entry) => ('seq' in entry ? [entry.body] : []));
      const said = log.map(({ msg }) => (msg as { text: string }).text);
      expect(said.filter((text) => text.startsWith('own'))).toStrictEqual(texts);
      expect(heard.texts).toStrictEqual(said);
      expect(heard.seqs).toStrictEqual(said.map((_, at) => at + 1));
      // What is for the moment may come in another order while two connections bring it.
      expect(heard.moments.sort()).toStrictEqual(moments.sort());
      expect(heard.states).toStrictEqual([]);
      expect(heard.problems).toStrictEqual([]);
      expect(client.transportStats.handovers).toBeGreaterThan(5);
      expect(net.links.size).toBe(1);
      client.close();
      expect(net.links.size).toBe(0);
    },
  );

  test('happens when the present way is lost quietly, and calls are answered', async () => {
    const net = new FakeNet();
    const { client, heard } = clientOf(net);
    const room = await playing(net, client);
    expect(client.transport).toBe('webtransport');
    heard.states.length = 0;
    for (const link of net.open()) link.silent = true;
    net.roads.webtransport.opens = 'never';
    const sent = client.call('SendMessage', { room, text: 'over' });
    await pass(3_000);
    expect(net.ways).toStrictEqual(['webtransport', 'websocket']);
    await pass(3_000);
    await sent;
    expect(client.transport).toBe('websocket');
    net.world.post(net.world.room(room), 'and out');
    await pass(100);
    expect(heard.texts).toStrictEqual(['over', 'and out']);
    expect(heard.states).toStrictEqual([]);
    client.close();
  });

  test('goes on when the way that it was moved to breaks at once', async () => {
    const net = new FakeNet();
    net.roads.webtransport.opens = 1_500;
    const { client, heard } = clientOf(net);
    const room = await playing(net, client);
    heard.states.length = 0;
    await pass(505);
    const [better] = net.open('webtransport');
    expect(better?.greetedAt).toBeDefined();
    better?.end();
    await pass(5_000);
    expect(client.transport).toBe('websocket');
    await expect(
      Promise.race([client.call('SendMessage', { room, text: 'x' }), pass(1_000).then(() => 'late')]),
    ).resolves.toHaveProperty('seq');
    expect(heard.states).toStrictEqual([]);
    expect(client.transportStats.webtransportFailed).toBe(1);
    client.close();
  });

  test('may begin again as soon as the other link has broken', async () => {
    const net = new FakeNet();
    net.roads.webtransport.opens = 1_500;
    const { client } = clientOf(net);
    await playing(net, client);
    await pass(505);
    net.open('webtransport')[0]?.end();
    net.roads.webtransport.opens = 30;
    client.preferTransport('webtransport');
    await pass(200);
    expect(client.transport).toBe('webtransport');
    client.close();
  });

  test('takes input to datagrams, and back to messages', async () => {
    const net = new FakeNet();
    const { client } = clientOf(net);
    const room = await playing(net, client);
    client.input(room, 1, Uint8Array.of(1));
    client.preferTransport('websocket');
    await pass(1_000);
    const [better, webSocket] = net.made;
    expect(client.transport).toBe('websocket');
    const received: Uint8Array[] = [];
    const { connection } = webSocket ?? {};
    if (connection === undefined) throw new Error('there is no WebSocket');
    vi.spyOn(connection, 'receive').mockImplementation((message) => {
      received.push(message);
    });
    client.input(room, 2, Uint8Array.of(2));
    await pass(100);
    const input = (seq: number): Uint8Array =>
      encodeClientFrame({ kind: 'input', room, seq, data: Uint8Array.of(seq) });
    expect(better?.datagrams).toStrictEqual([input(1)]);
    expect(received).toStrictEqual([input(2)]);
    client.close();
  });

  test('is given up when the other link throws, which is told', async () => {
    const net = new FakeNet();
    net.roads.webtransport.opens = 1_500;
    const { client, heard } = clientOf(net);
    await playing(net, client);
    heard.states.length = 0;
    const better = net.made.find(({ way }) => way === 'webtransport');
    if (better !== undefined) better.throws = new Error('no');
    await pass(5_000);
    expect(heard.problems.map(({ kind }) => kind)).toStrictEqual(['transport']);
    expect(client.transport).toBe('websocket');
    expect(heard.states).toStrictEqual([]);
    expect(net.links.size).toBe(1);
    client.close();
  });

  test('goes on over the other link when the present one breaks meanwhile', async () => {
    const net = new FakeNet();
    net.roads.webtransport.opens = 1_500;
    const { client, heard } = clientOf(net);
    const room = await playing(net, client);
    await pass(505);
    net.open('websocket')[0]?.end();
    await pass(200);
    expect(client.transport).toBe('webtransport');
    expect(client.connection.state).toBe('online');
    expect(heard.states).not.toContain('offline');
    net.world.post(net.world.room(room), 'here');
    await pass(50);
    expect(heard.texts).toStrictEqual(['here']);
    client.close();
  });
});

describe('closing', () => {
  const moments = Array.from({ length: 80 }, (_, n) => n * 29);

  test.each(moments)('after %d ms leaves no link and no timer', async (ms) => {
    const net = new FakeNet();
    net.roads.webtransport.opens = 900;
    const { client } = clientOf(net);
    void client.connect().catch(() => undefined);
    void client.loginGuest({ secret: SECRET, name: 'Jun' }).catch(() => undefined);
    await pass(ms);
    if (ms > 1_500) client.preferTransport('websocket');
    client.close();
    const made = net.made.length;
    expect(net.links.size).toBe(0);
    expect(vi.getTimerCount()).toBe(net.pending);
    client.preferTransport('auto');
    await pass(60_000);
    expect(net.made).toHaveLength(made);
    expect(vi.getTimerCount()).toBe(0);
    expect(client.transport).toBeUndefined();
  });

  test('by the server for good closes all', async () => {
    const net = new FakeNet();
    net.roads.webtransport.opens = 1_500;
    const { client } = clientOf(net);
    await playing(net, client);
    await pass(505);
    expect(net.open()).toHaveLength(2);
    net.open('websocket')[0]?.end(4300);
    expect(client.life).toBe('stopped');
    expect(net.links.size).toBe(0);
    client.close();
  });
});

describe('what is chosen', () => {
  test('WebSocket alone is WebSocket alone', async () => {
    const net = new FakeNet();
    const { client } = clientOf(net, { transports: 'websocket' });
    void client.connect();
    await pass(120_000);
    expect(net.ways).toStrictEqual(['websocket']);
    client.close();
  });

  test('a transport of the application is the only one', async () => {
    const net = new FakeNet();
    const transport = net.transports.webSocket;
    const client = new Client({ url: 'wss://own.example', transport });
    void client.connect();
    await pass(5_000);
    expect(client.connection.state).toBe('online');
    expect(net.ways).toStrictEqual(['websocket']);
    expect(client.transport).toBeUndefined();
    expect(client.transportStats.websocketOpened).toBe(0);
    client.close();
  });

  test('what is nothing to choose is a TypeError', () => {
    const options = { url: 'wss://none.example', transports: 'udp' } as unknown as ClientOptions;
    expect(() => new Client(options)).toThrow(/transports has to be auto or websocket/);
    const client = new Client({ url: 'wss://none.example' });
    expect(() => {
      client.preferTransport('udp' as Preference);
    }).toThrow(TypeError);
  });
});
