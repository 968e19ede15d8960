// A client that moves between connections to a real server. Both ways are WebSockets here: it is the handover that is tried.

import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test } from 'vitest';
import { WebSocket } from 'ws';

import { Client } from '../../src/node.js';
import { transportsOf } from '../../src/transport/transports.js';
import type { Transports } from '../../src/transport/transports.js';
import { askUntil, guest, Heard, until, upTo } from '../support/players.js';
import { RealServer } from '../support/real-server.js';

const MOVES = 60;

function twoWays(url: string): Transports {
  const { webSocket } = transportsOf({ webSocket: WebSocket });
  return { webSocket, webTransport: () => ({ open: (_, events) => webSocket.open(url, events) }) };
}

test('a client that moves again and again hears all once, is answered once, and nobody sees it', async () => {
  const server = await RealServer.start(['listen.quic=127.0.0.1:0']);
  const mover = new Client({ url: server.url }, twoWays(server.url));
  const jun = await guest(server.url, 'Jun');
  try {
    await mover.connect();
    await mover.loginGuest({ secret: 'a mover that is a guest', name: 'Mina' });
    const { info } = await jun.call('CreateRoom', { kind: 'public', name: 'moving' });
    const { room } = info;
    await mover.call('JoinRoom', { room });
    const heard = [mover, jun].map((client) => new Heard(client, room));
    const moments: string[] = [];
    mover.on('EphemeralSent', ({ text }) => moments.push(text));
    const states: string[] = [];
    mover.on('connection', ({ state }) => states.push(state));
    const presences: string[] = [];
    jun.on('PlayerPresence', ({ presence }) => presences.push(presence.status));

    let going = true;
    let said = 0;
    const sent: string[] = [];
    const speak = async (client: Client, name: string): Promise<void> => {
      for (let n = 0; going; n += 1) {
        const text = `${name} ${String(n)}`;
        await client.call('SendMessage', { room, text });
        sent.push(text);
        if (client !== jun) continue;
        await client.call('SendEphemeral', { room, text: String(said) });
        said += 1;
      }
    };
    const speaking = [speak(mover, 'Mina'), speak(mover, 'Mina too'), speak(jun, 'Jun')];
    for (let move = 1; move <= MOVES; move += 1) {
      const way = move % 2 === 1 ? 'webtransport' : 'websocket';
      await askUntil(
        `move ${String(move)}`,
        () => {
          mover.preferTransport(way);
        },
        () => mover.transport === way,
      );
      await sleep(Math.floor(Math.random() * 60));
    }
    going = false;
    await Promise.all(speaking);

    await until('all have heard all', () => heard.every(({ last }) => last === sent.length));
    await until('all moments are heard', () => moments.length >= said);
    expect([...(heard[1]?.texts ?? [])].sort()).toStrictEqual(sent.sort());
    for (const each of heard) expect(each.seqs).toStrictEqual(upTo(sent.length));
    expect(heard[0]?.texts).toStrictEqual(heard[1]?.texts);
    expect(moments.map(Number).sort((left, right) => left - right)).toStrictEqual(
      Array.from({ length: said }, (_, n) => n),
    );
    expect(states, 'nobody sees it').toStrictEqual([]);
    expect(presences).toStrictEqual([]);
    console.log(`${String(sent.length)} messages and ${String(said)} moments over ${String(MOVES)} moves`);
  } finally {
    mover.close();
    jun.close();
    await server.stop();
  }
});
