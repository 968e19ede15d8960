import { LIMITS } from '../generated/wire.js';
import { fromUtf8, NotUtf8 } from './utf8.js';

/** Bytes that are not well-formed, or not the frame's layout. */
export class Malformed extends Error {
  override readonly name = 'Malformed';
}

/** A number with a fraction, or one that is sent as if it had one. No field of this version holds any. */
export class Float {
  constructor(readonly value: number) {}
}

/** What a body holds. */
export type Value =
  null | boolean | number | string | Uint8Array<ArrayBuffer> | Float | Value[] | { [field: string]: Value };

/**
 * Reads MessagePack from the front of some bytes, and nothing but what the contract allows: it refuses lengths that the bytes
 * do not hold before it allocates for them, nesting beyond NESTING_MAX, extension types, integers beyond 2^53, text that is
 * not UTF-8, and maps with a field twice or with one whose name is not text.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = at;
  }

  /** Where the next value begins. */
  get at(): number {
    return this.#at;
  }

  /** Reads the header of an array and returns its length. */
  array(): number {
    const marker = this.#byte();
    if ((marker & 0xf0) === 0x90) return this.#fits(marker & 0x0f);
    if (marker === 0xdc) return this.#fits(this.#length(2));
    if (marker === 0xdd) return this.#fits(this.#length(4));
    throw new Malformed('expected an array');
  }

  /** Reads an unsigned integer of at most 53 bits. */
  uint(): number {
    const marker = this.#byte();
    if (marker < 0x80) return marker;
    if (marker === 0xcc) return this.#length(1);
    if (marker === 0xcd) return this.#length(2);
    if (marker === 0xce) return this.#length(4);
    if (marker === 0xcf) return this.#long(this.#view.getBigUint64(this.#skip(8)));
    throw new Malformed('expected an unsigned integer');
  }

  /** Reads text. */
  text(): string {
    const length = this.#textLength(this.#byte());
    if (length === undefined) throw new Malformed('expected text');
    return this.#text(length);
  }

  /** Reads opaque bytes. */
  bin(): Uint8Array<ArrayBuffer> {
    const length = this.#binLength(this.#byte());
    if (length === undefined) throw new Malformed('expected binary');
    return this.#bin(length);
  }

  /** Reads one map. `depth` is how many arrays and maps enclose it. */
  map(depth: number): { [field: string]: Value } {
    const marker = this.#byte();
    const length = this.#mapLength(marker);
    if (length === undefined) throw new Malformed('expected a map');
    return this.#entries(length, depth);
  }

  /** Reads one value of any kind. */
  value(depth: number): Value {
    const marker = this.#byte();
    if (marker < 0x80) return marker;
    if (marker >= 0xe0) return marker - 0x100;
    const text = this.#textLength(marker);
    if (text !== undefined) return this.#text(text);
    const map = this.#mapLength(marker);
    if (map !== undefined) return this.#entries(map, depth);
    const bin = this.#binLength(marker);
    if (bin !== undefined) return this.#bin(bin);
    if ((marker & 0xf0) === 0x90) return this.#items(marker & 0x0f, depth);
    return this.#other(marker, depth);
  }

  #other(marker: number, depth: number): Value {
    switch (marker) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xca:
        return new Float(this.#view.getFloat32(this.#skip(4)));
      case 0xcb:
        return new Float(this.#view.getFloat64(this.#skip(8)));
      case 0xcc:
        return this.#length(1);
      case 0xcd:
        return this.#length(2);
      case 0xce:
        return this.#length(4);
      case 0xcf:
        return this.#long(this.#view.getBigUint64(this.#skip(8)));
      case 0xd0:
        return this.#view.getInt8(this.#skip(1));
      case 0xd1:
        return this.#view.getInt16(this.#skip(2));
      case 0xd2:
        return this.#view.getInt32(this.#skip(4));
      case 0xd3:
        return this.#long(this.#view.getBigInt64(this.#skip(8)));
      case 0xdc:
        return this.#items(this.#length(2), depth);
      case 0xdd:
        return this.#items(this.#length(4), depth);
      default:
        throw new Malformed(`byte 0x${marker.toString(16)} starts no allowed value`);
    }
  }

  #entries(length: number, depth: number): { [field: string]: Value } {
    this.#fits(2 * length);
    this.#bound(length, depth);
    const map: { [field: string]: Value } = {};
    for (let entry = 0; entry < length; entry += 1) {
      const field = this.text();
      if (Object.hasOwn(map, field)) throw new Malformed(`the field ${field} stands twice`);
      const value = this.value(depth + 1);
      // Assigning this one would replace the object's prototype.
      if (field !== '__proto__') map[field] = value;
    }
    return map;
  }

  #items(length: number, depth: number): Value[] {
    this.#fits(length);
    this.#bound(length, depth);
    const items: Value[] = [];
    for (let item = 0; item < length; item += 1) items.push(this.value(depth + 1));
    return items;
  }

  #bound(length: number, depth: number): void {
    if (length > 0 && depth >= LIMITS.NESTING_MAX) {
      throw new Malformed(`nested deeper than ${String(LIMITS.NESTING_MAX)}`);
    }
  }

  #textLength(marker: number): number | undefined {
    if ((marker & 0xe0) === 0xa0) return marker & 0x1f;
    if (marker >= 0xd9 && marker <= 0xdb) return this.#length(1 << (marker - 0xd9));
    return undefined;
  }

  #binLength(marker: number): number | undefined {
    return marker >= 0xc4 && marker <= 0xc6 ? this.#length(1 << (marker - 0xc4)) : undefined;
  }

  #mapLength(marker: number): number | undefined {
    if ((marker & 0xf0) === 0x80) return marker & 0x0f;
    if (marker === 0xde) return this.#length(2);
    if (marker === 0xdf) return this.#length(4);
    return undefined;
  }

  #text(length: number): string {
    const start = this.#skip(length);
    try {
      return fromUtf8(this.#bytes.subarray(start, start + length));
    } catch (error) {
      if (error instanceof NotUtf8) throw new Malformed(error.message);
      throw error;
    }
  }

  /** A copy, so that a kept value does not keep the whole message in memory. */
  #bin(length: number): Uint8Array<ArrayBuffer> {
    const start = this.#skip(length);
    return new Uint8Array(this.#bytes.subarray(start, start + length));
  }

  #long(value: bigint): number {
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw new Malformed('expected an integer below 2^53');
    return number;
  }

  /** Every element takes at least a byte, so a count above what is left is a lie. */
  #fits(count: number): number {
    if (count > this.#bytes.byteLength - this.#at) throw new Malformed('the bytes end inside a value');
    return count;
  }

  #length(width: number): number {
    const at = this.#skip(width);
    if (width === 1) return this.#view.getUint8(at);
    return width === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #byte(): number {
    return this.#view.getUint8(this.#skip(1));
  }

  #skip(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.byteLength - at) throw new Malformed('the bytes end inside a value');
    this.#at = at + length;
    return at;
  }
}
