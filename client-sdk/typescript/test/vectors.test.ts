import { describe, expect, test } from 'vitest';

import { EVENTS, METHODS } from '../src/generated/tables.js';
import { InvalidFrame, readServerFrame, encodeClientFrame } from '../src/wire/frame.js';
import type { ClientFrame } from '../src/wire/frame.js';
import { Reader } from '../src/wire/reader.js';
import { checkShape } from '../src/wire/shape.js';
import { encode } from '../src/wire/writer.js';
import type { Encoded } from './support/vectors.js';
import {
  eventVectors,
  frameVectors,
  fromHex,
  live,
  malformedVectors,
  methodVectors,
  toHex,
} from './support/vectors.js';

function holds(type: string, vectors: readonly Encoded[]): void {
  expect(vectors.length).toBeGreaterThan(0);
  for (const { hex, value } of vectors) {
    const bytes = fromHex(hex);
    const expected = live(value);
    const reader = new Reader(bytes);
    expect(reader.map(1)).toStrictEqual(expected);
    expect(reader.at).toBe(bytes.byteLength);
    expect(toHex(encode(expected))).toBe(hex);
    expect(() => {
      checkShape(type, expected);
    }).not.toThrow();
  }
}

describe('golden vectors', () => {
  test('cover every method, with the numbers of the table', () => {
    const table = Object.entries(METHODS).map(([name, { number }]) => [name, number]);
    expect(methodVectors.map(({ name, number }) => [name, number])).toStrictEqual(table);
  });

  test('cover every event, with the numbers of the table', () => {
    const table = Object.entries(EVENTS).map(([name, { number }]) => [name, number]);
    expect(eventVectors.map(({ name, number }) => [name, number])).toStrictEqual(table);
  });

  test.each(methodVectors)('$name: requests and replies are read and written alike', (vector) => {
    holds(vector.name, vector.requests);
    holds(METHODS[vector.name as keyof typeof METHODS].reply, vector.replies);
  });

  test.each(eventVectors)('$name: bodies are read and written alike', ({ name, bodies }) => {
    holds(name, bodies);
  });
});

/** The vector's fields as the SDK's frame type has them. */
function clientFrame(frame: string, fields: Record<string, unknown>): ClientFrame {
  switch (frame) {
    case 'call':
      return {
        kind: 'call',
        key: undefined,
        head: undefined,
        ...fields,
        body: encode(fields['body']),
      } as ClientFrame;
    case 'ack': {
      const { stream, seq, rev } = fields;
      return { kind: 'ack', stream, cursor: { seq, rev } } as ClientFrame;
    }
    default:
      return { kind: frame, ...fields } as ClientFrame;
  }
}

describe('frames', () => {
  test.each(frameVectors.filter(({ side }) => side === 'client'))('$frame is written', (vector) => {
    const fields = live(vector.fields) as Record<string, unknown>;
    expect(toHex(encodeClientFrame(clientFrame(vector.frame, fields)))).toBe(vector.hex);
  });

  test.each(frameVectors.filter(({ side }) => side === 'server'))('$frame is read', (vector) => {
    const bytes = fromHex(vector.hex);
    const { frame, next } = readServerFrame(bytes);
    expect(next).toBe(bytes.byteLength);
    const fields = live(vector.fields) as Record<string, unknown>;
    if (vector.frame === 'gap') fields['missing'] = fields['missing'] === 0 ? 'messages' : 'changes';
    expect(frame).toStrictEqual({ kind: vector.frame, ...fields });
  });

  test('are read one after another from one message', () => {
    const server = frameVectors.filter(({ side }) => side === 'server');
    const message = fromHex(server.map(({ hex }) => hex).join(''));
    const kinds: string[] = [];
    let at = 0;
    while (at < message.byteLength) {
      const { frame, next } = readServerFrame(message, at);
      kinds.push(frame.kind);
      at = next;
    }
    expect(kinds).toStrictEqual(server.map(({ frame }) => frame));
  });

  test.each(malformedVectors.filter(({ side }) => side === 'server'))('refused: $name', (vector) => {
    const bytes = new Uint8Array([...fromHex(vector.hex), ...new Uint8Array(vector.zeros)]);
    let refusal: unknown;
    try {
      readServerFrame(bytes);
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(InvalidFrame);
    expect((refusal as InvalidFrame).fault).toBe(vector.error);
  });

  test('with flipped bits are read or refused, never anything else', () => {
    for (const { hex } of frameVectors.filter(({ side }) => side === 'server')) {
      const bytes = fromHex(hex);
      for (let bit = 0; bit < 8 * Math.min(bytes.byteLength, 200); bit += 1) {
        const flipped = Uint8Array.from(bytes);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        try {
          readServerFrame(flipped);
        } catch (error) {
          expect(error, `${hex} with bit ${String(bit)} flipped`).toBeInstanceOf(InvalidFrame);
        }
      }
    }
  });
});
