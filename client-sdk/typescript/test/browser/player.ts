import type { ClientOptions } from '@pitturu/client';

/** What the page offers to the test. */
export interface BrowserPlayer {
  /** Texts of the messages heard. */
  texts: string[];
  /** States of the connection. */
  states: string[];
  connect(url: string, secret: string, name: string, options?: Partial<ClientOptions>): Promise<string>;
  create(name: string): Promise<string>;
  join(room: string): Promise<void>;
  send(room: string, text: string): Promise<number>;
  /** What carries the connection. */
  transport(): string | undefined;
  /** How often the client was moved. */
  moves(): number;
  /** Whether that carries the connection. If not, asks for it, and again after a while: a way that did not open in time is left alone. */
  moveTo(way: 'websocket' | 'webtransport'): boolean;
}
