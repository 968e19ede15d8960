import { KIND } from '../generated/wire.js';
import type { Value } from './reader.js';
import { Malformed, Reader } from './reader.js';

/** What can be told of a frame that cannot be read: enough to step over it. */
export interface Salvaged {
  kind: 'reply' | 'fault' | 'event' | 'state' | 'ping' | 'goaway' | 'gap';
  /** Number of the call or event; 0 for other kinds. */
  number: number;
  /** Those fields of an event's body, and of the maps in it, that can be read. */
  body: Readonly<Record<string, Value>>;
  /** Where the next frame begins. */
  next: number;
}

const KINDS: ReadonlyMap<number, Salvaged['kind'] | 'welcome'> = new Map([
  [KIND.welcome, 'welcome'],
  [KIND.reply, 'reply'],
  [KIND.fault, 'fault'],
  [KIND.event, 'event'],
  [KIND.state, 'state'],
  [KIND.ping, 'ping'],
  [KIND.goaway, 'goaway'],
  [KIND.gap, 'gap'],
]);

/** How deep the readable fields of a body are looked for: those of a stream's entry stand no deeper. */
const DEPTH = 2;

/**
 * Finds the end of a frame that cannot be read, and what it was about. Nothing, when even that cannot be told, or when the
 * connection cannot do without the frame.
 */
export function salvage(bytes: Uint8Array, at: number): Salvaged | undefined {
  try {
    const next = endOf(bytes, at);
    const reader = new Reader(bytes, at);
    const length = reader.array();
    const kind = KINDS.get(reader.uint());
    if (kind === undefined || kind === 'welcome') return undefined;
    const numbered = kind === 'reply' || kind === 'fault' || kind === 'event';
    if (numbered && length < 3) return undefined;
    const number = numbered ? reader.uint() : 0;
    const body = kind === 'event' ? readable(bytes, reader.at, DEPTH) : {};
    return { kind, number, body, next };
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}

/** Name of the frame that begins at `at`; `frame` when it cannot be read. */
export function frameNameAt(bytes: Uint8Array, at: number): Salvaged['kind'] | 'welcome' | 'frame' {
  try {
    const reader = new Reader(bytes, at);
    reader.array();
    return KINDS.get(reader.uint()) ?? 'frame';
  } catch (error) {
    if (error instanceof Malformed) return 'frame';
    throw error;
  }
}

/** The head of one value: where what follows it begins, how many values that are in it follow, and what holds for maps. */
interface Head {
  next: number;
  children: number;
  map: boolean;
}

function headAt(bytes: Uint8Array, at: number): Head {
  const marker = bytes[at];
  if (marker === undefined) throw new Malformed('the bytes end inside a value');
  const leaf = (length: number): Head => ({ next: fits(bytes, at + length), children: 0, map: false });
  const sized = (width: number, extra = 0): Head => leaf(1 + width + extra + integerAt(bytes, at + 1, width));
  const items = (next: number, children: number, map: boolean): Head => ({
    next: fits(bytes, next),
    children: map ? 2 * children : children,
    map,
  });
  if (marker < 0x80 || marker >= 0xe0) return leaf(1);
  if (marker < 0x90) return items(at + 1, marker & 0x0f, true);
  if (marker < 0xa0) return items(at + 1, marker & 0x0f, false);
  if (marker < 0xc0) return leaf(1 + (marker & 0x1f));
  if (marker === 0xc0 || marker === 0xc2 || marker === 0xc3) return leaf(1);
  if (marker >= 0xc4 && marker <= 0xc6) return sized(1 << (marker - 0xc4));
  if (marker >= 0xc7 && marker <= 0xc9) return sized(1 << (marker - 0xc7), 1);
  if (marker === 0xca) return leaf(5);
  if (marker === 0xcb) return leaf(9);
  if (marker >= 0xcc && marker <= 0xcf) return leaf(1 + (1 << (marker - 0xcc)));
  if (marker >= 0xd0 && marker <= 0xd3) return leaf(1 + (1 << (marker - 0xd0)));
  if (marker >= 0xd4 && marker <= 0xd8) return leaf(2 + (1 << (marker - 0xd4)));
  if (marker >= 0xd9 && marker <= 0xdb) return sized(1 << (marker - 0xd9));
  if (marker === 0xc1) throw new Malformed('byte 0xc1 starts no value');
  const width = marker === 0xdc || marker === 0xde ? 2 : 4;
  return items(at + 1 + width, integerAt(bytes, at + 1, width), marker >= 0xde);
}

function fits(bytes: Uint8Array, end: number): number {
  if (end > bytes.byteLength) throw new Malformed('the bytes end inside a value');
  return end;
}

function integerAt(bytes: Uint8Array, at: number, width: number): number {
  fits(bytes, at + width);
  let value = 0;
  for (let place = 0; place < width; place += 1) value = value * 256 + (bytes[at + place] ?? 0);
  return value;
}

/** Where the value ends, however deep it is nested. */
function endOf(bytes: Uint8Array, start: number): number {
  let at = start;
  for (let left = 1; left > 0; left -= 1) {
    const { next, children } = headAt(bytes, at);
    at = next;
    left += children;
    if (left - 1 > bytes.byteLength - at) throw new Malformed('the bytes end inside a value');
  }
  return at;
}

/** The fields of a map that hold readable text and integers, and those of maps in it. The first of two with one name counts. */
function readable(bytes: Uint8Array, start: number, depth: number): Record<string, Value> {
  const fields: Record<string, Value> = {};
  const { map, children, next } = headAt(bytes, start);
  if (!map) return fields;
  let at = next;
  for (let entry = 0; entry < children / 2; entry += 1) {
    const name = plainAt(bytes, at);
    at = endOf(bytes, at);
    const held = depth > 1 && headAt(bytes, at).map ? readable(bytes, at, depth - 1) : plainAt(bytes, at);
    at = endOf(bytes, at);
    if (typeof name !== 'string' || name === '__proto__' || held === undefined) continue;
    if (!Object.hasOwn(fields, name)) fields[name] = held;
  }
  return fields;
}

/** The text or integer that stands here, if it can be read. */
function plainAt(bytes: Uint8Array, at: number): string | number | undefined {
  try {
    const value = new Reader(bytes.subarray(0, endOf(bytes, at)), at).value(0);
    return typeof value === 'string' || typeof value === 'number' ? value : undefined;
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}
