// The surface of @pitturu/client in Node, where WebSocket may have to come from the package `ws`.

import { Client as AnyClient } from './client.js';
import type { ClientOptions } from './options.js';
import { checkOptions } from './options.js';
import type { Transports } from './transport/transports.js';
import { transportsOf } from './transport/transports.js';
import type { WebSocketConstructor } from './transport/web-socket.js';

export * from './index.js';

async function load(): Promise<WebSocketConstructor> {
  const built = globalThis.WebSocket as WebSocketConstructor | undefined;
  if (built !== undefined) return built;
  try {
    // A variable, and the marks, keep bundlers from looking for a package that need not be there.
    const name = 'ws';
    const { WebSocket } = (await import(
      /* webpackIgnore: true */ /* turbopackIgnore: true */ /* @vite-ignore */ name
    )) as {
      WebSocket: WebSocketConstructor;
    };
    return WebSocket;
  } catch (error) {
    throw new Error('this Node has no WebSocket: install the package `ws`, or pass the option `webSocket`', {
      cause: error,
    });
  }
}

/** A player's client. See the class of the same name for browsers; this one also finds the package `ws`. */
export class Client extends AnyClient {
  constructor(options: ClientOptions, transports?: Transports) {
    checkOptions(options);
    super(options, transports ?? transportsOf(options, load));
  }
}
