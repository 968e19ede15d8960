import { checkSendable, isBytes } from './shape.js';
import { toUtf8 } from './utf8.js';

/** Bytes that grow. */
class Buffer {
  #bytes = new Uint8Array(256);
  #length = 0;

  /** Room for so many more bytes, and where it begins. */
  grow(by: number): number {
    const at = this.#length;
    this.#length += by;
    if (this.#length > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.byteLength, this.#length));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    return at;
  }

  byte(value: number): void {
    const at = this.grow(1);
    this.#bytes[at] = value;
  }

  /** An unsigned integer of `width` bytes, which may be more than the 32 bits of bit operations. */
  integer(value: number, width: number): void {
    const at = this.grow(width);
    let rest = value;
    for (let place = width - 1; place >= 0; place -= 1) {
      this.#bytes[at + place] = rest % 256;
      rest = Math.floor(rest / 256);
    }
  }

  put(bytes: Uint8Array): void {
    const at = this.grow(bytes.byteLength);
    this.#bytes.set(bytes, at);
  }

  taken(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }
}

/**
 * The MessagePack bytes of a body, in the shortest form. Fields that are `undefined` are left out. Throws Misfit for what
 * cannot travel unharmed.
 */
export function encode(value: unknown): Uint8Array<ArrayBuffer> {
  checkSendable(value);
  const out = new Buffer();
  write(out, value);
  return out.taken();
}

function write(out: Buffer, value: unknown): void {
  if (value === null || value === undefined) return out.byte(0xc0);
  if (typeof value === 'boolean') return out.byte(value ? 0xc3 : 0xc2);
  if (typeof value === 'number') return writeInteger(out, value);
  if (typeof value === 'string') {
    const bytes = toUtf8(value);
    header(out, bytes.byteLength, [0xa0, 32], [0xd9, 0xda, 0xdb]);
    return out.put(bytes);
  }
  if (isBytes(value)) {
    header(out, value.byteLength, undefined, [0xc4, 0xc5, 0xc6]);
    return out.put(value);
  }
  if (Array.isArray(value)) {
    header(out, value.length, [0x90, 16], [undefined, 0xdc, 0xdd]);
    for (const item of value) write(out, item);
    return;
  }
  const fields = Object.entries(value).filter(([, held]) => held !== undefined);
  header(out, fields.length, [0x80, 16], [undefined, 0xde, 0xdf]);
  for (const [name, held] of fields) {
    write(out, name);
    write(out, held);
  }
}

/** The marker with the length in it, or followed by a length of 1, 2 or 4 bytes. */
function header(
  out: Buffer,
  length: number,
  short: readonly [marker: number, below: number] | undefined,
  [one, two, four]: readonly [one: number | undefined, two: number, four: number],
): void {
  if (short !== undefined && length < short[1]) return out.byte(short[0] | length);
  const [marker, width] =
    one !== undefined && length <= 0xff ? [one, 1] : length <= 0xffff ? [two, 2] : [four, 4];
  out.byte(marker);
  out.integer(length, width);
}

/** The value is a whole number that JavaScript keeps exactly. */
function writeInteger(out: Buffer, value: number): void {
  if (value < 0) return writeNegative(out, value);
  if (value < 0x80) return out.byte(value);
  const [marker, width] =
    value <= 0xff ? [0xcc, 1] : value <= 0xffff ? [0xcd, 2] : value <= 0xffffffff ? [0xce, 4] : [0xcf, 8];
  out.byte(marker);
  out.integer(value, width);
}

function writeNegative(out: Buffer, value: number): void {
  if (value >= -32) return out.byte(0x100 + value);
  if (value >= -0x80) {
    out.byte(0xd0);
    return out.integer(0x100 + value, 1);
  }
  if (value >= -0x8000) {
    out.byte(0xd1);
    return out.integer(0x10000 + value, 2);
  }
  if (value >= -0x80000000) {
    out.byte(0xd2);
    return out.integer(0x100000000 + value, 4);
  }
  out.byte(0xd3);
  const low = ((value % 0x100000000) + 0x100000000) % 0x100000000;
  out.integer(0x100000000 + Math.floor(value / 0x100000000), 4);
  out.integer(low, 4);
}

/** The parts one after another. */
export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((length, part) => length + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.byteLength;
  }
  return out;
}

/** An array of these encoded elements. */
export function arrayOf(elements: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return joined([Uint8Array.of(0x90 | elements.length), ...elements]);
}
