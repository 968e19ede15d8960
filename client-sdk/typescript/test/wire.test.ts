import { decode, encode as pack } from '@msgpack/msgpack';
import { describe, expect, test } from 'vitest';

import { LIMITS } from '../src/generated/wire.js';
import { Float, Malformed, Reader } from '../src/wire/reader.js';
import { checkShape, Misfit } from '../src/wire/shape.js';
import { decodeUtf8, toUtf8 } from '../src/wire/utf8.js';
import { encode } from '../src/wire/writer.js';

const TEXTS = [
  '',
  'plain',
  '\u0000',
  '\ufeff',
  `\ufeff${'long '.repeat(100)}`,
  'é e\u0301 ﬁ ß İ',
  '안녕하세요',
  '👩‍👩‍👧‍👦🇰🇷',
  '\u{10ffff}\ufffd\ufffe',
  '\u202eright to left',
  'x'.repeat(LIMITS.TEXT_BYTES_MAX),
];

function read(bytes: Uint8Array): unknown {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  expect(reader.at).toBe(bytes.byteLength);
  return value;
}

describe('text', () => {
  test.each(TEXTS)('%j travels byte for byte', (text) => {
    const bytes = encode({ text });
    expect(read(bytes)).toStrictEqual({ text });
    expect(Buffer.from(bytes).includes(Buffer.from(text, 'utf8'))).toBe(true);
  });

  test.each(TEXTS)('%j is read alike where there is no TextDecoder', (text) => {
    expect(decodeUtf8(Buffer.from(text, 'utf8'))).toBe(text);
    expect(Buffer.from(toUtf8(text)).equals(Buffer.from(text, 'utf8'))).toBe(true);
  });

  test('every short sequence of bytes is text, or not, with a TextDecoder and without', () => {
    const platform = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    const reads = (step: () => string): string | undefined => {
      try {
        return step();
      } catch {
        return undefined;
      }
    };
    const edges = [
      0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef,
    ];
    edges.push(0xf0, 0xf1, 0xf4, 0xf5, 0xff);
    for (const one of edges)
      for (const two of edges)
        for (const three of edges)
          for (const four of edges) {
            const bytes = Uint8Array.of(one, two, three, four);
            const own = reads(() => decodeUtf8(bytes));
            if (own !== reads(() => platform.decode(bytes)))
              throw new Error(`read otherwise: ${bytes.join(' ')}`);
          }
  });

  test('the library writes the same bytes', () => {
    const numbers = [
      0,
      -1,
      -32,
      -33,
      -128,
      -129,
      -32_768,
      -32_769,
      -(2 ** 31),
      -(2 ** 31) - 1,
      -(2 ** 53) + 1,
    ];
    for (const width of [7, 8, 16, 32, 53]) numbers.push(2 ** width - 1, Math.min(2 ** width, 2 ** 53 - 1));
    for (const value of [...numbers, ...TEXTS])
      expect(encode(value)).toStrictEqual(new Uint8Array(pack(value)));
    for (const length of [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536]) {
      const list = Array<number>(length).fill(1);
      const map = Object.fromEntries(list.map((one, index) => [String(index), one]));
      for (const value of [list, map, 'x'.repeat(length), new Uint8Array(length)]) {
        expect(Buffer.from(encode(value)).equals(Buffer.from(pack(value)))).toBe(true);
      }
    }
  });

  test('the library alone would lose a byte order mark, which is why this package reads by itself', () => {
    const text = `\ufeff${'long '.repeat(100)}`;
    expect(decode(pack(text))).not.toBe(text);
  });

  test.each(['\ud800', 'a\udfffb', '\udc00\ud800'])('lone surrogates are refused: %j', (text) => {
    expect(() => encode({ room: 'r', text })).toThrow(new Misfit('text', 'text without lone surrogates'));
    expect(() => encode({ [text]: 1 })).toThrow(Misfit);
  });

  test('bytes that are not UTF-8 are refused', () => {
    for (const bytes of [
      [0xa1, 0xff],
      [0xa2, 0xc0, 0x80],
      [0xa3, 0xed, 0xa0, 0x80],
    ]) {
      expect(() => read(Uint8Array.from(bytes))).toThrow(Malformed);
    }
  });
});

describe('numbers', () => {
  test.each([0, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER])(
    '%d travels',
    (number) => {
      expect(read(encode(number))).toBe(number);
    },
  );

  test.each([1.5, NaN, Infinity, 2 ** 53, 1n])('%s is refused', (number) => {
    expect(() => encode({ number })).toThrow(Misfit);
  });

  test('integers beyond 2^53 are refused, not rounded', () => {
    expect(() => read(Uint8Array.of(0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0))).toThrow(Malformed);
    expect(() => read(Uint8Array.of(0xd3, 0xff, 0xdf, 0, 0, 0, 0, 0, 0))).toThrow(Malformed);
  });
});

describe('values', () => {
  test('of every kind come back', () => {
    const value = { nil: null, yes: true, no: false, list: [1, [2]], minus: -1, bin: Uint8Array.of(1, 2) };
    expect(read(encode(value))).toStrictEqual(value);
    expect(read(pack(-70_000))).toBe(-70_000);
    expect(read(pack(0.5))).toStrictEqual(new Float(0.5));
  });

  test('bytes are a copy of their own', () => {
    const message = encode(Uint8Array.of(1, 2, 3));
    const value = read(message) as Uint8Array;
    message.fill(0);
    expect(value).toStrictEqual(Uint8Array.of(1, 2, 3));
    expect(value.buffer.byteLength).toBe(3);
  });

  test('that are not plain data are refused', () => {
    for (const value of [new Date(), new Map(), () => 1, Symbol('x')]) {
      expect(() => encode({ value })).toThrow(Misfit);
    }
  });

  test('a field called __proto__ does not reach the prototype', () => {
    const bytes = Uint8Array.of(0x81, 0xa9, ...Buffer.from('__proto__'), 0x81, 0xa1, 0x61, 1);
    const value = read(bytes) as Record<string, unknown>;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(value['a']).toBeUndefined();
  });

  test('nesting is bounded on both ways', () => {
    const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
    const deep = (depth: number): Uint8Array => Uint8Array.from([...Array<number>(depth).fill(0x91), 1]);
    expect(read(deep(LIMITS.NESTING_MAX))).toBeDefined();
    expect(() => read(deep(LIMITS.NESTING_MAX + 1))).toThrow(Malformed);
    expect(() => encode(nested(100))).toThrow(Misfit);
  });

  test('a length that the bytes do not hold is refused before anything is allocated', () => {
    for (const marker of [0xdd, 0xdf, 0xdb, 0xc6]) {
      expect(() => read(Uint8Array.of(marker, 0xff, 0xff, 0xff, 0xff))).toThrow(Malformed);
    }
  });
});

describe('shapes', () => {
  const room = '0123456789abcdef';

  test('name the field that does not fit', () => {
    const message = { seq: 1, from: room, name: 'n', text: 't', at: '1' };
    expect(() => {
      checkShape('MessageSent', { room, msg: message });
    }).toThrow('msg.at: expected an integer from 0 to 9007199254740991');
    expect(() => {
      checkShape('GetProfiles', { users: [room, 'me'] });
    }).toThrow('users[1]: expected an id');
    expect(() => {
      checkShape('SendMessage', { room });
    }).toThrow('text: expected a value');
  });

  test('let fields of a newer side through', () => {
    expect(() => {
      checkShape('Sent', { seq: 1, at: 2, newer: [] });
    }).not.toThrow();
  });
});
