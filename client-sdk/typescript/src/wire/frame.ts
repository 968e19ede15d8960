import type { Fault, Goaway, Hello, Welcome } from '../generated/types.js';
import { EVENT_NAMES } from '../generated/tables.js';
import { KIND, LIMITS } from '../generated/wire.js';
import type { Value } from './reader.js';
import { Malformed, Reader } from './reader.js';
import { checkShape, isId, Misfit } from './shape.js';
import { arrayOf, encode } from './writer.js';

/** A durable stream: a room's id, or `inbox`. */
export type Stream = string;

/** How far a client has come in a stream. */
export interface Cursor {
  /** Sequence of the last message (or inbox entry) received; 0 for none. */
  seq: number;
  /** Revision of the last change received; 0 for none, and always 0 in the inbox. */
  rev: number;
}

/** What a gap says is missing: messages, or changes to them. */
export type Missing = 'messages' | 'changes';

/** A frame from a client. Bodies of calls are encoded already. */
export type ClientFrame =
  | { kind: 'hello'; body: Hello }
  | {
      kind: 'call';
      call: number;
      method: number;
      body: Uint8Array;
      key: string | undefined;
      /**
       * On the first attempt of a call and on no repetition: the newest sequence of the call's room that had been seen when the
       * call was made. Without a key it is not sent.
       */
      head: number | undefined;
    }
  | { kind: 'cancel'; call: number }
  | { kind: 'ack'; stream: Stream; cursor: Cursor }
  | { kind: 'pong'; nonce: number }
  | { kind: 'input'; room: string; seq: number; data: Uint8Array };

/** A frame from the server. */
export type ServerFrame =
  | { kind: 'welcome'; body: Welcome }
  | { kind: 'reply'; call: number; body: Record<string, Value> }
  | { kind: 'fault'; call: number; fault: Fault }
  | { kind: 'event'; event: number; body: Record<string, Value> }
  | { kind: 'state'; room: string; tick: number; data: Uint8Array<ArrayBuffer> }
  | { kind: 'ping'; nonce: number; now: number }
  | { kind: 'goaway'; body: Goaway }
  | { kind: 'gap'; stream: Stream; missing: Missing; from: number; to: number };

/** Class of what is wrong with a frame, as in the vectors. */
export type FrameFault = 'malformed' | 'too_long' | 'kind' | 'body' | 'stream';

/** Bytes that are not a frame. */
export class InvalidFrame extends Error {
  override readonly name = 'InvalidFrame';

  constructor(
    readonly fault: FrameFault,
    message: string,
  ) {
    super(message);
  }
}

/** The frame's bytes. */
export function encodeClientFrame(frame: ClientFrame): Uint8Array<ArrayBuffer> {
  switch (frame.kind) {
    case 'hello':
      return encode([KIND.hello, frame.body]);
    case 'call': {
      const elements = [encode(KIND.call), encode(frame.call), encode(frame.method), frame.body];
      if (frame.key !== undefined) {
        elements.push(encode(frame.key));
        if (frame.head !== undefined) elements.push(encode(frame.head));
      }
      return arrayOf(elements);
    }
    case 'cancel':
      return encode([KIND.cancel, frame.call]);
    case 'ack':
      return encode([KIND.ack, frame.stream, frame.cursor.seq, frame.cursor.rev]);
    case 'pong':
      return encode([KIND.pong, frame.nonce]);
    case 'input':
      return encode([KIND.input, frame.room, frame.seq, frame.data]);
  }
}

/** Reads the frame that begins at `at`, and says where the next one begins. Throws InvalidFrame. */
export function readServerFrame(bytes: Uint8Array, at = 0): { frame: ServerFrame; next: number } {
  try {
    const reader = new Reader(bytes, at);
    const fields = new Fields(reader);
    const frame = layout(fields.uint(), fields);
    fields.skipRest();
    if (reader.at - at > LIMITS.FRAME_BYTES_MAX) {
      throw new InvalidFrame('too_long', `a frame is at most ${String(LIMITS.FRAME_BYTES_MAX)} bytes`);
    }
    return { frame, next: reader.at };
  } catch (error) {
    if (error instanceof Malformed) throw new InvalidFrame('malformed', error.message);
    if (error instanceof Misfit) throw new InvalidFrame('body', error.message);
    throw error;
  }
}

function layout(kind: number, fields: Fields): ServerFrame {
  switch (kind) {
    case KIND.welcome:
      return { kind: 'welcome', body: fields.body<Welcome>('Welcome') };
    case KIND.reply:
      return { kind: 'reply', call: fields.uint(U32), body: fields.map() };
    case KIND.fault:
      return { kind: 'fault', call: fields.uint(U32), fault: fields.body<Fault>('Fault') };
    case KIND.event: {
      const event = fields.uint(U16);
      const body = fields.map();
      const name = EVENT_NAMES.get(event);
      if (name !== undefined) checkShape(name, body);
      return { kind: 'event', event, body };
    }
    case KIND.state:
      return { kind: 'state', room: fields.room(), tick: fields.uint(), data: fields.bin() };
    case KIND.ping:
      return { kind: 'ping', nonce: fields.uint(U32), now: fields.uint() };
    case KIND.goaway:
      return { kind: 'goaway', body: fields.body<Goaway>('Goaway') };
    case KIND.gap:
      return {
        kind: 'gap',
        stream: fields.stream(),
        missing: fields.missing(),
        from: fields.uint(),
        to: fields.uint(),
      };
    default:
      throw new InvalidFrame('kind', `unknown frame kind ${String(kind)}`);
  }
}

const U16 = 0xffff;
const U32 = 0xffffffff;

/** The elements of a frame's array, each read once and in order. */
class Fields {
  readonly #reader: Reader;
  #left: number;

  constructor(reader: Reader) {
    this.#reader = reader;
    this.#left = reader.array();
  }

  uint(max = Number.MAX_SAFE_INTEGER): number {
    const value = this.#next().uint();
    if (value > max) throw new Malformed(`expected an integer of at most ${String(max)}`);
    return value;
  }

  bin(): Uint8Array<ArrayBuffer> {
    return this.#next().bin();
  }

  map(): Record<string, Value> {
    return this.#next().map(1);
  }

  /** A body whose shape has been checked, which is what makes the assertion true. */
  body<T>(type: string): T {
    const body = this.map();
    checkShape(type, body);
    return body as unknown as T;
  }

  stream(): Stream {
    const text = this.#next().text();
    if (text !== 'inbox' && !isId(text)) throw new InvalidFrame('stream', 'neither a room nor the inbox');
    return text;
  }

  room(): string {
    const text = this.#next().text();
    if (!isId(text)) throw new InvalidFrame('stream', 'not a room');
    return text;
  }

  missing(): Missing {
    const value = this.uint();
    if (value > 1) throw new Malformed('expected 0 or 1');
    return value === 0 ? 'messages' : 'changes';
  }

  skipRest(): void {
    while (this.#left > 0) this.#next().value(1);
  }

  #next(): Reader {
    if (this.#left === 0) throw new Malformed('expected another element');
    this.#left -= 1;
    return this.#reader;
  }
}
