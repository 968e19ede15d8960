// What the server sends and the client cannot read: it is stepped over and told, and never asked for again and again.

import { encode as pack } from '@msgpack/msgpack';
import { describe, expect, test } from 'vitest';

import { EVENTS, METHODS } from '../src/generated/tables.js';
import { SHAPES } from '../src/generated/shapes.js';
import { KIND } from '../src/generated/wire.js';
import type { MethodName } from '../src/machine/pending.js';
import { InvalidFrame, readServerFrame } from '../src/wire/frame.js';
import { salvage } from '../src/wire/salvage.js';
import { codeName } from '../src/errors.js';
import { Pair } from './support/driver.js';
import { idOf } from './support/model.js';
import {
  eventVectors,
  frameVectors,
  fromHex,
  live,
  malformedVectors,
  methodVectors,
} from './support/vectors.js';

type Body = Record<string, unknown>;

/** Bytes of values that the contract does not allow. */
const FORBIDDEN: readonly (readonly [what: string, bytes: readonly number[]])[] = [
  ['an integer of 2^53', [0xcf, 0x00, 0x20, 0, 0, 0, 0, 0, 0]],
  ['an integer of 2^64-1', [0xcf, ...Array<number>(8).fill(0xff)]],
  ['an integer of -2^53', [0xd3, 0xff, 0xe0, 0, 0, 0, 0, 0, 0]],
  ['a negative integer', [0xff]],
  ['a float that is whole', [0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]],
  ['a small float', [0xca, 0x3f, 0x80, 0, 0]],
  ['text that is not UTF-8', [0xa1, 0xff]],
  ['an extension', [0xd4, 1, 2]],
  ['a long extension', [0xc7, 1, 2, 3]],
  ['nil', [0xc0]],
  ['a map with an integer as the name of a field', [0x81, 0x01, 0x01]],
  ['a map with bytes as the name of a field', [0x81, 0xc4, 1, 0x61, 0x01]],
  ['a map with a field twice', [0x82, 0xa1, 0x61, 1, 0xa1, 0x61, 2]],
  ['nesting that is too deep', [...Array<number>(20).fill(0x91), 1]],
];

/** What else may not stand where the contract has this. */
function misfits(shape: string): readonly (readonly [string, readonly number[]])[] {
  const text = [0xa1, 0x78];
  const bytes = [0xc4, 1, 0x78];
  switch (shape.replace('?', '')) {
    case 'text':
    case 'id':
      return [
        ['bytes for text', bytes],
        ['an integer for text', [7]],
      ];
    case 'bin':
      return [
        ['text for bytes', text],
        ['an integer for bytes', [7]],
      ];
    case 'bool':
      return [['an integer for a boolean', [1]]];
    case 'map':
      return [['a list for a map', [0x90]]];
    case 'u16':
    case 'u32':
    case 'u53':
    case 'i53':
      return [
        ['text for an integer', text],
        ['bytes for an integer', bytes],
      ];
    default:
      return [['text for a map or list', text]];
  }
}

function joined(...parts: Iterable<number>[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** A map in which one field holds these bytes. */
function withField(body: Body, field: string, bytes: readonly number[]): Uint8Array {
  const names = Object.keys(body);
  const held = names.includes(field) ? names : [...names, field];
  return joined(
    [0xde, 0, held.length],
    ...held.flatMap((name) => [pack(name), name === field ? Uint8Array.from(bytes) : pack(body[name])]),
  );
}

function frame(kind: keyof typeof KIND, number: number, body: Uint8Array): Uint8Array {
  return joined([0x93], pack(KIND[kind]), pack(number), body);
}

/** What may stand in no field of this shape. Below zero are few. */
function forbidden(shape: string): typeof FORBIDDEN {
  if (shape.replace('?', '') !== 'i53') return FORBIDDEN;
  return FORBIDDEN.filter(([what]) => what !== 'a negative integer');
}

/** The type's fields, each with every value that may not stand there. */
function spoilt(type: string, body: Body): [field: string, what: string, bytes: Uint8Array][] {
  return Object.entries(SHAPES[type] ?? {}).flatMap(([field, shape]) =>
    [...forbidden(shape), ...misfits(shape)].map(([what, bytes]): [string, string, Uint8Array] => [
      field,
      what,
      withField(body, field, bytes),
    ]),
  );
}

const EVENT_NAMES = Object.keys(EVENTS) as (keyof typeof EVENTS)[];
const METHOD_NAMES = Object.keys(METHODS) as MethodName[];

function eventBody(name: string): Body {
  const vector = eventVectors.find((held) => held.name === name);
  const body = live(vector?.bodies[0]?.value ?? {}) as Body;
  // The first entry of an inbox that is followed from its beginning.
  return name === 'InboxAdded' ? { ...body, seq: 1 } : { ...body };
}

function replyBody(name: string): Body {
  const vector = methodVectors.find((held) => held.name === name);
  return { ...(live(vector?.replies[0]?.value ?? {}) as Body) };
}

function inRoom(): { pair: Pair; room: string } {
  const pair = new Pair({ resume: { inbox: 0 } });
  pair.world.pingMs = 1_000_000;
  pair.start();
  pair.reply(pair.call('LoginGuest', { secret: 'a secret of sixteen' }, 'login'));
  const { info } = pair.reply(pair.call('CreateRoom', { kind: 'public', name: 'lobby' }, 'create'));
  return { pair, room: (info as { room: string }).room };
}

function unreadable(pair: Pair): unknown[] {
  return pair.outputs.flatMap((output) => (output.kind === 'unreadable' ? [output.unreadable] : []));
}

describe('the decoder takes exactly the contract', () => {
  test.each(EVENT_NAMES)('of the event %s', (name) => {
    const { number } = EVENTS[name];
    expect(() => readServerFrame(frame('event', number, joined(pack(eventBody(name)))))).not.toThrow();
    for (const [field, what, bytes] of spoilt(name, eventBody(name))) {
      expect(() => readServerFrame(frame('event', number, bytes)), `${field}: ${what}`).toThrow(InvalidFrame);
    }
  });

  test.each(METHOD_NAMES)('of the reply to %s', (method) => {
    const type = METHODS[method].reply;
    for (const [field, what, bytes] of spoilt(type, replyBody(method))) {
      const { pair } = inRoom();
      if (pair.connection !== undefined) pair.connection.held = true;
      const ticket = pair.call(method, { room: idOf(1), access: 'a', refresh: 'b' }, 'key');
      const call = pair.world.calls.length;
      pair.receive(frame('reply', call, bytes));
      expect(pair.answers.has(ticket), `${field}: ${what}`).toBe(true);
      expect(codeName(pair.fault(ticket).code), `${field}: ${what}`).toBe('internal');
      expect(unreadable(pair)).toMatchObject([{ name: method }]);
      // Who is signed in would not be known any more.
      const breaks = ['signs_in', 'authenticates'].includes(METHODS[method].changes ?? '');
      expect(pair.kinds().includes('close'), `${field}: ${what}`).toBe(breaks);
    }
  });
});

describe('an event that cannot be read is stepped over:', () => {
  test.each(EVENT_NAMES)('%s', (name) => {
    const { pair } = inRoom();
    for (const [, , bytes] of spoilt(name, eventBody(name)))
      pair.receive(frame('event', EVENTS[name].number, bytes));
    expect(pair.kinds()).not.toContain('close');
    expect(pair.machine.connection.state).not.toBe('offline');
  });

  test('an entry of the inbox with a time that no client can read: the next one is heard, also after a reconnect', () => {
    const { pair } = inRoom();
    const entry = { kind: 'room_banned', room: idOf(3), by: idOf(4) };
    const bad = withField(entry, 'until', [0xcf, ...Array<number>(8).fill(0xff)]);
    const added = withField({ seq: 1, at: 5, entry: {} }, 'entry', [...bad]);
    pair.receive(frame('event', EVENTS.InboxAdded.number, added));
    pair.receive(
      frame('event', EVENTS.InboxAdded.number, joined(pack({ seq: 2, at: 6, entry: { kind: 'later' } }))),
    );
    expect(unreadable(pair)).toMatchObject([{ name: 'InboxAdded', stream: 'inbox', seq: 1 }]);
    expect(pair.machine.cursors.inbox).toBe(2);
    expect(pair.kinds()).not.toContain('close');
    pair.cut();
    pair.advance(2_000);
    expect(pair.world.calls.at(-1)).toBe('Resume');
    expect(pair.machine.connection.state).toBe('online');
  });

  const message = (room: string, seq: number): Body => ({
    room,
    msg: { seq, from: idOf(4), name: 'n', text: 't', at: 1 },
  });

  test('a message or change, with its place or without', () => {
    for (const spoil of ['at', 'seq']) {
      const { pair, room } = inRoom();
      const sent = EVENTS.MessageSent.number;
      const bad = [
        ...withField(message(room, 1)['msg'] as Body, spoil, [0xcf, ...Array<number>(8).fill(0xff)]),
      ];
      pair.receive(frame('event', sent, withField(message(room, 1), 'msg', bad)));
      pair.receive(frame('event', sent, joined(pack(message(room, 2)))));
      expect(pair.texts).toStrictEqual(['t']);
      expect(unreadable(pair)).toMatchObject([{ name: 'MessageSent', stream: room, seq: 1 }]);
      expect(pair.machine.cursors.rooms).toStrictEqual([{ room, seq: 2, rev: 0 }]);
      const edited = { room, rev: 1, seq: 2, text: 'e', at: 1 };
      pair.receive(frame('event', EVENTS.MessageEdited.number, withField(edited, 'text', [0xa1, 0xff])));
      expect(pair.machine.cursors.rooms).toStrictEqual([{ room, seq: 2, rev: 1 }]);
    }
  });

  test('one that does not even tell its room: a gap is told instead, and nothing is asked for ever', () => {
    const { pair, room } = inRoom();
    const there = pair.world.room(room);
    const sent = EVENTS.MessageSent.number;
    const spoil = (): void => {
      pair.receive(frame('event', sent, withField(message(room, 1), 'room', [0xc0])));
    };
    // The server sends the spoilt entry whenever the room is opened, then what follows.
    pair.world.post(there, 'spoilt');
    pair.machine.streams.forget(room);
    pair.machine.streams.follow(room, { seq: 0, rev: 0 });
    pair.machine.streams.reopened(room, { seq: 1, rev: 0 });
    there.log.length = 0;
    spoil();
    pair.world.calls.length = 0;
    for (let times = 0; times < 5; times += 1) {
      pair.receive(frame('event', sent, joined(pack(message(room, 2)))));
      spoil();
    }
    expect(pair.outputs).toContainEqual({ kind: 'gap', stream: room, missing: 'messages', from: 1, to: 1 });
    expect(pair.texts).toContain('t');
    expect(pair.world.calls.filter((name) => name === 'OpenRoom').length).toBeLessThan(3);
    expect(pair.kinds()).not.toContain('close');
  });
});

/** A frame of these elements, encoded already. */
function frameOf(...elements: Iterable<number>[]): Uint8Array {
  return joined([0x90 | elements.length], ...elements);
}

describe('a frame that cannot be read', () => {
  test.each(FORBIDDEN)('is told and stepped over, with %s', (what, bad) => {
    const room = pack(idOf(3));
    const { state, ping, goaway, gap } = KIND;
    const frames: [string, Uint8Array][] = [
      ['state', frameOf([state], bad, [1], [0xc4, 0])],
      ['state', frameOf([state], room, bad, [0xc4, 0])],
      ['ping', frameOf([ping], bad)],
      ['goaway', frameOf([goaway], bad)],
      ['gap', frameOf([gap], bad, [0], [1], [2])],
      ['gap', frameOf([gap], room, bad, [1], [2])],
      ['gap', frameOf([gap], room, [0], bad, [2])],
      ['gap', frameOf([gap], room, [0], [1], bad)],
      ['gap', frameOf([gap])],
    ];
    const behind = frame('fault', 0, pack({ code: 1, message: 'm' }));
    for (const [name, bytes] of frames) {
      const { pair } = inRoom();
      pair.receive(joined(bytes, behind));
      expect(pair.kinds(), `${name} ${what}`).not.toContain('close');
      expect(unreadable(pair), `${name} ${what}`).toMatchObject([{ name }]);
      expect(pair.kinds().at(-1)).toBe('fault');
    }
  });

  /** Gaps of which one element cannot be read, in front of number 8. */
  function badGaps(stream: string, missing: number): Uint8Array[] {
    const { gap } = KIND;
    const [name, from, to] = [pack(stream), [1], [7]];
    return [
      frameOf([gap], name, [2], from, to),
      frameOf([gap], name, [missing], from),
      frameOf([gap], pack('no stream'), [missing], from, to),
      ...FORBIDDEN.flatMap(([, bad]) => [
        frameOf([gap], bad, [missing], from, to),
        frameOf([gap], name, bad, from, to),
        frameOf([gap], name, [missing], bad, to),
        frameOf([gap], name, [missing], from, bad),
      ]),
    ];
  }

  const ENTRIES = EVENT_NAMES.filter((name) => EVENTS[name].entry !== undefined);

  /** The room's or inbox's entry number 8 and where its stream then stands. */
  function behindGap(name: keyof typeof EVENTS, room: string): { stream: string; frames: Uint8Array[] } {
    const stream = EVENTS[name].entry === 'inbox' ? 'inbox' : room;
    const isChange = EVENTS[name].entry === 'room_change';
    const body = eventBody(name);
    const entry = isChange ? { ...body, room, rev: 8 } : { ...body, seq: 8 };
    const held = 'msg' in body ? { ...body, room, msg: { ...(body['msg'] as Body), seq: 8 } } : entry;
    const [seq, rev] = isChange ? [0, 8] : [8, 0];
    const position = { stream, seq, rev, head: seq, live: true };
    return {
      stream,
      frames: [
        frame('event', EVENTS[name].number, pack(held)),
        frame('event', EVENTS.StreamPosition.number, pack(position)),
      ],
    };
  }

  test.each(ENTRIES)('as a gap is told once what is behind it has come: %s', (name) => {
    const isChange = EVENTS[name].entry === 'room_change';
    const { room: anyRoom } = inRoom();
    for (const bytes of badGaps(behindGap(name, anyRoom).stream, isChange ? 1 : 0)) {
      for (const only of [false, true]) {
        const { pair, room } = inRoom();
        const { stream, frames } = behindGap(name, room);
        const behind = only ? frames.slice(1) : frames;
        pair.delivers = false;
        pair.receive(joined(bytes, ...behind));
        // The server follows the stream from the same cursor again.
        pair.machine.streams.reopened(stream, isChange ? { seq: 0, rev: 8 } : { seq: 8, rev: 0 });
        pair.receive(joined(bytes, ...behind));
        expect(pair.kinds()).not.toContain('close');
        const missing = isChange ? 'changes' : 'messages';
        expect(pair.outputs.filter(({ kind }) => kind === 'gap')).toStrictEqual([
          { kind: 'gap', stream, missing, from: 1, to: only ? 8 : 7 },
        ]);
        const { inbox, rooms } = pair.machine.cursors;
        expect(stream === 'inbox' ? inbox : rooms?.[0]?.[isChange ? 'rev' : 'seq']).toBe(8);
      }
    }
  });

  test('ends the connection only where that cannot do without it, and is told then too', () => {
    const cases: [string, Uint8Array][] = [
      ['frame', frameOf([99], [1])],
      ['frame', Uint8Array.of(1)],
      ['frame', Uint8Array.of(0xc1)],
      ['welcome', frameOf([KIND.welcome], [1])],
      ['event', frameOf([KIND.event], [1], [0x81, 0xa1])],
      ['event', frameOf([KIND.event], [1], [0x81, 0xc1, 0xc1])],
    ];
    for (const [name, bytes] of cases) {
      const { pair } = inRoom();
      pair.receive(bytes);
      expect(unreadable(pair), name).toMatchObject([{ name }]);
      expect(pair.kinds(), name).toContain('close');
      expect(pair.machine.connection.state).toBe('offline');
    }
    for (const name of ['welcome', 'goaway', 'gap'] as const) {
      const pair = new Pair();
      pair.delivers = false;
      pair.start();
      pair.receive(frameOf([KIND[name]], [0xc0]));
      expect(unreadable(pair), name).toMatchObject([{ name }]);
      expect(pair.kinds(), name).toContain('close');
      expect(pair.machine.connection).toHaveProperty('retryAt');
    }
  });
});

describe('replies that cannot be read', () => {
  test('end the call, also one that is too long for a frame, and the connection goes on', () => {
    const { pair, room } = inRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    const ticket = pair.call('ReadHistory', { room });
    const long = joined([0x81, 0xa1, 0x61, 0xc6, 0, 1, 0x38, 0x80], new Uint8Array(80_000));
    pair.receive(frame('reply', pair.world.calls.length, long));
    expect(codeName(pair.fault(ticket).code)).toBe('internal');
    expect(pair.kinds()).not.toContain('close');
  });

  test('to a resume: each room is asked for by itself, and those that can be read come back', () => {
    const { pair, room } = inRoom();
    const other = pair.world.createRoom();
    pair.reply(pair.call('OpenRoom', { room: other.id }));
    pair.cut();
    pair.delivers = false;
    pair.advance(1_000);
    pair.delivers = true;
    pair.receive(welcome(pair));
    pair.receive(frame('reply', 1, withField({ inbox: 0 }, 'rooms', [0xc0])));
    pair.world.calls.length = 0;
    expect(unreadable(pair)).toMatchObject([{ name: 'Resume' }]);
    const lost = pair.outputs.flatMap((output) => (output.kind === 'stream_lost' ? [output.stream] : []));
    expect(lost).toStrictEqual(['inbox']);
    expect(pair.machine.cursors.rooms?.map((cursor) => cursor.room)).toStrictEqual([room, other.id]);
    expect(pair.kinds().filter((kind) => kind === 'close')).toHaveLength(0);
  });

  test('to a resume that answers for some of the rooms: the rest is asked for again', () => {
    const { pair } = inRoom();
    for (let n = 0; n < 4; n += 1) pair.reply(pair.call('OpenRoom', { room: pair.world.createRoom().id }));
    pair.world.resumedAtOnce = 2;
    pair.cut();
    pair.world.calls.length = 0;
    pair.advance(1_000);
    expect(pair.world.calls).toStrictEqual(['Resume', 'Resume', 'Resume']);
    expect(pair.machine.connection.state).toBe('online');
    expect(pair.machine.cursors.rooms).toHaveLength(5);
  });

  test('refusals too', () => {
    const { pair, room } = inRoom();
    if (pair.connection !== undefined) pair.connection.held = true;
    const ticket = pair.call('ReadHistory', { room });
    pair.receive(
      frame('fault', pair.world.calls.length, withField({ code: 1, message: 'm' }, 'code', [0xc0])),
    );
    expect(codeName(pair.fault(ticket).code)).toBe('internal');
    expect(pair.kinds()).not.toContain('close');
  });
});

/** The server's welcome for the player who is signed in. */
function welcome(pair: Pair): Uint8Array {
  const [user] = pair.world.users.values();
  const body = {
    v: 1,
    conn: idOf(9),
    now: 1,
    epoch: 1,
    ping_ms: 1_000_000,
    identity: pair.world.identityOf(user?.user ?? ''),
    limits: { frame_bytes: 65_536, message_bytes: 262_144, calls: 64, rooms: 256 },
  };
  return joined([0x92], pack(KIND.welcome), pack(body));
}

describe('salvage', () => {
  test('finds the end of every frame of the vectors that it knows, and nothing in what is cut', () => {
    for (const { frame: kind, side, hex } of frameVectors) {
      if (side !== 'server') continue;
      const bytes = fromHex(hex);
      const found = salvage(joined(bytes, [0xc1]), 0);
      const known = ['reply', 'fault', 'event', 'state', 'ping', 'goaway', 'gap'].includes(kind);
      expect(found?.next).toBe(known ? bytes.byteLength : undefined);
      for (let length = 0; length < bytes.byteLength; length += 1) {
        expect(salvage(bytes.subarray(0, length), 0)).toBeUndefined();
      }
    }
  });

  test('never throws, and never finds an end beyond the bytes', () => {
    for (const { hex, zeros } of malformedVectors) {
      const bytes = joined(fromHex(hex), new Uint8Array(zeros));
      expect(salvage(bytes, 0)?.next ?? 0).toBeLessThanOrEqual(bytes.byteLength);
    }
    const [event] = frameVectors.filter(({ frame: kind }) => kind === 'event');
    const bytes = fromHex(event?.hex ?? '');
    for (let bit = 0; bit < 8 * bytes.byteLength; bit += 1) {
      const flipped = Uint8Array.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(salvage(flipped, 0)?.next ?? 0).toBeLessThanOrEqual(bytes.byteLength);
    }
    expect(salvage(Uint8Array.from([...Array<number>(60_000).fill(0x91), 1]), 0)).toBeUndefined();
  });
});
