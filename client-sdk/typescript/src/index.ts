// The surface of @pitturu/client.

export { Client } from './client.js';
export { CallError } from './errors.js';
export type { ClientEvents, EventName, Problem } from './events.js';
export type { CodeInfo, CodeName, Reconnect, Retry } from './generated/codes.js';
export { CLOSE_CODES, CODES } from './generated/codes.js';
export type { EventInfo, Events, MethodInfo, Methods } from './generated/tables.js';
export { EVENTS, METHODS } from './generated/tables.js';
export type * from './generated/types.js';
export { LIMITS, SUBPROTOCOL, VERSION } from './generated/wire.js';
export type { Ask, Does, Life } from './life.js';
export { LIFE } from './life.js';
export { UNHEARD_MAX } from './listeners.js';
export type { MethodName } from './machine/pending.js';
export { CALLS_HELD_BYTES_MAX, CALLS_HELD_MAX } from './machine/calls.js';
export type { BackOff, Connection, Tokens, Unreadable } from './machine/types.js';
export type { AbortSignalLike, CallOptions, ClientOptions, TransportStats } from './options.js';
export type { ServerClock } from './server-clock.js';
export { oneLine } from './text.js';
export type { TokenStore } from './token-keeper.js';
export type { Link, Transport, TransportEvents } from './transport/transport.js';
export type {
  DatagramsLike,
  Reader,
  StreamLike,
  WebTransportConstructor,
  WebTransportLike,
  Writer,
} from './transport/platform.js';
export type { WebTransportOptions } from './transport/web-transport.js';
export { hasWebTransport, webTransport } from './transport/web-transport.js';
export type { Transports } from './transport/transports.js';
export type { Preference, Way } from './transport/ways.js';
export type { WebSocketConstructor, WebSocketLike } from './transport/web-socket.js';
export { webSocketTransport } from './transport/web-socket.js';
export { PACKAGE_VERSION } from './version.js';
export type { Cursor, Missing, Stream } from './wire/frame.js';
