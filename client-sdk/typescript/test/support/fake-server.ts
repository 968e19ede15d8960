// The model behind a real WebSocket.

import type { AddressInfo } from 'node:net';

import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';

import { SUBPROTOCOL } from '../../src/generated/wire.js';
import { ModelConnection, World } from './model.js';

export class FakeServer {
  readonly world: World;
  readonly sockets = new Map<ModelConnection, WebSocket>();
  readonly #server: WebSocketServer;

  private constructor(world: World, server: WebSocketServer) {
    this.world = world;
    this.#server = server;
    server.on('connection', (socket) => {
      const connection = new ModelConnection(
        world,
        (message) => {
          socket.send(message);
        },
        (code) => {
          socket.close(code);
        },
      );
      this.sockets.set(connection, socket);
      socket.on('message', (data, isBinary) => {
        if (!isBinary) throw new Error('the client sent a text message');
        connection.receive(new Uint8Array(data as Buffer));
      });
      socket.on('close', () => {
        connection.end();
        this.sockets.delete(connection);
      });
    });
  }

  static async start(world = new World(), port = 0): Promise<FakeServer> {
    world.now = Date.now;
    const server = new WebSocketServer({
      host: '127.0.0.1',
      port,
      handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    await new Promise((resolve) => server.once('listening', resolve));
    return new FakeServer(world, server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `ws://127.0.0.1:${String(this.port)}`;
  }

  /** Breaks all connections without a word. */
  cut(): void {
    for (const socket of this.sockets.values()) socket.terminate();
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
