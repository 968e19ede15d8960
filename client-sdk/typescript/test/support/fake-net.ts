// Transports without sockets: two ways to a model server, each with its own delays and faults. Time is that of the timers.

import type { Link, TransportEvents } from '../../src/transport/transport.js';
import type { Transports } from '../../src/transport/transports.js';
import type { Way } from '../../src/transport/ways.js';
import { ModelConnection, World } from './model.js';

/** How a way behaves. */
export interface Road {
  /** How long a connection takes to open; `never`: nobody answers; `refused`: it can't be; `throws`: the transport does. */
  opens: number | 'never' | 'refused' | 'throws';
  /** How long a message takes. */
  latencyMs: number;
}

/** A link of the fake net. */
export class FakeLink implements Link {
  /** When the first message was sent. */
  greetedAt: number | undefined;
  openedAt: number | undefined;
  closedWith: number | undefined;
  connection: ModelConnection | undefined;
  /** Nothing passes any more, and nobody is told. */
  silent = false;
  readonly datagrams: Uint8Array[] = [];
  /** What is thrown by the next message. */
  throws: Error | undefined;
  #ended = false;

  constructor(
    readonly way: Way,
    readonly net: FakeNet,
    readonly events: TransportEvents,
  ) {
    const { opens } = net.roads[way];
    net.links.add(this);
    if (opens === 'never' || opens === 'throws') return;
    net.after(opens === 'refused' ? 1 : opens, () => {
      if (this.#ended) return;
      if (opens === 'refused') return this.end(undefined, `${way} is refused`);
      this.openedAt = performance.now();
      this.connection = new ModelConnection(
        net.world,
        (message) => {
          this.#passes(() => {
            events.received(message);
          });
        },
        (code) => {
          this.#passes(() => {
            this.end(code);
          });
        },
      );
      events.opened();
    });
  }

  send(message: Uint8Array): void {
    if (this.openedAt === undefined || this.#ended) throw new Error('sent over a link that is not open');
    this.greetedAt ??= performance.now();
    if (this.throws !== undefined) throw this.throws;
    this.#passes(() => {
      this.connection?.receive(message);
    });
  }

  sendDatagram(datagram: Uint8Array): boolean {
    if (this.way === 'websocket') return false;
    this.datagrams.push(datagram);
    return true;
  }

  close(code: number): void {
    this.closedWith = code;
    this.#gone();
  }

  /** The link breaks, or the server closes it. */
  end(code?: number, why?: string): void {
    if (this.#ended) return;
    this.#gone();
    this.events.closed(code, why);
  }

  #gone(): void {
    this.#ended = true;
    this.connection?.end();
    this.net.links.delete(this);
  }

  #passes(step: () => void): void {
    this.net.after(this.net.roads[this.way].latencyMs, () => {
      if (!this.silent && !this.#ended) step();
    });
  }
}

export class FakeNet {
  readonly world = new World();
  readonly roads: Record<Way, Road> = {
    websocket: { opens: 60, latencyMs: 20 },
    webtransport: { opens: 30, latencyMs: 10 },
  };
  /** Links that are being opened or are open. */
  readonly links = new Set<FakeLink>();
  /** All links there ever were. */
  readonly made: FakeLink[] = [];
  readonly urls: string[] = [];
  readonly hashes: (readonly string[])[] = [];
  #pending = 0;

  constructor() {
    this.world.now = Date.now;
    // The model does not ping by itself.
    this.world.pingMs = 3_600_000;
  }

  get transports(): Transports {
    return {
      webSocket: { open: (url, events) => this.#open('websocket', url, events) },
      webTransport: (hashes) => ({
        open: (url, events) => {
          this.hashes.push(hashes);
          return this.#open('webtransport', url, events);
        },
      }),
    };
  }

  /** The ways that links were made by, in order. */
  get ways(): Way[] {
    return this.made.map(({ way }) => way);
  }

  /** The links that are open. */
  open(way?: Way): FakeLink[] {
    return [...this.links].filter((link) => link.openedAt !== undefined && (way ?? link.way) === link.way);
  }

  /** Timers of the net that have not come. */
  get pending(): number {
    return this.#pending;
  }

  after(ms: number, step: () => void): void {
    this.#pending += 1;
    setTimeout(() => {
      this.#pending -= 1;
      step();
    }, ms);
  }

  #open(way: Way, url: string, events: TransportEvents): Link {
    if (this.roads[way].opens === 'throws') throw new Error(`${way} throws`);
    const link = new FakeLink(way, this, events);
    this.made.push(link);
    this.urls.push(url);
    return link;
  }
}
