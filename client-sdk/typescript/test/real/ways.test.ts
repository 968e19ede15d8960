import { describe, expect, test } from 'vitest';

import type { Way } from '../../src/transport/ways.js';
import type { BrowserPlayer } from '../browser/player.js';
import { chromium } from '../support/chromium.js';
import { BuiltPage, OpenPage } from '../support/pages.js';
import { guest, Heard, until, upTo } from '../support/players.js';
import { RealServer } from '../support/real-server.js';

/** In the page; its functions run there. */
declare const player: BrowserPlayer;

const MOVES = 20;

const program = chromium('the ways of a client in a browser to the real server');

describe.skipIf(program === undefined)('a player in Chromium', () => {
  test('moves to WebTransport by itself, and there and back while it talks', async () => {
    const server = await RealServer.start(['listen.quic=127.0.0.1:0']);
    const built = await BuiltPage.of('test/browser');
    const open = await OpenPage.open(built, program ?? '');
    const jun = await guest(server.url, 'Jun');
    try {
      const { page } = open;
      await page.evaluate((url) => player.connect(url, 'a secret of sixteen', 'Mina'), server.url);
      const room = await page.evaluate(() => player.create('lobby'));
      await jun.call('JoinRoom', { room });
      const heard = new Heard(jun, room);
      const states = await page.evaluate(() => player.states.length);
      await page.waitForFunction(() => player.transport() === 'webtransport');

      let going = true;
      let sent = 0;
      const speak = async (send: (text: string) => Promise<unknown>): Promise<void> => {
        while (going) {
          sent += 1;
          await send(String(sent));
        }
      };
      const speaking = [
        speak((text) => jun.call('SendMessage', { room, text })),
        speak((text) => page.evaluate(([room, text]) => player.send(room, text), [room, text] as const)),
      ];
      for (let move = 0; move < MOVES; move += 1) {
        const way: Way = move % 2 === 0 ? 'websocket' : 'webtransport';
        await page.waitForFunction((way) => player.moveTo(way), way);
      }
      going = false;
      await Promise.all(speaking);

      await until('Node hears all', () => heard.last === sent);
      await page.waitForFunction((sent) => player.texts.length === sent, sent);
      expect(heard.seqs).toStrictEqual(upTo(sent));
      expect(await page.evaluate(() => player.texts)).toStrictEqual(heard.texts);
      expect(await page.evaluate(() => player.moves())).toBe(MOVES + 1);
      expect(
        await page.evaluate((from) => player.states.slice(from), states),
        'nobody sees it',
      ).toStrictEqual([]);
      expect(open.faults).toStrictEqual([]);
      console.log(`${String(sent)} messages over ${String(MOVES)} moves`);
    } finally {
      jun.close();
      await open.close();
      await built.remove();
      await server.stop();
    }
  });
});
