import { describe, expect, test } from 'vitest';

import type { BrowserPlayer } from '../browser/player.js';
import { chromium } from '../support/chromium.js';
import { BuiltPage, OpenPage } from '../support/pages.js';
import { guest, Heard, until } from '../support/players.js';
import { RealServer } from '../support/real-server.js';

/** In the page; its functions run there. */
declare const player: BrowserPlayer;

const program = chromium('the client in a browser against the real server');

describe.skipIf(program === undefined)('a player in Chromium', () => {
  test('and one in Node talk, also after the server was killed', async () => {
    const server = await RealServer.start();
    const built = await BuiltPage.of('test/browser');
    const open = await OpenPage.open(built, program ?? '');
    const jun = await guest(server.url, 'Jun');
    try {
      const { page } = open;
      await page.evaluate((url) => player.connect(url, 'a secret of sixteen', 'Mina'), server.url);
      const room = await page.evaluate(() => player.create('lobby'));
      await jun.call('JoinRoom', { room });
      const heard = new Heard(jun, room);
      await page.evaluate((room) => player.send(room, '안녕 \ufeff👩‍👩‍👧‍👦'), room);
      await jun.call('SendMessage', { room, text: 'hello' });
      await page.waitForFunction(() => player.texts.length === 2);
      await server.end('SIGKILL');
      await server.run();
      await jun.call('SendMessage', { room, text: 'still here' });
      await page.waitForFunction(() => player.texts.length === 3);
      expect(await page.evaluate((room) => player.send(room, 'me too'), room)).toBe(4);
      await until('Node hears the browser', () => heard.last === 4);
      expect(heard.texts).toStrictEqual(['안녕 \ufeff👩‍👩‍👧‍👦', 'hello', 'still here', 'me too']);
      expect(await page.evaluate(() => player.texts)).toStrictEqual(heard.texts);
      expect(open.faults).toStrictEqual([]);
    } finally {
      jun.close();
      await open.close();
      await built.remove();
      await server.stop();
    }
  });
});
