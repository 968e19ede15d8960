// Leaderboards that are followed: the server tells a connection of them, so each later connection follows them again.

import { EVENTS } from '../generated/tables.js';
import type { Fault } from '../generated/types.js';
import { KIND } from '../generated/wire.js';
import type { Value } from '../wire/reader.js';
import { encode } from '../wire/writer.js';
import type { Pending } from './pending.js';
import type { State } from './state.js';

/** Follows on this connection what was followed on the one before. */
export function followBoards(state: State): void {
  state.calls.endOwned((owner) => owner === 'follow');
  for (const board of state.boards) {
    const consequence = { kind: 'follows', board } as const;
    state.calls.add({ owner: 'follow', method: 'FollowBoard', request: { board }, consequence });
  }
}

/** How the leaderboard stands now. What happened while nobody was told is in it. */
export function followsBoardAgain(
  state: State,
  { consequence }: Pending,
  standing: Record<string, Value>,
): void {
  if (consequence.kind !== 'follows') return;
  const { board } = consequence;
  if (!state.boards.has(board)) {
    // Ended while this was under way.
    state.calls.add({ owner: 'close', method: 'UnfollowBoard', request: { board } });
    return;
  }
  const event = EVENTS.RankChanged.number;
  const body = { standing };
  const bytes = encode([KIND.event, event, body]);
  if (state.isNews(state.present, { event, body, bytes })) state.out({ kind: 'event', event, body });
}

/** A leaderboard can't be followed again. */
export function forgetBoard(state: State, { consequence }: Pending, fault: Fault): void {
  if (consequence.kind !== 'follows') return;
  const { board } = consequence;
  state.boards.delete(board);
  state.mismatch(`the server does not let the leaderboard ${board} be followed again: ${fault.message}`);
}
