// Clients of WebTransport that nobody here wrote, against the real server: Chromium, and @moq/web-transport in Node.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { chromium } from '../support/chromium.js';
import { moqWebTransport } from '../support/moq.js';
import { BuiltPage, OpenPage } from '../support/pages.js';
import { guest, Heard, until } from '../support/players.js';
import { quicOf } from '../support/quic.js';
import { programOf, RealServer } from '../support/real-server.js';
import type { Closed } from '../web/pilot.js';
import { Pilot } from '../web/pilot.js';

/** In the page; its functions run there. */
declare const pilot: Pilot;

const QUIC = 'listen.quic=127.0.0.1:0';

/** Kind 6: input, for a room, with a number and data. The numbers stand for those of `docs/protocol.md`. */
function input(seq: number): number[] {
  const room = Array.from('0'.repeat(16), (digit) => digit.charCodeAt(0));
  return [0x94, 6, 0xb0, ...room, seq, 0xc4, 1, 7];
}

/** What a test sees of a pilot, wherever that is. */
interface Seen {
  texts: string[];
  closes: Closed[];
  longest: { sent: number; received: number };
}

/** A pilot, in a page or here. */
interface Driven {
  connect(url: string, hashes: readonly string[], name: string): Promise<unknown>;
  enter(name: string): Promise<string>;
  join(room: string): Promise<void>;
  send(room: string, text: string): Promise<number>;
  echo(count: number, bytes: number): Promise<boolean>;
  datagram(bytes: number[]): Promise<boolean>;
  cut(): Promise<void>;
  seen(): Promise<Seen>;
  leave(): Promise<void>;
}

const secret = (): string => randomBytes(16).toString('hex');

async function inChromium(built: BuiltPage, program: string): Promise<Driven> {
  const open = await OpenPage.open(built, program);
  const { page } = open;
  return {
    connect: (url, hashes, name) =>
      page.evaluate(([url, hashes, secret, name]) => pilot.connect(url, hashes, secret, name), [
        url,
        hashes,
        secret(),
        name,
      ] as const),
    enter: (name) => page.evaluate((name) => pilot.enter(name), name),
    join: (room) => page.evaluate((room) => pilot.join(room), room),
    send: (room, text) => page.evaluate(([room, text]) => pilot.send(room, text), [room, text] as const),
    echo: (count, bytes) =>
      page.evaluate(([count, bytes]) => pilot.echo(count, bytes), [count, bytes] as const),
    datagram: (bytes) => page.evaluate((bytes) => pilot.datagram(bytes), bytes),
    cut: () => page.evaluate(() => pilot.cut()),
    seen: () => page.evaluate(() => ({ texts: pilot.texts, closes: pilot.closes, longest: pilot.longest })),
    leave: async () => {
      await page.evaluate(() => pilot.close());
      expect(open.faults).toStrictEqual([]);
      await open.close();
    },
  };
}

async function inNode(): Promise<Driven> {
  const constructor = await moqWebTransport();
  const pilot = new Pilot();
  return {
    connect: (url, hashes, name) => pilot.connect(url, hashes, secret(), name, constructor),
    enter: (name) => pilot.enter(name),
    join: (room) => pilot.join(room),
    send: (room, text) => pilot.send(room, text),
    echo: (count, bytes) => pilot.echo(count, bytes),
    datagram: (bytes) => Promise.resolve(pilot.datagram(bytes)),
    cut: () => {
      pilot.cut();
      return Promise.resolve();
    },
    seen: () => Promise.resolve(pilot),
    leave: () => {
      pilot.close();
      return Promise.resolve();
    },
  };
}

const program = chromium('WebTransport of a browser against the real server');
let built: BuiltPage;

beforeAll(async () => {
  built = await BuiltPage.of('test/web');
}, 120_000);

afterAll(async () => {
  await built.remove();
});

async function soon(what: string, condition: () => Promise<boolean>): Promise<void> {
  const since = Date.now();
  while (!(await condition())) {
    if (Date.now() - since > 60_000) throw new Error(`it did not come to pass: ${what}`);
    await sleep(20);
  }
}

const CLIENTS: [string, boolean, () => Promise<Driven>][] = [
  ['Chromium', program === undefined, () => inChromium(built, program ?? '')],
  ['@moq/web-transport', false, inNode],
];

describe.each(CLIENTS)('%s', (_, isLeftOut, start) => {
  test.skipIf(isLeftOut)('signs in, talks with a player of WebSocket, and comes back', async () => {
    const server = await RealServer.start([QUIC]);
    const jun = await guest(server.url, 'Jun');
    const client = await start();
    try {
      const { port, hashes } = await quicOf(server.url);
      await client.connect(`https://127.0.0.1:${String(port)}/`, hashes, 'Mina');
      const room = await client.enter('lobby');
      await jun.call('JoinRoom', { room });
      const heard = new Heard(jun, room);
      await client.send(room, '안녕 \ufeff👩‍👩‍👧‍👦');
      await jun.call('SendMessage', { room, text: 'hello' });
      await soon('it hears', async () => (await client.seen()).texts.length === 2);

      await client.cut();
      await jun.call('SendMessage', { room, text: 'missed' });
      expect(await client.send(room, 'back')).toBeGreaterThan(2);
      await until('all is heard', () => heard.last === 4);
      await soon('it hears', async () => (await client.seen()).texts.length === 4);
      const { texts, closes } = await client.seen();
      expect(texts).toStrictEqual(heard.texts);
      expect(texts.slice().sort()).toStrictEqual(['back', 'hello', 'missed', '안녕 \ufeff👩‍👩‍👧‍👦']);
      expect(closes).toHaveLength(1);

      await client.leave();
      await soon('it has left', async () =>
        (await server.page('/health/detailed')).includes('"connections":1'),
      );
    } finally {
      jun.close();
      await client.leave().catch(() => undefined);
      await server.stop();
    }
  });

  test.skipIf(isLeftOut)('carries messages of 200 KB both ways, and is told why it is closed', async () => {
    const server = await RealServer.start([QUIC]);
    const client = await start();
    try {
      const { port, hashes } = await quicOf(server.url);
      await client.connect(`wss://127.0.0.1:${String(port)}/ws`, hashes, 'Mina');
      for (let round = 0; round < 3; round += 1) expect(await client.echo(4, 52_000)).toBe(true);
      const { longest } = await client.seen();
      expect(longest.sent).toBeGreaterThan(200_000);
      expect(longest.received).toBeGreaterThan(50_000);

      for (let seq = 1; seq < 50; seq += 1) {
        expect(await client.datagram(input(seq))).toBe(true);
        await sleep(2);
      }
      expect(await client.echo(1, 10)).toBe(true);
      expect((await client.seen()).closes).toStrictEqual([]);
      // No frame: the server has seen the datagram, for it closes the connection.
      await soon('it is closed', async () => {
        await client.datagram([0xc1]);
        return (await client.seen()).closes.length > 0;
      });
      expect((await client.seen()).closes[0]).toStrictEqual([4300, 'protocol_error']);
      expect(await client.datagram(Array<number>(60_000).fill(0))).toBe(false);
    } finally {
      await client.leave();
      await server.stop();
    }
  });

  test.skipIf(isLeftOut)('hears the last word of a server that stops, and why', async () => {
    const server = await RealServer.start([QUIC]);
    const client = await start();
    try {
      const { port, hashes } = await quicOf(server.url);
      await client.connect(`https://127.0.0.1:${String(port)}`, hashes, 'Mina');
      await server.end('SIGTERM');
      await soon('it is closed', async () => (await client.seen()).closes.length > 0);
      expect((await client.seen()).closes[0]).toStrictEqual([4000, 'shutting_down']);
    } finally {
      await client.leave();
      await server.stop();
    }
  });

  test.skipIf(isLeftOut)('does not believe another certificate', async () => {
    const server = await RealServer.start([QUIC]);
    const client = await start();
    try {
      const { port, hashes } = await quicOf(server.url);
      const wrong = hashes.map((hash) => hash.replace(/^./, (digit) => (digit === '0' ? '1' : '0')));
      void client.connect(`https://127.0.0.1:${String(port)}`, wrong, 'Mina').catch(() => undefined);
      await soon('it is refused', async () => (await client.seen()).closes.length > 1);
      for (const [code] of (await client.seen()).closes) expect(code).toBeNull();
    } finally {
      await client.leave();
      await server.stop();
    }
  });
});

describe.skipIf(program === undefined)('one binary and one UDP port', () => {
  test('serve Rust by QUIC, Chromium and @moq/web-transport by WebTransport, and WebSocket, in one room', async () => {
    const server = await RealServer.start([QUIC]);
    const { port, hashes } = await quicOf(server.url);
    const [hash] = hashes;
    if (hash === undefined) throw new Error('no hash');
    const jun = await guest(server.url, 'Jun');
    const others = [await inChromium(built, program ?? ''), await inNode()];
    const native = spawn(programOf('examples/hello'), [
      `quic://127.0.0.1:${String(port)}`,
      'lobby',
      'Ferris',
      hash,
    ]);
    let printed = '';
    native.stdout.on('data', (data: Buffer) => (printed += data.toString()));
    try {
      await until('the Rust client is there', () => printed.includes('type to talk'));
      const { info } = await jun.call('EnterRoom', { handle: 'lobby' });
      const { room } = info;
      const heard = new Heard(jun, room);
      for (const [at, client] of others.entries()) {
        await client.connect(`https://127.0.0.1:${String(port)}`, hashes, `Web ${String(at)}`);
        await client.join(room);
      }
      const EACH = 50;
      const sends: Promise<unknown>[] = [];
      for (let n = 0; n < EACH; n += 1) {
        native.stdin.write(`native ${String(n)}\n`);
        sends.push(jun.call('SendMessage', { room, text: `ws ${String(n)}` }));
        for (const [at, client] of others.entries())
          sends.push(client.send(room, `web${String(at)} ${String(n)}`));
      }
      await Promise.all(sends);
      await until('all is heard', () => heard.last === 4 * EACH);
      for (const name of ['native', 'ws', 'web0', 'web1']) {
        const own = heard.texts.filter((text) => text.startsWith(`${name} `));
        expect(own).toStrictEqual(Array.from({ length: EACH }, (_, n) => `${name} ${String(n)}`));
      }
      for (const client of others) {
        await soon('it hears all', async () => (await client.seen()).texts.length >= 4 * EACH);
        expect((await client.seen()).texts).toStrictEqual(heard.texts);
      }
      await until('Rust hears all', () => printed.split('\n').length > 4 * EACH);
      const texts = [...printed.matchAll(/^.*: ((?:native|ws|web\d) \d+)$/gm)].map(([, text]) => text);
      expect(texts).toStrictEqual(heard.texts);
      const metrics = await server.page('/metrics');
      console.log(
        metrics
          .split('\n')
          .filter((line) => /connections.*transport/.test(line))
          .join('\n'),
      );
    } finally {
      native.kill();
      for (const client of others) await client.leave();
      jun.close();
      await server.stop();
    }
  });
});
