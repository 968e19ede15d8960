/** Texts up to this many bytes are first tried as ASCII, which is quicker than a decoder. */
const SHORT_TEXT_BYTES = 32;

/** Text that is not UTF-8. */
export class NotUtf8 extends Error {
  override readonly name = 'NotUtf8';
}

interface Decoder {
  decode(bytes: Uint8Array): string;
}

/** Absent where the platform has none, as in some test environments and older versions of React Native. */
const DECODER: Decoder | undefined = platformDecoder();

function platformDecoder(): Decoder | undefined {
  if (typeof TextDecoder === 'undefined') return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  } catch {
    // A decoder that cannot refuse what is not UTF-8 is of no use here.
    return undefined;
  }
}

/** The text of these bytes, a byte order mark included. Throws NotUtf8. */
export function fromUtf8(bytes: Uint8Array): string {
  if (bytes.byteLength <= SHORT_TEXT_BYTES) {
    const ascii = asAscii(bytes);
    if (ascii !== undefined) return ascii;
  }
  if (DECODER === undefined) return decodeUtf8(bytes);
  try {
    return DECODER.decode(bytes);
  } catch {
    throw new NotUtf8('text is not UTF-8');
  }
}

function asAscii(bytes: Uint8Array): string | undefined {
  let text = '';
  for (const byte of bytes) {
    if (byte > 0x7f) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

/** As {@link fromUtf8}, without the platform's decoder. */
export function decodeUtf8(bytes: Uint8Array): string {
  let text = '';
  let at = 0;
  while (at < bytes.byteLength) {
    const { point, length } = pointAt(bytes, at);
    text += String.fromCodePoint(point);
    at += length;
  }
  return text;
}

function pointAt(bytes: Uint8Array, at: number): { point: number; length: number } {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return { point: first, length: 1 };
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + length > bytes.byteLength) throw new NotUtf8('text is not UTF-8');
  let point = first & (0xff >> (length + 1));
  for (let next = 1; next < length; next += 1) {
    const byte = bytes[at + next] ?? 0;
    if ((byte & 0xc0) !== 0x80) throw new NotUtf8('text is not UTF-8');
    point = (point << 6) | (byte & 0x3f);
  }
  const smallest = length === 4 ? 0x10000 : length === 3 ? 0x800 : 0x80;
  if (point < smallest || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
    throw new NotUtf8('text is not UTF-8');
  }
  return { point, length };
}

/** The text in UTF-8. It holds no lone surrogates. */
export function toUtf8(text: string): Uint8Array {
  const bytes = new Uint8Array(3 * text.length);
  let at = 0;
  for (let index = 0; index < text.length; index += 1) {
    const point = text.codePointAt(index) ?? 0;
    if (point > 0xffff) index += 1;
    at = putPoint(bytes, at, point);
  }
  return bytes.subarray(0, at);
}

function putPoint(bytes: Uint8Array, start: number, point: number): number {
  let at = start;
  if (point < 0x80) {
    bytes[at++] = point;
    return at;
  }
  if (point < 0x800) {
    bytes[at++] = 0xc0 | (point >> 6);
  } else if (point < 0x10000) {
    bytes[at++] = 0xe0 | (point >> 12);
    bytes[at++] = 0x80 | ((point >> 6) & 0x3f);
  } else {
    bytes[at++] = 0xf0 | (point >> 18);
    bytes[at++] = 0x80 | ((point >> 12) & 0x3f);
    bytes[at++] = 0x80 | ((point >> 6) & 0x3f);
  }
  bytes[at++] = 0x80 | (point & 0x3f);
  return at;
}
