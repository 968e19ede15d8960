// Messages on a stream of bytes: each has its length before it.

import { LIMITS } from '../generated/wire.js';

/** Bytes of the length: an integer without sign, the highest byte first. */
const LENGTH_BYTES = 4;

/** A message with its length before it. */
export function framed(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(LENGTH_BYTES + message.length);
  new DataView(bytes.buffer).setUint32(0, message.length);
  bytes.set(message, LENGTH_BYTES);
  return bytes;
}

/** The stream can't be read on: the length before a message is above the limit. */
export class MessageTooBig extends Error {
  constructor(readonly bytes: number) {
    super(`the server announced a message of ${String(bytes)} bytes`);
  }
}

/** Takes a stream as it comes, and gives the messages in it. It never holds more than has come of one message. */
export class MessageReader {
  readonly #length = new Uint8Array(LENGTH_BYTES);
  #lengthBytes = 0;
  #parts: Uint8Array[] = [];
  #bodyBytes = 0;

  /** Whether a message has begun that has not come to its end. */
  get isWithinMessage(): boolean {
    return this.#lengthBytes > 0;
  }

  /** The messages that end in these bytes. Throws MessageTooBig before anything of such a message is kept. */
  *read(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#lengthBytes < LENGTH_BYTES) {
        const taken = rest.subarray(0, LENGTH_BYTES - this.#lengthBytes);
        this.#length.set(taken, this.#lengthBytes);
        this.#lengthBytes += taken.length;
        rest = rest.subarray(taken.length);
        if (this.#lengthBytes < LENGTH_BYTES) return;
      }
      const length = new DataView(this.#length.buffer).getUint32(0);
      if (length > LIMITS.MESSAGE_BYTES_MAX) throw new MessageTooBig(length);
      const taken = rest.subarray(0, length - this.#bodyBytes);
      rest = rest.subarray(taken.length);
      this.#parts.push(taken);
      this.#bodyBytes += taken.length;
      if (this.#bodyBytes < length) return;
      yield this.#message();
    }
  }

  #message(): Uint8Array {
    const [only] = this.#parts;
    const message = this.#parts.length === 1 && only !== undefined ? only : this.#joined();
    this.#parts = [];
    this.#bodyBytes = 0;
    this.#lengthBytes = 0;
    return message;
  }

  #joined(): Uint8Array {
    const message = new Uint8Array(this.#bodyBytes);
    let at = 0;
    for (const part of this.#parts) {
      message.set(part, at);
      at += part.length;
    }
    return message;
  }
}
