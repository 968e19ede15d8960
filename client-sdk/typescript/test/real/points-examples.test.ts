// The examples about points, items and leaderboards, with the game that lies beside them.

import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { Client } from '../../src/node.js';
import { until } from '../support/players.js';
import { RealServer } from '../support/real-server.js';
import { RunningExample } from '../support/running-example.js';

const GAME = fileURLToPath(new URL('../../../examples/game.toml', import.meta.url));
const ACCOUNT = { username: 'arena', password: 'a long pass phrase' };

let server: RealServer;
/** An admin of the server. */
let admin: Client;
const examples: RunningExample[] = [];

beforeEach(async () => {
  server = await RealServer.start([`game.file=${GAME}`, 'accounts.admins=boss']);
  admin = new Client({ url: server.url });
  await admin.connect();
  await admin.register({ username: 'boss', password: ACCOUNT.password });
});

afterEach(async () => {
  for (const example of examples.splice(0)) example.process.kill('SIGKILL');
  admin.close();
  await server.stop();
});

function start(file: string, ...given: string[]): RunningExample {
  const example = new RunningExample(file, given, {
    GAME_SERVER_USERNAME: ACCOUNT.username,
    GAME_SERVER_PASSWORD: ACCOUNT.password,
  });
  examples.push(example);
  return example;
}

/** The player whom an example shows. */
async function playerOf(example: RunningExample): Promise<string> {
  await example.sees('you are ');
  return /you are (\w{16})/.exec(example.printed)?.[1] ?? '';
}

/** A server of the game, whose account gets its role here. */
async function gameServer(...players: string[]): Promise<RunningExample> {
  const refused = start('leaderboard.mjs', '--serve', '--register', server.url);
  expect(await refused.ended()).toBe(1);
  expect(refused.printed).toContain('arena is no service but player; an admin calls SetRole');
  const { user } = await admin.call('FindPlayer', { username: ACCOUNT.username });
  await admin.call('SetRole', { user, role: 'service' });
  const given = players.flatMap((player) => ['--player', player]);
  return start('leaderboard.mjs', '--serve', ...given, server.url);
}

/** The last score that is shown as the own one. */
function ownScore(example: RunningExample): number {
  return Number([...example.printed.matchAll(/^> *\d+\. +(-?\d+) /gm)].at(-1)?.[1] ?? 0);
}

test('a wallet moves with what is won, bought and given', async () => {
  const mina = start('wallet.mjs', server.url, 'Mina');
  await mina.sees('wallet: 0 points, 0 free');
  const player = await playerOf(mina);
  const playing = await gameServer(player);
  await playing.sees(`${player} scores `);
  await mina.sees('wallet: 25 points, 25 free');
  expect(await playing.interrupt()).toBe(0);

  mina.say('items');
  await mina.sees('founders_hat: 15 points, 10 left');
  mina.say('buy potion 2');
  await mina.sees('you own 2 potion');
  mina.say('use potion');
  await mina.sees('you own 1 potion');
  for (const [typed, refusal] of [
    ['buy vip', 'refused: '],
    ['buy potion x', 'refused: count'],
    ['buy nothing', 'nothing like that'],
  ] as const) {
    mina.say(typed);
    await mina.sees(refusal);
  }

  const jun = start('wallet.mjs', server.url, 'Jun');
  jun.say('name jun another-long-one');
  await jun.sees('others can give to jun');
  mina.say('give jun 6');
  await jun.sees('Mina gave you 6 points');
  await jun.sees('wallet: 6 points');
  mina.say('history');
  await mina.sees('wallet -> transit  makes 9');
  expect(await mina.leave()).toBe(0);
  expect(await jun.interrupt()).toBe(0);
});

test('a wallet shows its history page by page, and is right after the server was away', async () => {
  const mina = start('wallet.mjs', server.url, 'Mina');
  const user = await playerOf(mina);
  for (let amount = 1; amount <= 7; amount += 1) {
    await admin.call('GrantPoints', { user, amount, note: 'for the test' });
  }
  await mina.sees('wallet: 28 points');
  mina.say('history');
  await mina.sees('   7      7 issuance -> wallet  makes 28');
  expect(mina.printed).not.toContain(' issuance -> wallet  makes 3\n');
  mina.say('more');
  await mina.sees('   1      1 issuance -> wallet  makes 1');
  mina.say('more');
  await mina.sees('there are no older movements');
  const shown = (): number => mina.printed.split('wallet: 28 points').length;
  const before = shown();
  await server.end('SIGKILL');
  await mina.sees('(no connection; trying again)');
  await server.run();
  await until('the wallet is shown again', () => shown() > before);
});

test('a leaderboard moves, and moves on after a restart', async () => {
  const mina = start('leaderboard.mjs', '--name', 'Mina', server.url);
  await gameServer(await playerOf(mina));
  await until('Mina has a score', () => ownScore(mina) > 0);
  await server.end('SIGKILL');
  await mina.sees('(no connection; trying again)');
  const drawn = (): number => mina.printed.split('weekly, season').length;
  const before = drawn();
  await server.run();
  await until('it is shown again', () => drawn() > before);
  const again = ownScore(mina);
  expect(again).toBeGreaterThan(0);
  await until('it moves', () => ownScore(mina) > again);
  expect(await mina.interrupt()).toBe(0);
});

test('what can not go on ends with its reason', async () => {
  const board = start('leaderboard.mjs', '--board', 'nowhere', server.url);
  expect(await board.ended()).toBe(1);
  expect(board.printed).toContain('no such leaderboard');
  const help = start('leaderboard.mjs', '--what');
  expect(await help.ended()).toBe(2);
  expect(help.printed).toContain('usage: ');
});
