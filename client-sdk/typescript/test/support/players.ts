// Clients that the tests of the real server use.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { CallError, Client } from '../../src/node.js';
import type { ClientOptions } from '../../src/node.js';

/** A guest of this name, signed in. */
export async function guest(
  url: string,
  name: string,
  options: Partial<ClientOptions> = {},
): Promise<Client> {
  const client = new Client({ url, backOff: { baseMs: 20, capMs: 200 }, ...options });
  await client.connect();
  await client.loginGuest({ secret: randomBytes(16).toString('hex'), name });
  return client;
}

/** The refusal of a call that must not succeed. */
export async function refusal(call: Promise<unknown>): Promise<CallError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof CallError) return error;
  throw new Error(`not refused: ${String(error)}`);
}

/** Waits for a condition; an error that names it after a minute. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const since = Date.now();
  while (!condition()) {
    if (Date.now() - since > 60_000) throw new Error(`it did not come to pass: ${what}`);
    await sleep(10);
  }
}

/** Longer than a client tries to open one way. */
const ASK_AGAIN_MS = 5_000;

/**
 * Asks, and waits for a condition, asking again and again. On a busy machine a way may not open in time, and a client then leaves it
 * alone unless it is asked for again.
 */
export async function askUntil(what: string, ask: () => void, condition: () => boolean): Promise<void> {
  let asked = -Infinity;
  await until(what, () => {
    if (condition()) return true;
    if (performance.now() - asked > ASK_AGAIN_MS) {
      asked = performance.now();
      ask();
    }
    return false;
  });
}

/** Everything heard of one room, as it came. */
export class Heard {
  readonly texts: string[] = [];
  readonly seqs: number[] = [];

  constructor(client: Client, room: string) {
    client.on('MessageSent', (event) => {
      if (event.room !== room) return;
      this.texts.push(event.msg.text);
      this.seqs.push(event.msg.seq);
    });
  }

  get last(): number {
    return this.seqs.at(-1) ?? 0;
  }
}

/** 1 to n. */
export function upTo(n: number): number[] {
  return Array.from({ length: n }, (_, index) => index + 1);
}
