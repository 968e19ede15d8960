import { Client } from '@pitturu/client';
import type { WebSocketConstructor } from '@pitturu/client';

// What the platform has fits: its WebSocket, its signals, what it takes as bytes.
const webSocket: WebSocketConstructor = WebSocket;
const client = new Client({ url: 'ws://127.0.0.1:9', webSocket });
declare const maybeSignal: AbortSignal | undefined;
void client.call('GetAccount', {}, { signal: maybeSignal });
void client.call('GetAccount', {}, { signal: AbortSignal.timeout(5) });
client.on('state', ({ data }) => {
  void new Blob([data]);
  void crypto.subtle.digest('SHA-256', data);
});
