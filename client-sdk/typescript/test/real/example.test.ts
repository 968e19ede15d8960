import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { RealServer } from '../support/real-server.js';
import { RunningExample } from '../support/running-example.js';

let state: string;
const chats: Chat[] = [];

beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'pitturu-chat-'));
});

afterEach(() => {
  for (const chat of chats.splice(0)) chat.process.kill('SIGKILL');
  rmSync(state, { recursive: true, force: true });
});

class Chat extends RunningExample {
  constructor(...given: string[]) {
    super('chat.mjs', given, { PITTURU_STATE_DIR: state });
    chats.push(this);
  }
}

test('two people chat in their terminals, and see the server come back', async () => {
  const server = await RealServer.start();
  try {
    const mina = new Chat(server.url, 'Mina', 'lobby');
    await mina.sees('lobby: 1 members, 1 online');
    mina.say('first');
    await mina.sees('Mina: first');
    const jun = new Chat(server.url, 'Jun', 'lobby');
    await jun.sees('Mina: first');
    await jun.sees('lobby: 2 members, 2 online');
    jun.say('안녕');
    await mina.sees('Jun: 안녕');
    await server.end('SIGKILL');
    await mina.sees('connection lost');
    mina.say('said while offline');
    // Many attempts to come back are made meanwhile, and none of them is worth a line.
    await sleep(3_000);
    await server.run();
    await jun.sees('Mina: said while offline');
    await mina.sees('-- online');
    expect(mina.printed.match(/connection lost/g)).toHaveLength(1);
    expect(await jun.leave()).toBe(0);
    expect(await mina.leave()).toBe(0);
  } finally {
    await server.stop();
  }
});

test('a guest is kept for the next run, unless told otherwise, and two at once are two people', async () => {
  const server = await RealServer.start();
  try {
    const one = new Chat(server.url);
    await one.sees('lobby: 1 members');
    const two = new Chat(server.url);
    await two.sees('lobby: 2 members');
    one.say('who is it');
    await two.sees('guest-1: who is it');
    two.say('somebody else');
    await one.sees('guest-2: somebody else');
    await one.leave();
    await two.interrupt();
    const again = new Chat(server.url);
    await again.sees('lobby: 2 members');
    again.say('back');
    await again.sees('guest-1: back');
    await again.leave();
    const other = new Chat('--new', server.url);
    await other.sees('lobby: 3 members');
    await other.leave();
    const named = new Chat('--profile', 'mina', server.url);
    await named.sees('lobby: 4 members');
    const twice = new Chat('--profile', 'mina', server.url);
    await twice.sees('another chat runs as mina');
    await named.leave();
  } finally {
    await server.stop();
  }
});

test('without a server it says so, and leaves when told: with an error when what was piped in was not said', async () => {
  const nowhere =
    'ws://127.0.0.1:9 does not answer: connect ECONNREFUSED 127.0.0.1:9. Is the server running there?';
  for (const [how, typed, code] of [
    ['interrupt', undefined, 0],
    ['leave', undefined, 1],
    ['leave', 'hi', 1],
  ] as const) {
    for (const waits of [true, false]) {
      const chat = new Chat('ws://127.0.0.1:9');
      await chat.sees('connecting');
      if (typed !== undefined) chat.say(typed);
      if (waits) await chat.sees(nowhere);
      expect(await chat[how]()).toBe(code);
      if (how === 'leave') await chat.sees(nowhere);
      expect(chat.printed).not.toContain('connection lost');
    }
  }
});

test('each name is a guest of its own', async () => {
  const server = await RealServer.start();
  try {
    for (const name of ['Mina', 'Jun', '안녕', 'Mina']) {
      const chat = new Chat(server.url, name);
      await chat.sees('members');
      chat.say('it is me');
      await chat.sees(`${name}: it is me`);
      await chat.interrupt();
    }
    const last = new Chat(server.url, 'Mina');
    await last.sees('lobby: 3 members, 1 online');
    await last.leave();
  } finally {
    await server.stop();
  }
});

test('what is piped in is said before it leaves', async () => {
  const server = await RealServer.start();
  try {
    const piped = new Chat(server.url);
    piped.say('from a pipe');
    expect(await piped.leave()).toBe(0);
    const reader = new Chat('--new', server.url);
    await reader.sees('guest-1: from a pipe');
  } finally {
    await server.stop();
  }
});
