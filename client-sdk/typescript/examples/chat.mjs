// A chat in the terminal: npm run example -- ws://127.0.0.1:7350 Mina lobby

import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';

import { CallError, Client } from '../dist/node.js';

const [url = 'ws://127.0.0.1:7350', name = 'guest', roomName = 'lobby'] = process.argv.slice(2);

const terminal = createInterface({ input: process.stdin, output: process.stdout });
const client = new Client({ url });

/** What is typed before the room is open waits for it. */
const early = [];
let submit = (line) => early.push(line);
terminal.on('line', (line) => submit(line));

/** Prints above the line that is being typed. */
function show(text) {
  process.stdout.write('\r\u001b[K');
  console.log(text);
  terminal.prompt(true);
}

function showMessage(message) {
  const time = new Date(message.at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  // What others write must not steer this terminal.
  const text = message.text.replace(/\p{Cc}/gu, '\ufffd');
  show(
    `${time} ${String(message.seq).padStart(4)} ${message.name}: ${message.deleted_by ? '(deleted)' : text}`,
  );
}

async function send(room, text) {
  try {
    await client.call('SendMessage', { room, text });
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    const wait = error.retryAfterMs === undefined ? '' : ` (wait ${String(error.retryAfterMs)} ms)`;
    show(`not sent: ${error.message}${wait}`);
  }
}

client.on('connection', ({ state, retryAt }) => {
  if (state === 'offline') show(`-- connection lost${retryAt === undefined ? '' : ', coming back'}`);
  else show(`-- ${state.replace('_', ' ')}`);
});
client.on('gap', ({ from, to }) => show(`-- messages ${String(from)} to ${String(to)} are no longer kept`));
client.on('streamLost', ({ fault }) => show(`-- the room was lost: ${fault.message}`));
client.on('signedOut', () => show('-- signed out'));

console.log(`connecting to ${url} …`);
await client.connect();
await client.loginGuest({ secret: randomBytes(16).toString('hex'), name });
// Everybody who enters the same handle meets in one room, which is made when there is none.
const { info } = await client.call('EnterRoom', { handle: roomName });
const room = info.room;
const { messages, head } = await client.call('ReadHistory', { room, limit: 20 });
for (const message of messages) showMessage(message);
client.on('MessageSent', ({ room: where, msg }) => {
  // What came while the history was read is in it.
  if (where === room && msg.seq > head) showMessage(msg);
});
client.on('MessageEdited', ({ seq, text }) =>
  show(`-- ${String(seq)} now reads: ${text.replace(/\p{Cc}/gu, '\ufffd')}`),
);
show(`-- ${info.name}: ${String(info.members)} members. Type and press enter; control-D leaves.`);

terminal.setPrompt(`${name}> `);
terminal.prompt();
submit = (line) => {
  terminal.prompt();
  if (line !== '') void send(room, line);
};
for (const line of early) submit(line);
terminal.on('close', () => {
  console.log();
  client.close();
});
