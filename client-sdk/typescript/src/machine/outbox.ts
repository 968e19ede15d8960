import { LIMITS } from '../generated/wire.js';
import { joined } from '../wire/writer.js';

/** Frames that wait to be sent over one connection, gathered into messages of at most MESSAGE_BYTES_MAX bytes. */
export class Outbox {
  #messages: { frames: Uint8Array[]; bytes: number }[] = [];

  /** Adds a frame to the last message, or to a new one where that would be too long. */
  push(frame: Uint8Array): void {
    const last = this.#messages.at(-1);
    if (last !== undefined && last.bytes + frame.byteLength <= LIMITS.MESSAGE_BYTES_MAX) {
      last.frames.push(frame);
      last.bytes += frame.byteLength;
    } else {
      this.#messages.push({ frames: [frame], bytes: frame.byteLength });
    }
  }

  /** Takes the next message. */
  shift(): Uint8Array | undefined {
    const message = this.#messages.shift();
    return message && joined(message.frames);
  }

  clear(): void {
    this.#messages = [];
  }
}
