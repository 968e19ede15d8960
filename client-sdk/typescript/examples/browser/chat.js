// A chat in a page. Server, name and room come from the address: ?url=ws://127.0.0.1:7350&name=Mina&room=lobby

import { CallError, Client } from '@pitturu/client';

const query = new URLSearchParams(location.search);
const url = query.get('url') ?? 'ws://127.0.0.1:7350';
const name = query.get('name') ?? 'guest';
const roomName = query.get('room') ?? 'lobby';

const state = document.querySelector('#state');
const list = document.querySelector('#messages');
const form = document.querySelector('#form');
const input = document.querySelector('#text');

/** The secret that this browser signs in with. */
function deviceSecret() {
  const kept = localStorage.getItem('pitturu-secret');
  if (kept !== null) return kept;
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const secret = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  localStorage.setItem('pitturu-secret', secret);
  return secret;
}

function show(text) {
  const item = document.createElement('li');
  item.textContent = text;
  list.append(item);
  item.scrollIntoView();
}

const client = new Client({ url });
client.on('connection', (connection) => {
  state.textContent = connection.state.replace('_', ' ');
});
client.on('gap', ({ from, to }) => show(`(${from} to ${to} are no longer kept)`));

await client.connect();
await client.loginGuest({ secret: deviceSecret(), name });
const { info } = await client.call('EnterRoom', { handle: roomName });
const { messages, head } = await client.call('ReadHistory', { room: info.room });
for (const message of messages) show(`${message.name}: ${message.text}`);
client.on('MessageSent', ({ room, msg }) => {
  if (room === info.room && msg.seq > head) show(`${msg.name}: ${msg.text}`);
});

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const text = input.value;
  input.value = '';
  if (text === '') return;
  client.call('SendMessage', { room: info.room, text }).catch((error) => {
    if (!(error instanceof CallError)) throw error;
    show(`not sent: ${error.message}`);
  });
});
