import { property } from '../foreign.js';
import type { Transport } from './transport.js';
import type { WebSocketConstructor } from './web-socket.js';
import { webSocketTransport } from './web-socket.js';
import { hasWebTransport, webTransport } from './web-transport.js';

/** What a client connects with. */
export interface Transports {
  /** The way that every platform and network has, or the only one that the application wants. */
  webSocket: Transport;
  /** The better way, where the platform has it. It trusts certificates with these SHA-256 hashes too. */
  webTransport?: ((certificateHashes: readonly string[]) => Transport) | undefined;
}

/** What the application has chosen to connect with. */
interface Chosen {
  transport?: Transport | undefined;
  webSocket?: WebSocketConstructor | undefined;
}

/**
 * What there is to connect with here. What the application has chosen is then the only one. `load` finds a WebSocket where the
 * platform's own is not it.
 */
export function transportsOf(
  { transport, webSocket }: Chosen,
  load: () => WebSocketConstructor | Promise<WebSocketConstructor> = globalWebSocket,
): Transports {
  if (transport !== undefined) return { webSocket: transport };
  if (webSocket !== undefined) return { webSocket: webSocketTransport(() => webSocket) };
  return { webSocket: webSocketTransport(load), webTransport: platformWebTransport() };
}

/** WebTransport, where the platform has it. */
function platformWebTransport(): Transports['webTransport'] {
  return hasWebTransport() ? (certificateHashes) => webTransport({ certificateHashes }) : undefined;
}

function globalWebSocket(): WebSocketConstructor {
  const constructor = property(globalThis, 'WebSocket');
  if (typeof constructor === 'function') return constructor as WebSocketConstructor;
  throw new Error('there is no global WebSocket here: pass one as the option `webSocket`');
}
