// Leaderboards that are followed, over connections that come and go.

import { expect, test } from 'vitest';

import { EVENTS } from '../src/generated/tables.js';
import { Pair } from './support/driver.js';
import { Refusal } from './support/model.js';
import * as scripted from './support/scripted.js';
import { frame } from './support/scripted.js';

const SECRET = 'a secret of sixteen';

/** Follows two leaderboards and no longer one of them. */
function following(): Pair {
  const pair = new Pair().start();
  pair.world.pingMs = 1_000_000;
  pair.reply(pair.call('LoginGuest', { secret: SECRET }, 'login'));
  for (const board of ['weekly', 'daily']) pair.reply(pair.call('FollowBoard', { board }));
  pair.reply(pair.call('UnfollowBoard', { board: 'daily' }));
  pair.outputs.length = 0;
  pair.world.calls.length = 0;
  return pair;
}

function comeBack(pair: Pair): void {
  pair.cut();
  pair.advance(30_000);
}

/** The leaderboards that the present connection follows. */
function followed(pair: Pair): string[] {
  return [...(pair.connection?.boards ?? [])];
}

/** How many players the standings had that were told. */
function told(pair: Pair): number[] {
  return pair.outputs.flatMap((output) => {
    if (output.kind !== 'event' || output.event !== EVENTS.RankChanged.number) return [];
    return (output.body['standing'] as unknown as { count: number }).count;
  });
}

function changed(count: number): Uint8Array {
  const standing = { board: 'weekly', season: 0, count, top: [] };
  return frame('event', EVENTS.RankChanged.number, { standing });
}

function refuse(pair: Pair, refusal: Refusal): void {
  pair.world.before = (method) => {
    if (method === 'FollowBoard') throw refusal;
  };
}

test('each later connection follows again and tells how things stand', () => {
  const pair = following();
  // The calls are sent behind the hello, and get lost with it.
  pair.delivers = false;
  comeBack(pair);
  pair.delivers = true;
  pair.world.players = 7;
  comeBack(pair);
  expect(followed(pair)).toStrictEqual(['weekly']);
  expect(pair.world.calls).toStrictEqual(['FollowBoard']);
  expect(told(pair)).toStrictEqual([7]);
  // So does the next connection of a handover.
  pair.world.players = 8;
  expect(pair.handOver()).toBe(true);
  expect(pair.kinds()).toContain('take_over');
  expect(followed(pair)).toStrictEqual(['weekly']);
  expect(told(pair)).toStrictEqual([7, 8]);
});

test('another player follows nothing, nor does one who signs in again', () => {
  const pair = following();
  pair.reply(pair.call('LoginGuest', { secret: 'another secret of sixteen' }, 'another'));
  comeBack(pair);
  expect(followed(pair)).toStrictEqual([]);

  const again = following();
  again.reply(again.call('Logout', {}));
  again.reply(again.call('LoginGuest', { secret: SECRET }, 'again'));
  comeBack(again);
  expect(followed(again)).toStrictEqual([]);
});

test('a leaderboard that is refused again is told and asked for no more', () => {
  const pair = following();
  refuse(pair, new Refusal('not_found'));
  comeBack(pair);
  expect(pair.kinds().filter((kind) => kind === 'mismatch')).toHaveLength(1);
  pair.world.calls.length = 0;
  comeBack(pair);
  expect(pair.world.calls).toStrictEqual([]);
});

test('one that is no longer followed while it waits is ended', () => {
  const pair = following();
  refuse(pair, new Refusal('overloaded', { retry_after_ms: 60_000 }));
  comeBack(pair);
  pair.reply(pair.call('UnfollowBoard', { board: 'weekly' }));
  pair.world.before = () => undefined;
  pair.advance(100_000);
  expect(pair.world.calls.slice(-3)).toStrictEqual(['UnfollowBoard', 'FollowBoard', 'UnfollowBoard']);
  expect(followed(pair)).toStrictEqual([]);
  expect(told(pair)).toStrictEqual([]);
});

test('who cannot read the reply follows all the same', () => {
  const pair = following();
  pair.delivers = false;
  pair.call('FollowBoard', { board: 'monthly' });
  pair.receive(frame('reply', 5, { board: 1 }));
  pair.delivers = true;
  comeBack(pair);
  expect(followed(pair)).toStrictEqual(['weekly', 'monthly']);
});

test('a leaderboard whose standing cannot be read again is told and asked for no more', () => {
  const pair = following();
  pair.delivers = false;
  scripted.comeBack(pair);
  pair.receive(frame('reply', 1, { board: 1 }));
  expect(pair.kinds().filter((kind) => kind === 'mismatch')).toHaveLength(1);
  expect(told(pair)).toStrictEqual([]);
  pair.delivers = true;
  comeBack(pair);
  expect(followed(pair)).toStrictEqual([]);
});

test('a handover waits for the answer of whoever follows, and holds those back who come later', () => {
  const pair = following();
  const present = pair.connection;
  if (present !== undefined) present.held = true;
  const first = pair.call('FollowBoard', { board: 'monthly' });
  pair.handOver();
  const second = pair.call('FollowBoard', { board: 'yearly' });
  const other = pair.call('GetAccount', {});
  expect(pair.kinds()).not.toContain('take_over');
  expect(pair.world.calls).toStrictEqual(['FollowBoard', 'GetAccount']);
  if (present !== undefined) present.held = false;
  present?.flush();
  pair.reply(first);
  pair.reply(second);
  pair.reply(other);
  expect(pair.kinds()).toContain('take_over');
  expect(followed(pair)).toStrictEqual(['weekly', 'monthly', 'yearly']);
});

test('what is to be followed again waits while a handover settles', () => {
  const pair = following();
  refuse(pair, new Refusal('overloaded', { retry_after_ms: 1_000 }));
  pair.cut();
  pair.advance(300);
  expect(pair.world.calls).toStrictEqual(['FollowBoard']);
  pair.world.before = () => undefined;
  const present = pair.connection;
  if (present !== undefined) present.held = true;
  pair.call('FollowBoard', { board: 'monthly' });
  pair.handOver();
  pair.advance(2_000);
  expect(pair.world.calls).toStrictEqual(['FollowBoard', 'FollowBoard']);
  if (present !== undefined) present.held = false;
  present?.flush();
  expect(followed(pair)).toStrictEqual(['weekly', 'monthly']);
});

test('what both connections of a handover bring is told once, and what the one before brings late is not', () => {
  const pair = following();
  const present = pair.connection;
  if (present !== undefined) present.held = true;
  pair.call('GetAccount', {});
  pair.handOver(true);
  pair.receive(changed(3));
  pair.world.players = 3;
  if (pair.other !== undefined) pair.other.held = false;
  pair.other?.flush();
  expect(followed(pair)).toStrictEqual(['weekly']);
  pair.otherReceive(changed(2));
  expect(told(pair)).toStrictEqual([3]);
  pair.receive(changed(4));
  expect(told(pair)).toStrictEqual([3, 4]);
});
