// A leaderboard that moves: node examples/leaderboard.mjs ws://127.0.0.1:7350 --name Mina

import { randomBytes, randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { Client, oneLine } from '../dist/node.js';

const HELP = `usage: leaderboard.mjs [--board NAME] [--name NAME] [URL]
       leaderboard.mjs --serve [--board NAME] [--register] [--player ID]... [URL]

Shows the best ten of a leaderboard and the own place, as they change. --serve is the other side, a server of a game whose players win
points and scores. It signs in with the account that GAME_SERVER_USERNAME and GAME_SERVER_PASSWORD name, which has the role service.

  --board NAME   which leaderboard; weekly when absent
  --name NAME    name of the player who looks
  --register     make the account of the game server first
  --player ID    a player who plays beside the server's own guests
Control-C ends it.`;

/** Guests who play on the game's server. */
const GUESTS = ['Ann', 'Ben', 'Cho', 'Dae', 'Eva', 'Finn', 'Gil', 'Hana', 'Ida', 'Jun', 'Kim', 'Lee'];

/** Time between two matches. */
const MATCH_MS = 250;

function argumentsOf() {
  try {
    const text = { type: 'string' };
    const flag = { type: 'boolean' };
    const player = { type: 'string', multiple: true, default: [] };
    const options = { help: flag, serve: flag, register: flag, board: text, name: text, player };
    return parseArgs({ allowPositionals: true, options });
  } catch (error) {
    console.error(`${error.message}\n\n${HELP}`);
    process.exit(2);
  }
}

const { values, positionals } = argumentsOf();
if (values.help) {
  console.log(HELP);
  process.exit();
}
const [url = 'ws://127.0.0.1:7350'] = positionals;
const { board = 'weekly', name = 'guest' } = values;
const client = new Client({ url });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => client.close());

const secret = () => randomBytes(16).toString('hex');

/** Shows how things stand; names are other people's text. */
function draw({ season, count, top, own }) {
  console.log(`\n${board}, season ${season}, ${count} players`);
  const isBelow = own !== undefined && top.every(({ user }) => user !== own.user);
  for (const entry of isBelow ? [...top, own] : top) {
    const mark = entry.user === own?.user ? '>' : ' ';
    const [rank, score] = [String(entry.rank).padStart(4), String(entry.score).padStart(8)];
    console.log(`${mark}${rank}. ${score}  ${oneLine(entry.name)}`);
  }
}

/** What can't go on ends the program, and needs no words when it was ended. */
function fail(error) {
  if (client.life === 'closed') return;
  console.error(error.message);
  process.exitCode = 1;
  client.close();
}

async function follow() {
  client.on('RankChanged', ({ standing }) => draw(standing));
  client.on('connection', ({ state }) => {
    if (state === 'offline' && client.life !== 'closed') console.log('(no connection; trying again)');
  });
  await client.connect();
  const { identity } = await client.loginGuest({ secret: secret(), name });
  console.log(`you are ${identity.user}`);
  // From here on the client follows it on each connection. If this one is lost meanwhile, the call waits for the next.
  draw(await client.call('FollowBoard', { board }, { deadlineMs: Infinity }));
}

async function guest(name) {
  const one = new Client({ url });
  await one.connect();
  const { identity } = await one.loginGuest({ secret: secret(), name });
  one.close();
  return identity.user;
}

/**
 * What a server of a game does after a match. The keys of its calls follow from the match: whoever is in doubt whether they were made,
 * makes them again, and no score and no reward counts twice.
 */
async function won(user) {
  const match = secret();
  const score = randomInt(1, 101);
  const submit = { key: `${match}-score`, deadlineMs: Infinity };
  const { rank } = await client.call('SubmitScore', { board, user, score }, submit);
  const play = { key: `${match}-play`, deadlineMs: Infinity };
  const { rewards } = await client.call('RecordPlay', { user, game: 'arena', outcome: 'won' }, play);
  const points = rewards.reduce((sum, reward) => sum + reward.points, 0);
  console.log(`${user} scores ${score}: place ${rank}, ${points} points`);
}

/** Lets matches be won, one after the other, and submits what the players get for it. */
async function serve() {
  const { GAME_SERVER_USERNAME: username = '', GAME_SERVER_PASSWORD: password = '' } = process.env;
  const account = { username, password };
  await client.connect();
  const { identity } = await (values.register ? client.register(account) : client.login(account));
  // Admins may the same.
  if (identity.role !== 'service' && identity.role !== 'admin') {
    throw new Error(`${username} is no service but ${identity.role}; an admin calls SetRole`);
  }
  const players = [...values.player, ...(await Promise.all(GUESTS.map(guest)))];
  for (let match = 0; client.life !== 'closed'; match += 1) {
    await won(players[match % players.length]);
    await sleep(MATCH_MS);
  }
}

await (values.serve ? serve() : follow()).catch(fail);
