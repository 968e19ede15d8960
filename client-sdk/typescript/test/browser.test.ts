import { randomBytes } from 'node:crypto';
import { createContext, runInContext } from 'node:vm';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { WebSocket } from 'ws';

import type { BrowserPlayer } from './browser/player.js';
import { chromium } from './support/chromium.js';
import { FakeServer } from './support/fake-server.js';
import { BuiltPage, OpenPage } from './support/pages.js';

/** Largest bundle of the whole client, minified and not compressed. */
const BUNDLE_BYTES_MAX = 128 * 1024;

/** In the page; its functions run there. */
declare const player: BrowserPlayer;

let built: BuiltPage;

beforeAll(async () => {
  built = await BuiltPage.of('test/browser');
}, 120_000);

afterAll(async () => {
  await built.remove();
});

test('the bundle for browsers is small and needs nothing of Node', () => {
  const bytes = Buffer.byteLength(built.script);
  console.log(`bundle: ${String(bytes)} bytes`);
  expect(bytes).toBeLessThan(BUNDLE_BYTES_MAX);
  expect(built.script).not.toMatch(/__vite-browser-external|from\s*["'](node:|ws["'])|require\(/);
});

describe('where there is little: no Node, no window, no crypto, no TextEncoder or TextDecoder, another realm', () => {
  function bare(): { player: BrowserPlayer } {
    const context = createContext({
      AbortController,
      WebSocket,
      clearTimeout,
      performance,
      queueMicrotask,
      setTimeout,
    });
    runInContext(built.script, context);
    return context as unknown as { player: BrowserPlayer };
  }

  test('a client works with random bytes of the application', async () => {
    const server = await FakeServer.start();
    try {
      const { player } = bare();
      await player.connect(server.url, 'a secret of sixteen', 'Mina', { randomBytes });
      const room = await player.create('lobby');
      expect(await player.send(room, '안녕 \ufeff')).toBe(1);
      expect(player.texts).toHaveLength(1);
    } finally {
      await server.stop();
    }
  });

  test('it says what is missing without them', async () => {
    const server = await FakeServer.start();
    try {
      const connecting = bare().player.connect(server.url, 'a secret of sixteen', 'Mina');
      await expect(connecting).rejects.toHaveProperty('message', expect.stringContaining('`randomBytes`'));
    } finally {
      await server.stop();
    }
  });
});

const program = chromium('the client in a browser');

describe.skipIf(program === undefined)('in Chromium', () => {
  test('a client connects, chats byte for byte, and comes back', async () => {
    const server = await FakeServer.start();
    const open = await OpenPage.open(built, program ?? '');
    const { page } = open;
    try {
      await page.evaluate((url) => player.connect(url, 'a secret of sixteen', 'Mina'), server.url);
      const room = await page.evaluate(() => player.create('lobby'));
      const texts = ['hello', '안녕하세요', '\ufeffmark', `\ufeff${'long '.repeat(100)}`, '👩‍👩‍👧‍👦\u0000'];
      for (const text of texts) {
        await page.evaluate(([room, text]) => player.send(room ?? '', text ?? ''), [room, text]);
      }
      const there = server.world.room(room);
      expect(there.log.map(({ body }) => (body['msg'] as { text: string }).text)).toStrictEqual(texts);
      server.cut();
      server.world.post(there, 'missed');
      await page.waitForFunction(() => player.texts.includes('missed'));
      expect(await page.evaluate(() => player.texts)).toStrictEqual([...texts, 'missed']);
      await expect(page.evaluate((room) => player.send(room, 'a\ud800'), room)).rejects.toThrow(
        'lone surrogates',
      );
      expect(open.faults).toStrictEqual([]);
    } finally {
      await open.close();
      await server.stop();
    }
  }, 120_000);
});
