// The browser's half of the browser tests: a client that the test drives from outside.

import { Client } from '@pitturu/client';

import type { BrowserPlayer } from './player.js';

declare global {
  // Declared as a variable, so that it is a property of the window.
  var player: BrowserPlayer;
}

/** Longer than a client tries to open one way. */
const ASK_AGAIN_MS = 5_000;

let client: Client | undefined;
let asked = -Infinity;
const texts: string[] = [];
const states: string[] = [];

function connected(): Client {
  if (client === undefined) throw new Error('not connected');
  return client;
}

globalThis.player = {
  texts,
  states,
  async connect(url, secret, name, options = {}) {
    client = new Client({ url, backOff: { baseMs: 20, capMs: 200 }, ...options });
    client.on('MessageSent', ({ msg }) => texts.push(msg.text));
    client.on('connection', ({ state }) => states.push(state));
    await client.connect();
    const { identity } = await client.loginGuest({ secret, name });
    return identity.user;
  },
  async create(name) {
    const { info } = await connected().call('CreateRoom', { kind: 'public', name });
    return info.room;
  },
  async join(room) {
    await connected().call('JoinRoom', { room });
  },
  transport: () => client?.transport,
  moves: () => client?.transportStats.handovers ?? 0,
  moveTo(way) {
    if (connected().transport === way) {
      asked = -Infinity;
      return true;
    }
    if (performance.now() - asked > ASK_AGAIN_MS) {
      asked = performance.now();
      connected().preferTransport(way);
    }
    return false;
  },
  async send(room, text) {
    const { seq } = await connected().call('SendMessage', { room, text });
    return seq;
  },
};
