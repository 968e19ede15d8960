// A chat in the terminal: npm run example -- ws://127.0.0.1:7350 Mina lobby

import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { CallError, Client } from '../dist/node.js';
import { guestOf } from './chat-state.mjs';

const HELP = `usage: chat.mjs [--profile NAME | --new] [URL [NAME [ROOM]]]

Chats as a guest, in the room "lobby" at ws://127.0.0.1:7350 unless given. The guest is kept for the next run, one for each NAME; a chat
that runs beside another one is another guest.

  --profile NAME  the guest of this name
  --new           a guest that is not kept
Guests are kept in the folder that PITTURU_STATE_DIR names, otherwise in the user's folder for state.
Control-D or control-C leaves.`;

function argumentsOf() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { help: { type: 'boolean' }, new: { type: 'boolean' }, profile: { type: 'string' } },
    });
    if (values.profile !== undefined && !/^[\w-]{1,64}$/.test(values.profile)) {
      throw new TypeError('a profile has a name of letters, digits, _ and -');
    }
    return { values, positionals };
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
const [url = 'ws://127.0.0.1:7350', givenName, roomName = 'lobby'] = positionals;

/** What cannot be begun needs no stack of calls. */
function orExit(begin) {
  try {
    return begin();
  } catch (error) {
    console.error(error.message);
    process.exit(2);
  }
}

const client = orExit(() => new Client({ url }));
const guest = orExit(() => guestOf({ profile: values.profile, name: givenName, fresh: values.new === true }));
process.on('exit', guest.leave);
const name = givenName ?? guest.name ?? `guest-${guest.secret.slice(0, 4)}`;
const terminal = createInterface({ input: process.stdin, output: process.stdout });

/** What is typed before the room is open waits for it. */
const early = [];
let submit = (line) => early.push(line);
terminal.on('line', (line) => submit(line));

let leaving = false;
/** Calls that shall be answered before this ends. */
const sending = new Set();

async function leave() {
  if (leaving) return;
  leaving = true;
  terminal.close();
  if (client.connection.state === 'online') await Promise.allSettled(sending);
  client.close();
  console.log();
}

/** Whether what was piped in ended before the room was open: it is said first. */
let leavesAfterEarly = false;

let isInRoom = false;
/** Why there never was a connection. */
let unreachable;

/** What was piped in can't be said, and nobody is there to wait. */
function giveUp() {
  console.error(unreachable);
  process.exitCode = 1;
  void leave();
}

// Control-D or control-C in a terminal, the end of what is piped in, and what a shell or supervisor says.
terminal.on('close', () => {
  if (leaving || process.stdin.isTTY || isInRoom) return void leave();
  leavesAfterEarly = true;
  if (unreachable !== undefined) giveUp();
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => void leave());

/** Prints above the line that is being typed. */
function show(text) {
  process.stdout.write('\r\u001b[K');
  console.log(text);
  if (!leaving && !leavesAfterEarly) terminal.prompt(true);
}

/** What others write must not steer this terminal. */
function harmless(text) {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd');
}

function showMessage(message) {
  const time = new Date(message.at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  const text = message.deleted_by ? '(deleted)' : harmless(message.text);
  show(`${time} ${String(message.seq).padStart(4)} ${harmless(message.name)}: ${text}`);
}

async function send(room, text) {
  try {
    await client.call('SendMessage', { room, text });
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    if (leaving && error.code === 'disconnected') return;
    const wait = error.retryAfterMs === undefined ? '' : ` (wait ${String(error.retryAfterMs)} ms)`;
    show(`not sent: ${error.message}${wait}`);
  }
}

// Each attempt to come back is a change of the connection; only what matters to a reader is said, and once.
let wasOnline = false;
let hasBeenOnline = false;
client.on('problem', (problem) => {
  if (problem.kind !== 'unreachable') return console.error('--', problem);
  if (leaving || hasBeenOnline) return;
  unreachable = `${url} does not answer: ${problem.why}. Is the server running there?`;
  if (leavesAfterEarly) giveUp();
  else show(`-- ${unreachable} What is typed waits for it.`);
});
client.on('connection', ({ state }) => {
  if (leaving) return;
  const isOnline = state === 'online';
  if (state === 'stopped') show('-- the server does not want this client any more');
  else if (wasOnline && state === 'offline') show('-- connection lost, coming back');
  else if (!wasOnline && isOnline && (hasBeenOnline || unreachable !== undefined)) show('-- online');
  else if (!isOnline) return;
  hasBeenOnline ||= isOnline;
  unreachable = undefined;
  wasOnline = isOnline;
});
client.on('gap', ({ from, to }) => show(`-- messages ${String(from)} to ${String(to)} are no longer kept`));
client.on('streamLost', ({ fault }) => show(`-- the room was lost: ${fault.message}`));
client.on('signedOut', () => show('-- signed out'));

async function chat() {
  console.log(`connecting to ${url} …`);
  await client.connect();
  await client.loginGuest({ secret: guest.secret, name });
  // Everybody who enters the same handle meets in one room, which is made when there is none.
  const { info, online } = await client.call('EnterRoom', { handle: roomName });
  const room = info.room;
  const { messages, head } = await client.call('ReadHistory', { room, limit: 20 });
  for (const message of messages) showMessage(message);
  client.on('MessageSent', ({ room: where, msg }) => {
    // What came while the history was read is in it.
    if (where === room && msg.seq > head) showMessage(msg);
  });
  client.on('AuthorErased', ({ seq }) => show(`-- ${String(seq)} is nobody's any more`));
  client.on('MessageEdited', ({ seq, text }) => show(`-- ${String(seq)} now reads: ${harmless(text)}`));
  show(
    `-- ${info.name}: ${String(info.members)} members, ${String(online)} online. Type and press enter; control-D leaves.`,
  );

  isInRoom = true;
  terminal.setPrompt(`${name}> `);
  const prompt = () => (leaving || leavesAfterEarly ? undefined : terminal.prompt());
  prompt();
  submit = (line) => {
    prompt();
    if (line === '') return;
    const sent = send(room, line).finally(() => sending.delete(sent));
    sending.add(sent);
  };
  for (const line of early.splice(0)) submit(line);
  if (leavesAfterEarly) await leave();
}

try {
  await chat();
} catch (error) {
  // Whoever leaves before the room is open needs no explanation.
  if (!leaving) {
    console.error(`cannot chat: ${error.message}`);
    process.exitCode = 1;
    await leave();
  }
}
