// A player's wallet: node examples/wallet.mjs ws://127.0.0.1:7350 Mina
//
// Shows it live, with its history page by page, buys and uses items, and gives points to others. Points come from the game: the
// example leaderboard.mjs is a server of one, and rewards the players whose ids it is given.

import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';

import { CallError, Client, oneLine } from '../dist/node.js';

const [url = 'ws://127.0.0.1:7350', name = 'guest'] = process.argv.slice(2);

const HELP =
  'history | more | items | buy ITEM [COUNT] | use ITEM [COUNT] | give USERNAME AMOUNT | name USERNAME PASSWORD';

/** Movements on a page of the history. */
const PAGE = 5;

/** Names and notes are other people's text. */
const show = (text) => console.log(oneLine(text));
const showWallet = ({ balance, available }) => show(`wallet: ${balance} points, ${available} free`);

/** Items of all pages of a list. */
async function all(method) {
  const items = [];
  let after;
  do {
    const page = await client.call(method, { after });
    items.push(...page.items);
    after = page.next;
  } while (after !== undefined);
  return items;
}

/** Where the history goes on. */
let older;

/** A page of the movements, newest first. */
async function history(from) {
  const { movements, next } = await client.call('ListMovements', { from, limit: PAGE });
  older = next;
  for (const { number, amount, debit, credit, reference = '', balance } of movements) {
    const moved = `${String(number).padStart(4)} ${String(amount).padStart(6)} ${debit} -> ${credit}`;
    show(`${moved} ${reference} makes ${balance}`);
  }
  show(older === undefined ? 'no more' : 'more');
}

/** What can be typed. Calls that move points carry a key that the client draws: one that is sent again moves them once. */
const commands = {
  history: () => history(undefined),
  more: () => (older === undefined ? show('there are no older movements') : history(older)),
  async items() {
    for (const { item, price, left } of await all('ListItems')) {
      const stock = left === undefined ? '' : `, ${left} left`;
      show(price === undefined ? `${item}: not for sale` : `${item}: ${price} points${stock}`);
    }
    for (const { item, count } of await all('ListInventory')) show(`you own ${count} ${item}`);
  },
  async buy(item, count = '1') {
    const price = (await all('ListItems')).find((info) => info.item === item)?.price;
    if (price === undefined) return show('there is nothing like that for sale');
    // The price that the player was shown: at another one nothing is bought.
    const { points } = await client.call('BuyItem', { item, count: Number(count), price });
    show(`bought for ${points} points`);
  },
  async use(item = '', count = '1') {
    await client.call('UseItem', { item, count: Number(count) });
    show('used');
  },
  async give(username = '', amount = '') {
    const other = await client.call('FindPlayer', { username });
    const given = await client.call('GivePoints', { user: other.user, amount: Number(amount) });
    show(`gave ${given.amount} to ${other.name}`);
  },
  /** The guest becomes an account, which others find by its user name. */
  async name(username = '', password = '') {
    await client.call('UpgradeGuest', { username, password });
    show(`others can give to ${username}`);
  },
};

/** A refusal moves nothing, and the next call may go well. */
async function orSay(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    if (client.life !== 'closed') show(`refused: ${error.message}`);
  }
}

async function carryOut(line) {
  const [command, ...words] = line.split(/\s+/u).filter((word) => word !== '');
  if (command === undefined) return;
  if (Object.hasOwn(commands, command)) await orSay(() => commands[command](...words));
  else show(HELP);
}

/** What the inbox has to say of points. */
async function hear({ kind, user, amount, note = '' }) {
  if (kind === 'points_returned') show(`${amount} points came back`);
  if (kind !== 'points_received') return;
  const from = await client.call('GetProfile', { user });
  show(`${from.name} gave you ${amount} points ${note}`);
}

const client = new Client({ url });
// With each connection: what changed while there was none, nobody has told this one.
client.on('signedIn', () => orSay(async () => showWallet(await client.call('GetWallet', {}))));
client.on('WalletChanged', ({ wallet }) => showWallet(wallet));
client.on('InventoryChanged', ({ change }) => show(`you own ${change.owned.count} ${change.owned.item}`));
client.on('InboxAdded', ({ entry }) => orSay(() => hear(entry)));
client.on('connection', ({ state }) => {
  if (state === 'offline' && client.life !== 'closed') show('(no connection; trying again)');
});

const terminal = createInterface({ input: process.stdin });
/** What is typed before the player is signed in waits here. */
const typed = terminal[Symbol.asyncIterator]();
function leave() {
  terminal.close();
  client.close();
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, leave);

try {
  await client.connect();
  const { identity } = await client.loginGuest({ secret: randomBytes(16).toString('hex'), name });
  show(`you are ${identity.user}: ${HELP}`);
  for await (const line of typed) await carryOut(line);
} catch (error) {
  if (client.life !== 'closed') {
    console.error(error.message);
    process.exitCode = 1;
  }
}
leave();
