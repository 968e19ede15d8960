// Drives a machine on a virtual clock.

import type { Request } from '../../src/machine/pending.js';
import { Machine } from '../../src/machine/machine.js';
import type { Config, Found, Output, Result, Ticket } from '../../src/machine/types.js';
import { ModelConnection, World } from './model.js';

/** Random numbers from a seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function config(overrides: Partial<Config> = {}): Config {
  return {
    sdk: 'test/0',
    tokens: {},
    tokensToCome: false,
    resume: {},
    backOff: { baseMs: 250, capMs: 20_000 },
    handshakeMs: 10_000,
    stableMs: 5_000,
    measuresClock: false,
    random: randomOf(1),
    ...overrides,
  };
}

/** A machine that talks to a model at once, without a network between them. */
export class Pair {
  now = 0;
  readonly world = new World();
  readonly machine: Machine;
  readonly outputs: Output[] = [];
  readonly answers = new Map<Ticket, Result>();
  /** What the machine has sent, over any connection. */
  readonly sent: Uint8Array[] = [];
  connection: ModelConnection | undefined;
  /** The other one of a handover. */
  other: ModelConnection | undefined;
  /** Whether `connect` opens a connection. */
  reachable = true;
  /** What the driver knows of it when it does not. */
  why: string | undefined;
  /** What lies where the tokens are kept. */
  found: Found = { is: 'nothing_new' };
  /** Whether what the machine sends arrives. */
  delivers = true;

  constructor(overrides: Partial<Config> = {}) {
    this.machine = new Machine(config(overrides));
    this.world.now = () => 1_000_000 + this.now;
  }

  start(): this {
    this.machine.start(this.now);
    this.pump();
    return this;
  }

  /** A call under a key that nothing was sent under before. */
  call(method: Request['method'], request: Request['request'], key?: string): Ticket {
    const call: Request = { method, request };
    if (key !== undefined) {
      call.key = key;
      call.keyIsNew = true;
    }
    const ticket = this.machine.call(call);
    this.pump();
    return ticket;
  }

  /** The reply to a call that has ended well. */
  reply(ticket: Ticket): Record<string, unknown> {
    const result = this.answers.get(ticket);
    if (result === undefined || !('reply' in result)) {
      throw new Error(`no reply: ${JSON.stringify(result)}`);
    }
    return result.reply;
  }

  fault(ticket: Ticket): { code: number; message: string } {
    const result = this.answers.get(ticket);
    if (result === undefined || !('fault' in result)) throw new Error(`no fault: ${JSON.stringify(result)}`);
    return result.fault;
  }

  /** Lets time pass, with every tick that becomes due. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const at = this.machine.nextTimeout;
      if (at === undefined || at > end) break;
      this.now = Math.max(this.now, at);
      this.machine.tick(this.now);
      this.pump();
    }
    this.now = end;
  }

  /** The connection breaks, or the server closes it. */
  cut(code?: number): void {
    this.connection?.end();
    this.connection = undefined;
    this.machine.disconnected(this.now, code);
    this.pump();
  }

  receive(message: Uint8Array): void {
    this.machine.received(this.now, message);
    this.pump();
  }

  otherReceive(message: Uint8Array): void {
    this.machine.otherReceived(this.now, message);
    this.pump();
  }

  /** The other connection breaks. */
  cutOther(): void {
    this.other?.end();
    this.other = undefined;
    this.machine.otherDisconnected(this.now);
    this.pump();
  }

  /** Opens another connection, whose answers may wait, and hands the client over to it. */
  handOver(held = false): boolean {
    if (!this.machine.handOver(this.now)) return false;
    this.other = this.#connect();
    this.other.held = held;
    this.pump();
    return true;
  }

  pump(): void {
    for (;;) {
      const output = this.machine.poll();
      if (output !== undefined) {
        this.#handle(output);
        continue;
      }
      const message = this.machine.transmit();
      if (message !== undefined) {
        this.sent.push(message);
        if (this.delivers) this.connection?.receive(message);
        continue;
      }
      const other = this.machine.transmitOther();
      if (other === undefined) return;
      this.sent.push(other);
      if (this.delivers) this.other?.receive(other);
    }
  }

  #handle(output: Output): void {
    this.outputs.push(output);
    if (output.kind === 'answer') this.answers.set(output.ticket, output.result);
    if (output.kind === 'read_tokens') this.machine.tokensFound(this.found);
    if (output.kind === 'close') {
      this.connection?.end();
      this.connection = undefined;
    }
    if (output.kind === 'close_other') {
      this.other?.end();
      this.other = undefined;
    }
    if (output.kind === 'take_over') {
      [this.connection, this.other] = [this.other, this.connection];
    }
    if (output.kind !== 'connect') return;
    if (!this.reachable) {
      this.machine.disconnected(this.now, undefined, this.why);
      return;
    }
    this.connection = this.#connect();
    this.machine.connected(this.now);
  }

  #connect(): ModelConnection {
    const connection = new ModelConnection(
      this.world,
      (message) => {
        if (this.connection === connection) this.receive(message);
        else if (this.other === connection) this.otherReceive(message);
      },
      (code) => {
        if (this.connection === connection) this.cut(code);
        else if (this.other === connection) this.cutOther();
      },
    );
    return connection;
  }

  /** Texts of the messages handed up, in order. */
  get texts(): string[] {
    const texts: string[] = [];
    for (const output of this.outputs) {
      const message = output.kind === 'event' ? output.body['msg'] : undefined;
      if (typeof message === 'object' && message !== null && 'text' in message) {
        texts.push(message['text'] as string);
      }
    }
    return texts;
  }

  kinds(): string[] {
    return this.outputs.map(({ kind }) => kind);
  }
}
