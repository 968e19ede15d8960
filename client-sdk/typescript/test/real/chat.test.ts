import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import type { Client, Message, Tokens } from '../../src/node.js';
import { guest, Heard, refusal, until, upTo } from '../support/players.js';
import { RealServer } from '../support/real-server.js';

let server: RealServer;
const clients: Client[] = [];

beforeAll(async () => {
  server = await RealServer.start();
}, 120_000);

afterAll(async () => {
  await server.stop();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

async function player(name: string, options: Parameters<typeof guest>[2] = {}): Promise<Client> {
  const client = await guest(server.url, name, options);
  clients.push(client);
  return client;
}

async function roomOf(client: Client, name = 'lobby'): Promise<string> {
  return (await client.call('CreateRoom', { kind: 'public', name })).info.room;
}

async function history(client: Client, room: string): Promise<Message[]> {
  const messages: Message[] = [];
  for (;;) {
    const after = messages.at(-1)?.seq ?? 0;
    const page = await client.call('ReadHistory', { room, from: { after }, limit: 200 });
    messages.push(...page.messages);
    if (page.messages.length === 0 || messages.at(-1)?.seq === page.head) return messages;
  }
}

test('the clock of a server on this machine is that of this machine', async () => {
  const mina = await player('Mina');
  await until('it is known', () => mina.clock !== undefined);
  const { clock } = mina;
  const apart = Math.abs((clock?.now() ?? 0) - Date.now());
  expect(apart).toBeLessThanOrEqual((clock?.roundTripMs ?? 0) + 100);
});

describe('two players', () => {
  test('chat: the same messages in the same order, live and in the history', async () => {
    const [mina, jun] = [await player('Mina'), await player('Jun')];
    const room = await roomOf(mina);
    await jun.call('JoinRoom', { room });
    const [atMina, atJun] = [new Heard(mina, room), new Heard(jun, room)];
    const sends = upTo(200).map((n) => {
      const sender = n % 2 === 0 ? mina : jun;
      return sender.call('SendMessage', { room, text: String(n) });
    });
    const seqs = (await Promise.all(sends)).map(({ seq }) => seq);
    expect(new Set(seqs)).toStrictEqual(new Set(upTo(200)));
    await until('both have heard all', () => atMina.last === 200 && atJun.last === 200);
    expect(atMina.seqs).toStrictEqual(upTo(200));
    expect(atJun.texts).toStrictEqual(atMina.texts);
    expect((await history(jun, room)).map(({ text }) => text)).toStrictEqual(atMina.texts);
  });

  test('exchange every naughty string byte for byte', async () => {
    const naughty = createRequire(import.meta.url)('big-list-of-naughty-strings') as string[];
    const texts = [...naughty, `\ufeff${'mark '.repeat(100)}`].filter(
      (text) => Buffer.byteLength(text) <= 4096,
    );
    expect(texts.length).toBeGreaterThan(400);
    const [mina, jun] = [await player('Mina'), await player('Jun')];
    const room = await roomOf(mina);
    await jun.call('JoinRoom', { room });
    const heard = new Heard(jun, room);
    for (const text of texts) await mina.call('SendMessage', { room, text });
    await until('all are heard', () => heard.last === texts.length);
    expect(heard.texts).toStrictEqual(texts);
    expect((await history(jun, room)).map(({ text }) => text)).toStrictEqual(texts);
  });

  test('edit, delete, react, read and type', async () => {
    const [mina, jun] = [await player('Mina'), await player('Jun')];
    const room = await roomOf(mina);
    await jun.call('JoinRoom', { room });
    const seen: string[] = [];
    jun.on('MessageEdited', ({ text }) => seen.push(`edited ${text}`));
    jun.on('ReactionChanged', ({ emoji, count }) => seen.push(`reacted ${emoji} ${String(count)}`));
    jun.on('MessageDeleted', ({ seq }) => seen.push(`deleted ${String(seq)}`));
    jun.on('TypingStarted', ({ name }) => seen.push(`typing ${name}`));
    const data = Uint8Array.of(0, 255, 193);
    const { seq } = await mina.call('SendMessage', { room, text: 'helo', data });
    await mina.call('EditMessage', { room, seq, text: 'hello' });
    await mina.call('React', { room, seq, emoji: '👍', on: true });
    const [message] = await history(jun, room);
    expect(message).toMatchObject({ text: 'hello', data, reactions: [{ emoji: '👍', count: 1 }] });
    expect(await jun.call('MarkRead', { room, seq })).toStrictEqual({ read: 1, unread: 0 });
    await mina.call('DeleteMessage', { room, seq });
    await mina.call('Typing', { room });
    await until('all changes are seen', () => seen.length >= 4);
    expect(seen).toStrictEqual(['edited hello', 'reacted 👍 1', 'deleted 1', 'typing Mina']);
  });

  test('say things for the moment', async () => {
    const [mina, jun] = [await player('Mina'), await player('Jun')];
    const room = await roomOf(mina);
    await jun.call('JoinRoom', { room });
    const seen: string[] = [];
    for (const client of [mina, jun]) {
      client.on('EphemeralSent', ({ name, text }) => seen.push(`${name}: ${text}`));
    }
    expect(await mina.call('SendEphemeral', { room, text: 'gg' })).toStrictEqual({});
    await until('both hear it', () => seen.length === 2);
    expect(seen).toStrictEqual(['Mina: gg', 'Mina: gg']);
    expect(await history(jun, room)).toStrictEqual([]);
  });

  test('find each other as friends, by the inbox', async () => {
    const [mina, jun] = [await player('Mina'), await player('Jun', { resume: { inbox: 0 } })];
    const kinds: string[] = [];
    jun.on('InboxAdded', ({ entry }) => kinds.push(entry.kind));
    await mina.call('RequestFriend', { user: jun.identity?.user ?? '' });
    await until('the request arrives', () => kinds.length === 1);
    const friend = await jun.call('AcceptFriend', { user: mina.identity?.user ?? '' });
    expect(friend).toMatchObject({ name: 'Mina', state: 'friend' });
    expect(kinds).toStrictEqual(['friend_requested']);
  });
});

describe('refusals', () => {
  test('have the code, what to do, and the field', async () => {
    const mina = await player('Mina');
    const room = await roomOf(mina);
    const nowhere = await refusal(mina.call('JoinRoom', { room: '0000000000000000' }));
    expect(nowhere).toMatchObject({ code: 'room_not_found', retry: 'never' });
    const long = await refusal(mina.call('SendMessage', { room, text: 'x'.repeat(4097) }));
    expect(long).toMatchObject({ code: 'invalid_argument', field: 'text', retry: 'never' });
    const jun = await player('Jun');
    expect(await refusal(jun.call('SendMessage', { room, text: 'x' }))).toMatchObject({
      code: 'not_a_member',
    });
    const admin = await refusal(jun.call('SetRole', { user: jun.identity?.user ?? '', role: 'admin' }));
    expect(admin).toMatchObject({ code: 'forbidden' });
  });

  test('of a slow room say how long to wait', async () => {
    const [mina, jun] = [await player('Mina'), await player('Jun')];
    const { info } = await mina.call('CreateRoom', { kind: 'public', name: 'slow', slow_mode_ms: 60_000 });
    await jun.call('JoinRoom', { room: info.room });
    await jun.call('SendMessage', { room: info.room, text: 'one' });
    const error = await refusal(jun.call('SendMessage', { room: info.room, text: 'two' }));
    expect(error).toMatchObject({ code: 'slow_mode', retry: 'later' });
    expect(error.retryAfterMs).toBeGreaterThan(50_000);
  });

  test('of wrong passwords tell nothing of the account', async () => {
    const mina = await player('Mina');
    const username = `mina${String(Date.now())}`;
    await mina.call('UpgradeGuest', { username, password: 'a long pass phrase' });
    const other = await player('Jun');
    await other.logout();
    const known = await refusal(other.login({ username, password: 'another pass phrase' }));
    const unknown = await refusal(other.login({ username: `${username}x`, password: 'another pass phrase' }));
    expect(known.code).toBe('wrong_credentials');
    expect([unknown.code, unknown.message]).toStrictEqual([known.code, known.message]);
    const { identity } = await other.login({ username, password: 'a long pass phrase' });
    expect(identity.user).toBe(mina.identity?.user);
  });

  test('of one key for two requests', async () => {
    const mina = await player('Mina');
    const room = await roomOf(mina);
    const first = await mina.call('SendMessage', { room, text: 'one' }, { key: 'the same' });
    const again = await mina.call('SendMessage', { room, text: 'one' }, { key: 'the same' });
    expect(again).toStrictEqual(first);
    const other = await refusal(mina.call('SendMessage', { room, text: 'two' }, { key: 'the same' }));
    expect(other.code).toBe('key_reused');
  });
});

describe('a client', () => {
  test('that starts again goes on from its tokens and cursors', async () => {
    let kept: Tokens | undefined;
    const tokens = { load: () => kept, save: (now: Tokens) => void (kept = now) };
    const [mina, jun] = [await player('Mina'), await player('Jun', { tokens })];
    const room = await roomOf(mina);
    await jun.call('JoinRoom', { room });
    await mina.call('SendMessage', { room, text: 'before' });
    await until('the cursor has moved', () => jun.cursors.rooms?.[0]?.seq === 1);
    const { cursors, identity } = jun;
    jun.close();
    for (const n of upTo(120)) await mina.call('SendMessage', { room, text: String(n) });
    const { Client } = await import('../../src/node.js');
    const later = new Client({ url: server.url, tokens, resume: cursors });
    clients.push(later);
    const heard = new Heard(later, room);
    await later.connect();
    await until('the rest has arrived', () => heard.last === 121);
    expect(heard.seqs).toStrictEqual(upTo(121).slice(1));
    expect(later.identity?.user).toBe(identity?.user);
  });

  test('that reads slowly is not disconnected, and misses nothing', async () => {
    const [mina, jun] = [await player('Mina'), await player('Jun')];
    const room = await roomOf(mina);
    await jun.call('JoinRoom', { room });
    const lost: string[] = [];
    jun.on('connection', ({ state }) => {
      if (state === 'offline') lost.push(state);
    });
    const events = jun.events('MessageSent');
    const total = 3_000;
    for (let n = 0; n < total; n += 50) {
      await Promise.all(upTo(50).map(() => mina.call('SendMessage', { room, text: 'x'.repeat(200) })));
    }
    await sleep(200);
    const seqs: number[] = [];
    for await (const { msg } of events) {
      seqs.push(msg.seq);
      if (msg.seq === total) break;
    }
    expect(seqs).toStrictEqual(upTo(total));
    expect(lost).toStrictEqual([]);
  });
});
