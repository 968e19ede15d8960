import type { Resume, RoomView, StreamPosition } from '../generated/types.js';
import { LIMITS } from '../generated/wire.js';
import type { Cursor, Missing, Stream } from '../wire/frame.js';

/** A place in one of a stream's two sequences. */
export interface Place {
  in: 'seq' | 'rev';
  number: number;
}

/**
 * What to do with an entry of a stream: hand it up; drop it, because it came before or the stream is not open; open the
 * stream again from its cursor, because something before it is missing; give the connection up, because something is
 * missing although the stream was opened from this cursor.
 */
export type Verdict = 'next' | 'drop' | 'hole' | 'broken';

/** What the cursor was ahead of the server's newest. */
export interface Rewound {
  missing: Missing;
  from: number;
  to: number;
}

interface Followed {
  cursor: Cursor;
  /**
   * Newest sequence that the server has told of, also of what has not arrived. Absent while only the application has told of
   * any.
   */
  head: number | undefined;
  /** The server has said that it follows from the cursor. */
  open: boolean;
  /** Everything up to now has arrived. */
  live: boolean;
  /** The application could not take more, so entries were dropped. */
  cut: boolean;
  /** The cursor that a hole made it open from again, until something has arrived after it. */
  reopenedFrom: Cursor | undefined;
  /** The server has left something out for good, so a hole need not end another connection. */
  leftOut: boolean;
  /** After a handover the connection before brings the entries, until the present one has opened the stream. */
  servedBefore: boolean;
  /**
   * The cursor may be beyond the answer to the resume that is under way, because the connection before brought more since it was
   * asked.
   */
  broughtMore: boolean;
  /** It was live when the present connection took over, and counts as live until that one has caught up with it. */
  moved: boolean;
  /** The cursor is of another epoch than the server's: it means nothing, and the stream begins at its newest. */
  outlived: boolean;
}

/** Names no server's epoch. */
const NO_EPOCH = 0;

function shut(cursor: Cursor, head?: number, leftOut = false): Followed {
  const states = {
    open: false,
    live: false,
    cut: false,
    servedBefore: false,
    broughtMore: false,
    moved: false,
    outlived: false,
  };
  return { cursor: { ...cursor }, head, ...states, reopenedFrom: undefined, leftOut };
}

function equal(left: Cursor, right: Cursor): boolean {
  return left.seq === right.seq && left.rev === right.rev;
}

function hole(followed: Followed): Verdict {
  followed.open = false;
  followed.live = false;
  followed.moved = false;
  if (followed.reopenedFrom !== undefined && equal(followed.reopenedFrom, followed.cursor)) {
    return 'broken';
  }
  followed.reopenedFrom = { ...followed.cursor };
  return 'hole';
}

/** Moves to `to`, when nothing lies between the cursor and `from`. */
function advance(followed: Followed, place: Place, from: number): Verdict {
  if (place.number <= followed.cursor[place.in] || !followed.open) return 'drop';
  if (from > followed.cursor[place.in] + 1) return hole(followed);
  followed.cursor[place.in] = place.number;
  followed.reopenedFrom = undefined;
  return 'next';
}

/** The newest entry of an open room. */
export function newestOf(view: RoomView): Cursor {
  return { seq: view.info.head, rev: view.rev };
}

/** A resume that names the epoch of its cursors, if that is known. */
export function named(epoch: number | undefined, cursors: Resume): Resume & Record<string, unknown> {
  return epoch === undefined ? { ...cursors } : { epoch, ...cursors };
}

/** The streams that the client follows, and how far it has come in each. At most ROOMS_OPEN_MAX rooms. */
export class Streams {
  readonly #followed = new Map<Stream, Followed>();
  /** That of the last welcome, or of the cursors that the application has kept. */
  #epoch: number | undefined;

  get size(): number {
    return this.#followed.size;
  }

  /** Follows a stream from a cursor, unless it is followed already. Its entries count once the server has opened it. */
  follow(stream: Stream, cursor: Cursor): void {
    if (!this.#followed.has(stream)) this.#followed.set(stream, shut(cursor));
  }

  forget(stream: Stream): boolean {
    return this.#followed.delete(stream);
  }

  forgetAll(): void {
    this.#followed.clear();
  }

  follows(stream: Stream): boolean {
    return this.#followed.has(stream);
  }

  cursor(stream: Stream): Cursor | undefined {
    const followed = this.#followed.get(stream);
    return followed && { ...followed.cursor };
  }

  /** The newest sequence of a followed room that the server has told of. */
  head(room: string): number | undefined {
    return this.#followed.get(room)?.head;
  }

  /** The server has told of this sequence of a stream. */
  told(stream: Stream, seq: number): void {
    const followed = this.#followed.get(stream);
    if (followed !== undefined) followed.head = Math.max(followed.head ?? 0, seq);
  }

  allLive(): boolean {
    for (const followed of this.#followed.values()) if (!followed.live) return false;
    return true;
  }

  /** Puts the cursors of the streams back in front of these places. */
  rewind(places: Iterable<{ stream: Stream; place: Place }>): void {
    for (const { stream, place } of places) {
      const cursor = this.#followed.get(stream)?.cursor;
      if (cursor !== undefined) cursor[place.in] = Math.min(cursor[place.in], place.number - 1);
    }
  }

  /** The server has said which history it has. True: another one than that of the cursors, none of which counts any more. */
  welcomed(epoch: number): boolean {
    const isAnother = this.isOutlived(this.#epoch, epoch);
    this.#epoch = epoch;
    if (!isAnother) return false;
    for (const [stream, { cursor }] of this.#followed) {
      this.#followed.set(stream, { ...shut(cursor), outlived: true });
    }
    return true;
  }

  /** Whether what is named so is not what the server has. */
  isOutlived(named: number | undefined, epoch = this.#epoch): boolean {
    return named !== undefined && named !== epoch;
  }

  /** The epoch of a stream's cursor. */
  epochOf(stream: Stream): number | undefined {
    return this.#followed.get(stream)?.outlived === true ? NO_EPOCH : this.#epoch;
  }

  /** The epoch of all cursors: none that a server has if they are of several. */
  get epoch(): number | undefined {
    for (const { outlived } of this.#followed.values()) if (outlived) return NO_EPOCH;
    return this.#epoch;
  }

  /** Every stream with its cursor, and their epoch; undefined when there is none. */
  resume(): Resume | undefined {
    if (this.#followed.size === 0) return undefined;
    const { epoch } = this;
    const resume: Resume = epoch === undefined ? {} : { epoch };
    const inbox = this.#followed.get('inbox');
    if (inbox !== undefined) resume.inbox = inbox.cursor.seq;
    resume.rooms = [];
    for (const [stream, { cursor }] of this.#followed) {
      if (stream !== 'inbox') resume.rooms.push({ room: stream, seq: cursor.seq, rev: cursor.rev });
    }
    return resume;
  }

  /** Follows all of these streams. */
  followAll(resume: Resume): void {
    this.#epoch = resume.epoch;
    if (resume.inbox !== undefined) this.follow('inbox', { seq: resume.inbox, rev: 0 });
    for (const { room, seq, rev } of (resume.rooms ?? []).slice(0, LIMITS.ROOMS_OPEN_MAX)) {
      this.follow(room, { seq, rev });
    }
  }

  disconnected(): void {
    for (const stream of this.#followed.keys()) this.shut(stream);
  }

  /** Another connection has taken over. The one before goes on bringing what is live. */
  handedOver(): void {
    for (const [stream, followed] of this.#followed) {
      if (followed.open && followed.live) {
        followed.servedBefore = true;
        followed.broughtMore = true;
        followed.moved = true;
      } else {
        this.shut(stream);
      }
    }
  }

  /** Whether the connection before still brings the entries of any stream. */
  get anyServedBefore(): boolean {
    for (const { servedBefore } of this.#followed.values()) if (servedBefore) return true;
    return false;
  }

  /** The connection before is gone. What it brought waits for the present one. */
  servedByPresentOnly(): void {
    for (const [stream, { servedBefore }] of this.#followed) if (servedBefore) this.#servedNoMore(stream);
  }

  /** The connection before serves the stream no more, and the present one does not yet. */
  #servedNoMore(stream: Stream): void {
    this.shut(stream);
    const followed = this.#followed.get(stream);
    if (followed !== undefined) followed.broughtMore = true;
  }

  /** An entry came over the connection before. False: it is not the next one, or the present connection brings it. */
  entryBefore(stream: Stream, place: Place): boolean {
    const followed = this.#followed.get(stream);
    const last = followed?.cursor[place.in] ?? 0;
    if (followed?.servedBefore !== true || place.number <= last) return false;
    if (place.number > last + 1) {
      // The rest is for the present connection to bring.
      this.#servedNoMore(stream);
      return false;
    }
    if (place.in === 'seq') followed.head = Math.max(followed.head ?? 0, place.number);
    followed.cursor[place.in] = place.number;
    followed.reopenedFrom = undefined;
    return true;
  }

  /**
   * A call of the application's opened a room. `asked` is where it asked to begin. A room that was open before keeps its
   * cursor unless the call gave one. False: that is not where the server goes on from, which begins at its newest then.
   */
  opened(view: RoomView, asked: Partial<Cursor>): boolean {
    const known = this.#followed.get(view.info.room);
    const keeps = known !== undefined && asked.seq === undefined && asked.rev === undefined;
    if (keeps && known.outlived) return false;
    const newest = newestOf(view);
    const cursor = keeps ? known.cursor : { seq: asked.seq ?? newest.seq, rev: asked.rev ?? newest.rev };
    const live = cursor.seq >= newest.seq && cursor.rev >= newest.rev;
    this.#followed.set(view.info.room, { ...shut(cursor, newest.seq), open: true, live });
    return !keeps || equal(cursor, newest);
  }

  /** Whether no entries of the stream are taken, though nobody has paused it. */
  isShut(stream: Stream): boolean {
    const followed = this.#followed.get(stream);
    return followed !== undefined && !followed.open && !followed.cut;
  }

  /** Takes no entries of the stream until it has been opened from its cursor. */
  shut(stream: Stream): void {
    const followed = this.#followed.get(stream);
    if (followed === undefined) return;
    const { cursor, head, leftOut, outlived } = followed;
    this.#followed.set(stream, { ...shut(cursor, head, leftOut), outlived });
  }

  /**
   * The stream was opened from its cursor. Returns what the cursor was ahead of the newest, which counts also when it is below
   * what was told before: the server has forgotten the rest.
   */
  reopened(stream: Stream, newest: Cursor): Rewound[] {
    const followed = this.#followed.get(stream);
    if (followed === undefined) return [];
    if (followed.outlived) return this.begunAnew(stream, newest);
    const { seq, rev } = followed.cursor;
    const { servedBefore, broughtMore } = followed;
    followed.servedBefore = false;
    followed.broughtMore = false;
    if (broughtMore) {
      followed.head = Math.max(followed.head ?? 0, newest.seq);
      followed.open = true;
      followed.cut = false;
      followed.live = servedBefore || (seq >= newest.seq && rev >= newest.rev);
      return [];
    }
    const rewound: Rewound[] = [];
    if (seq > newest.seq) rewound.push({ missing: 'messages', from: newest.seq + 1, to: seq });
    if (rev > newest.rev) rewound.push({ missing: 'changes', from: newest.rev + 1, to: rev });
    followed.cursor = { seq: Math.min(seq, newest.seq), rev: Math.min(rev, newest.rev) };
    followed.head = newest.seq;
    followed.open = true;
    followed.cut = false;
    followed.live = equal(followed.cursor, newest);
    return rewound;
  }

  /**
   * The server has not looked at the stream's cursor. A room goes on from its newest, and the inbox, which no call reads, from its
   * beginning. Returns what the application knew or might have: nothing says what of it is as it was.
   */
  begunAnew(stream: Stream, newest: Cursor): Rewound[] {
    const followed = this.#followed.get(stream);
    if (followed === undefined) return [];
    const { seq, rev } = followed.cursor;
    const from = stream === 'inbox' ? { seq: 0, rev: 0 } : newest;
    this.#followed.set(stream, { ...shut(from, newest.seq), open: true, live: equal(from, newest) });
    const unknown: Rewound[] = [
      { missing: 'messages', from: 1, to: Math.max(seq, from.seq) },
      { missing: 'changes', from: 1, to: Math.max(rev, from.rev) },
    ];
    return unknown.filter(({ to }) => to > 0);
  }

  /** Stops taking a stream's entries until it is opened again. False: it was not open. */
  cut(stream: Stream): boolean {
    const followed = this.#followed.get(stream);
    if (followed?.open !== true) return false;
    followed.open = false;
    followed.live = false;
    followed.moved = false;
    followed.cut = true;
    return true;
  }

  /** The streams that were cut, which are to be opened again. */
  takeCut(): Stream[] {
    const streams: Stream[] = [];
    for (const [stream, followed] of this.#followed) {
      if (followed.cut) streams.push(stream);
      followed.cut = false;
    }
    return streams;
  }

  /** The server has left something of the stream out, though it was opened again. */
  noteLeftOut(stream: Stream): void {
    const followed = this.#followed.get(stream);
    if (followed !== undefined) followed.leftOut = true;
  }

  /** Whether it has done so before. */
  hasLeftOut(stream: Stream): boolean {
    return this.#followed.get(stream)?.leftOut === true;
  }

  /** An entry of the stream arrived. */
  entry(stream: Stream, place: Place): Verdict {
    const followed = this.#followed.get(stream);
    return followed === undefined ? 'drop' : advance(followed, place, place.number);
  }

  /** Goes on after a place of a stream that a hole has shut. Returns where what is passed over begins; nothing if there is none. */
  pass(stream: Stream, place: Place): number | undefined {
    const followed = this.#followed.get(stream);
    if (followed === undefined) return undefined;
    followed.open = true;
    followed.reopenedFrom = undefined;
    const from = followed.cursor[place.in] + 1;
    if (from > place.number) return undefined;
    followed.cursor[place.in] = place.number;
    return from;
  }

  /** The server says that `from` to `to` of the stream no longer exist. */
  gap(stream: Stream, missing: Missing, from: number, to: number): Verdict {
    const followed = this.#followed.get(stream);
    if (followed === undefined) return 'drop';
    return advance(followed, { in: missing === 'messages' ? 'seq' : 'rev', number: to }, from);
  }

  /** The server says how far it has sent the stream. After `next` and without `live`, the page is to be acknowledged. */
  position(position: StreamPosition): Verdict {
    const followed = this.#followed.get(position.stream);
    if (followed?.open !== true) return 'drop';
    if (position.seq > followed.cursor.seq || position.rev > followed.cursor.rev) return hole(followed);
    if (position.live) followed.moved = false;
    followed.live = position.live || followed.moved;
    return 'next';
  }
}
