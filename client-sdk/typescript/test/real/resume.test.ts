import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { guest, Heard, until, upTo } from '../support/players.js';
import { RealServer } from '../support/real-server.js';

const KILLS = 5;

test('what was acknowledged survives kill -9, once and in order, and clients catch up by themselves', async () => {
  const server = await RealServer.start();
  const players = await Promise.all(['Mina', 'Jun', 'Ara'].map((name) => guest(server.url, name)));
  try {
    const [mina] = players;
    if (mina === undefined) throw new Error('nobody came');
    const { info } = await mina.call('CreateRoom', { kind: 'public', name: 'storm' });
    const { room } = info;
    for (const player of players.slice(1)) await player.call('JoinRoom', { room });
    const heard = players.map((player) => new Heard(player, room));

    const acknowledged = new Map<string, number>();
    let going = true;
    const senders = players.map(async (player, index) => {
      for (let n = 0; going; n += 1) {
        const text = `${String(index)}:${String(n)}`;
        const { seq } = await player.call('SendMessage', { room, text });
        acknowledged.set(text, seq);
      }
    });
    for (let kill = 0; kill < KILLS; kill += 1) {
      await sleep(300 + 200 * kill);
      await server.end('SIGKILL');
      await server.run();
    }
    await sleep(500);
    going = false;
    await Promise.all(senders);

    const total = acknowledged.size;
    await until('all have heard all', () => heard.every(({ last }) => last === total));
    for (const each of heard) {
      expect(each.seqs).toStrictEqual(upTo(total));
      expect(each.texts).toStrictEqual(heard[0]?.texts);
    }
    for (const [text, seq] of acknowledged) expect(heard[0]?.texts[seq - 1]).toBe(text);
    console.log(`${String(total)} messages over ${String(KILLS)} kills`);
    expect(total).toBeGreaterThan(20);
  } finally {
    for (const player of players) player.close();
    await server.stop();
  }
});

test('an orderly restart brings everybody back', async () => {
  const server = await RealServer.start();
  const [mina, jun] = [await guest(server.url, 'Mina'), await guest(server.url, 'Jun')];
  try {
    const { info } = await mina.call('CreateRoom', { kind: 'private', name: 'us' });
    await mina.call('InviteToRoom', { room: info.room, user: jun.identity?.user ?? '' });
    await jun.call('JoinRoom', { room: info.room });
    const heard = new Heard(jun, info.room);
    await server.end('SIGTERM');
    const sending = mina.call('SendMessage', { room: info.room, text: 'are you there?' });
    await sleep(300);
    await server.run();
    expect((await sending).seq).toBe(1);
    await until('it is heard', () => heard.last === 1);
    expect(jun.connection.state).toBe('online');
  } finally {
    mina.close();
    jun.close();
    await server.stop();
  }
});

test('a connection outlives its access token by renewing it', async () => {
  const server = await RealServer.start(['accounts.access_life=5s']);
  const mina = await guest(server.url, 'Mina');
  try {
    await until('the inbox is up to date', () => mina.connection.state === 'online');
    const states: string[] = [];
    let renewed = 0;
    mina.on('connection', ({ state }) => states.push(state));
    mina.on('tokens', () => (renewed += 1));
    await sleep(12_000);
    expect(renewed).toBeGreaterThanOrEqual(2);
    expect(states).toStrictEqual([]);
    await mina.call('GetAccount', {});
  } finally {
    mina.close();
    await server.stop();
  }
});
