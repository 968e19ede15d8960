// What the welcome tells of a server's QUIC.

import { decode, encode } from '@msgpack/msgpack';
import { WebSocket } from 'ws';

import type { Welcome } from '../../src/node.js';
import { KIND, SUBPROTOCOL, VERSION } from '../../src/generated/wire.js';

/** Where it is, and which certificates to believe there. */
export async function quicOf(url: string): Promise<{ port: number; hashes: string[] }> {
  const socket = new WebSocket(url, SUBPROTOCOL);
  const welcome = await new Promise<Welcome>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('open', () => {
      socket.send(encode([KIND.hello, { v: VERSION, sdk: 'test/0' }]));
    });
    socket.on('message', (data) => {
      const [, body] = decode(data as Buffer) as [number, Welcome];
      resolve(body);
    });
  });
  socket.close();
  if (welcome.quic === undefined) throw new Error('the server has no QUIC');
  return { port: welcome.quic.port, hashes: welcome.quic.certificate_hashes ?? [] };
}
