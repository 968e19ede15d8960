// The server's clock, measured by questions that it answers at once.

import { describe, expect, test, vi } from 'vitest';

import { Client } from '../src/client.js';
import { CODES } from '../src/generated/codes.js';
import { METHODS } from '../src/generated/tables.js';
import { KIND } from '../src/generated/wire.js';
import type { ClockEstimate } from '../src/machine/clock.js';
import { estimateOf } from '../src/machine/clock.js';
import { serverClockOf } from '../src/server-clock.js';
import { Reader } from '../src/wire/reader.js';
import { Pair } from './support/driver.js';
import { FakeNet } from './support/fake-net.js';
import { frame, welcome } from './support/scripted.js';

/** The server's clock is ahead of the machine's. */
const AHEAD = 1_000_000;

const NOBODY = { identity: undefined };

/** Welcomed, and nobody signed in; the test is the server. */
function measuring(measuresClock = true): Pair {
  const pair = new Pair({ measuresClock });
  pair.delivers = false;
  pair.start();
  pair.receive(welcome(pair, NOBODY));
  return pair;
}

/** The numbers of the questions that were asked since the last look. */
function asked(pair: Pair): number[] {
  return pair.sent.splice(0).flatMap((message) => {
    const calls: number[] = [];
    const reader = new Reader(message);
    while (reader.at < message.byteLength) {
      const [kind, call, method] = reader.value(0) as [number, number, number];
      if (kind === KIND.call && method === METHODS.Echo.number) calls.push(call);
    }
    return calls;
  });
}

/** The number of the one question that was asked since the last look. */
function question(pair: Pair): number {
  const calls = asked(pair);
  expect(calls).toHaveLength(1);
  return calls[0] ?? 0;
}

function echoed(call: number, now: number): Uint8Array {
  return frame('reply', call, { data: new Uint8Array(), now });
}

/** Answers a question; the way there and the way back take so long. */
function answer(pair: Pair, call: number, there: number, back: number): void {
  pair.now += there + back;
  pair.receive(echoed(call, pair.now - back + AHEAD));
}

function ping(pair: Pair): void {
  pair.receive(frame('ping', 1, 0));
}

function estimate(pair: Pair): ClockEstimate | undefined {
  return pair.machine.clock.estimate;
}

describe('a machine', () => {
  test('begins a connection with four questions, and each ping leads to one', () => {
    const pair = measuring();
    expect(estimate(pair)).toBeUndefined();
    for (const way of [30, 20, 25, 40]) answer(pair, question(pair), way, way);
    expect(estimate(pair)).toStrictEqual({ offsetMs: AHEAD, roundTripMs: 40 });
    expect(asked(pair)).toStrictEqual([]);
    for (let pings = 0; pings < 2; pings += 1) ping(pair);
    // One at a time.
    answer(pair, question(pair), 10, 10);
    expect(asked(pair)).toStrictEqual([]);
    ping(pair);
    question(pair);
  });

  test('asks nothing before the welcome', () => {
    const pair = new Pair({ measuresClock: true });
    pair.delivers = false;
    pair.start();
    ping(pair);
    expect(asked(pair)).toStrictEqual([]);
    pair.receive(welcome(pair, NOBODY));
    question(pair);
  });

  test('counts the newest sixteen', () => {
    const pair = measuring();
    for (let fast = 0; fast < 4; fast += 1) answer(pair, question(pair), 1, 1);
    expect(estimate(pair)).toStrictEqual({ offsetMs: AHEAD, roundTripMs: 2 });
    for (let slow = 0; slow < 16; slow += 1) {
      ping(pair);
      answer(pair, question(pair), 10, 11);
    }
    // Half of an odd number of milliseconds.
    expect(estimate(pair)).toStrictEqual({ offsetMs: AHEAD, roundTripMs: 21 });
  });

  test('learns nothing from a question that is refused or not understood, and another follows', () => {
    const pair = measuring();
    const fault = { code: CODES.overloaded.number, message: '', retry_after_ms: 1 };
    pair.receive(frame('fault', question(pair), fault));
    pair.advance(10);
    expect(asked(pair)).toStrictEqual([]);
    ping(pair);
    pair.receive(frame('reply', question(pair), { data: 1 }));
    expect(estimate(pair)).toBeUndefined();
    ping(pair);
    answer(pair, question(pair), 5, 5);
    expect(estimate(pair)).toStrictEqual({ offsetMs: AHEAD, roundTripMs: 10 });
  });

  test('measures another connection anew, and does not count what the one before answers', () => {
    const pair = measuring();
    answer(pair, question(pair), 50, 50);
    const late = question(pair);
    expect(pair.handOver()).toBe(true);
    pair.now += 500;
    pair.otherReceive(welcome(pair, NOBODY));
    const [call = 0, last] = asked(pair);
    // The last thing that is awaited from the one before.
    expect(last).toBeUndefined();
    // The answer came at once, and was asked for long ago.
    pair.otherReceive(echoed(late, 0));
    expect(estimate(pair)).toStrictEqual({ offsetMs: AHEAD, roundTripMs: 100 });
    asked(pair);
    answer(pair, call, 7, 7);
    expect(estimate(pair)).toStrictEqual({ offsetMs: AHEAD, roundTripMs: 14 });
    question(pair);
    // A lost connection is forgotten in the same way.
    pair.cut();
    pair.advance(250);
    pair.receive(welcome(pair, NOBODY));
    expect(estimate(pair)).toStrictEqual({ offsetMs: AHEAD, roundTripMs: 14 });
    answer(pair, question(pair), 90, 90);
    expect(estimate(pair)).toStrictEqual({ offsetMs: AHEAD, roundTripMs: 180 });
  });

  test('asks also while a handover waits for what changes the connection', () => {
    const pair = measuring();
    answer(pair, question(pair), 5, 5);
    pair.receive(frame('fault', question(pair), { code: CODES.overloaded.number, message: '' }));
    pair.call('LoginGuest', { secret: 'a secret of sixteen' }, 'login');
    expect(pair.handOver()).toBe(true);
    pair.otherReceive(welcome(pair, NOBODY));
    asked(pair);
    ping(pair);
    question(pair);
    expect(pair.kinds()).not.toContain('take_over');
  });

  test('does not hold a handover up by asking', () => {
    const pair = measuring();
    question(pair);
    expect(pair.handOver()).toBe(true);
    pair.otherReceive(welcome(pair, NOBODY));
    expect(pair.kinds()).toContain('take_over');
  });

  test('goes on measuring when the player signs out', () => {
    const pair = new Pair({ measuresClock: true }).start();
    pair.reply(pair.call('LoginGuest', { secret: 'a secret of sixteen' }, 'login'));
    if (pair.connection !== undefined) pair.connection.held = true;
    pair.call('Logout', {});
    asked(pair);
    ping(pair);
    question(pair);
    if (pair.connection !== undefined) pair.connection.held = false;
    pair.connection?.flush();
    expect(pair.kinds()).toContain('signed_out');
    ping(pair);
    question(pair);
  });

  test('asks nothing unless its owner wants it', () => {
    const pair = measuring(false);
    ping(pair);
    expect(asked(pair)).toStrictEqual([]);
    expect(estimate(pair)).toBeUndefined();
  });
});

test('the median of the best quarter is told, whatever the others say', () => {
  expect(estimateOf([])).toBeUndefined();
  expect(estimateOf([{ offsetMs: 1, roundTripMs: 2 }])).toStrictEqual({ offsetMs: 1, roundTripMs: 2 });
  // The server is 5,000 ms ahead. Twelve answers were kept on their way back, four came at once.
  const kept = Array.from({ length: 12 }, (_, number) => 400 + number * 50);
  const samples = [...kept, 40, 42, 44, 80].map((roundTripMs) => ({
    offsetMs: 5_020 - roundTripMs / 2,
    roundTripMs,
  }));
  expect(estimateOf(samples)).toStrictEqual({ offsetMs: 4_999, roundTripMs: 44 });
});

test('the time of the server now is ours and the offset', () => {
  let now = 250;
  const clock = (offsetMs: number): number => serverClockOf({ offsetMs, roundTripMs: 80 }, () => now).now();
  expect(clock(1_000)).toBe(1_250);
  expect(clock(-200)).toBe(50);
  expect(clock(-300)).toBe(0);
  now = 251.7;
  expect(clock(1_000)).toBe(1_251);
  expect(serverClockOf({ offsetMs: 3, roundTripMs: 80 }, () => now)).toMatchObject({
    offsetMs: 3,
    roundTripMs: 80,
  });
});

test('a client tells the clock of its server', async () => {
  vi.useFakeTimers();
  try {
    const net = new FakeNet();
    net.world.now = () => Date.now() + AHEAD;
    const client = new Client({ url: 'wss://clock.example', transports: 'websocket' }, net.transports);
    void client.connect();
    expect(client.clock).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(net.world.calls).toStrictEqual(['Echo', 'Echo', 'Echo', 'Echo']);
    const { clock } = client;
    expect(clock?.roundTripMs).toBe(2 * net.roads.websocket.latencyMs);
    expect(clock?.now()).toBeCloseTo(Date.now() + AHEAD, -1);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(clock?.now()).toBeCloseTo(Date.now() + AHEAD, -1);
    client.close();
  } finally {
    vi.useRealTimers();
  }
});
