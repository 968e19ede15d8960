// Transports and stores whose every wait ends when a test says so.

import type { Link, Tokens, Transport, TransportEvents } from '../../src/index.js';
import { ModelConnection, World } from './model.js';

/** Something that is waited for until it is let through. */
export class Gate<T> {
  readonly promise: Promise<T>;
  resolve: (value: T) => void = () => undefined;
  reject: (error: unknown) => void = () => undefined;

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.promise.catch(() => undefined);
  }
}

/** A link of a `ModelTransport`. */
export class ModelLink implements Link {
  connection: ModelConnection | undefined;
  closed = false;

  constructor(
    readonly world: World,
    readonly events: TransportEvents,
  ) {}

  /** The server takes the connection. */
  accept(): void {
    this.connection = new ModelConnection(
      this.world,
      (message) => {
        queueMicrotask(() => {
          if (this.connection !== undefined) this.events.received(message);
        });
      },
      (code) => {
        this.lose(code);
      },
    );
    this.events.opened();
  }

  send(message: Uint8Array): void {
    this.connection?.receive(message);
  }

  close(): void {
    this.closed = true;
    this.connection?.end();
    this.connection = undefined;
  }

  /** The connection is gone. */
  lose(code?: number): void {
    if (this.closed) return;
    this.close();
    this.events.closed(code);
  }
}

/** A model of the server without a socket. */
export class ModelTransport implements Transport {
  readonly world = new World();
  readonly links: ModelLink[] = [];
  /** What `ready` waits for, if it shall wait. */
  gate: Gate<void> | undefined;
  /** Whether the server takes connections. */
  accepts = true;

  constructor() {
    this.world.now = Date.now;
    this.world.pingMs = 60_000;
  }

  ready(): Promise<void> {
    return this.gate?.promise ?? Promise.resolve();
  }

  open(_url: string, events: TransportEvents): Link {
    const link = new ModelLink(this.world, events);
    this.links.push(link);
    if (this.accepts) {
      queueMicrotask(() => {
        if (!link.closed) link.accept();
      });
    }
    return link;
  }

  /** The newest link. */
  get link(): ModelLink {
    const link = this.links.at(-1);
    if (link === undefined) throw new Error('nothing was opened');
    return link;
  }
}

/** A token store in memory, which several clients may share. */
export class MemoryStore {
  kept: Tokens | undefined;
  saves = 0;
  loads = 0;

  load(): Tokens | undefined {
    this.loads += 1;
    return this.kept && { ...this.kept };
  }

  save(tokens: Tokens): void {
    this.saves += 1;
    this.kept = { ...tokens };
  }
}

/** Lets everything that is due at once happen. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
