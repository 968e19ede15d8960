import { attempt, property } from '../foreign.js';
import { isBytes } from '../wire/shape.js';
import type { DatagramsLike, Writer } from './platform.js';

/** Milliseconds after which a datagram that has not left is of no use: three ticks of a game at 30 per second. */
const OUTGOING_MAX_AGE_MS = 100;

/** Datagrams that wait for the network. What comes on top is dropped. */
const OUTGOING_MAX = 8;

/** The datagrams of one WebTransport. Whatever is wrong with them, the session goes on without. */
export class Datagrams {
  readonly #datagrams: DatagramsLike | undefined;
  readonly #writer: Writer | undefined;

  constructor(datagrams: DatagramsLike | undefined) {
    this.#datagrams = datagrams;
    this.#set('outgoingMaxAge', OUTGOING_MAX_AGE_MS);
    // The one is the other's new name.
    if (!this.#set('outgoingMaxBufferedDatagrams', OUTGOING_MAX))
      this.#set('outgoingHighWaterMark', OUTGOING_MAX);
    this.#writer = attempt(() => {
      const writable =
        typeof property(datagrams, 'createWritable') === 'function'
          ? datagrams?.createWritable?.()
          : datagrams?.writable;
      return writable?.getWriter();
    });
  }

  /** Sets what there is. */
  #set(
    name: 'outgoingMaxAge' | 'outgoingMaxBufferedDatagrams' | 'outgoingHighWaterMark',
    value: number,
  ): boolean {
    const datagrams = this.#datagrams;
    if (datagrams === undefined) return false;
    return attempt(() => name in datagrams && ((datagrams[name] = value), true)) === true;
  }

  /** See `Link.sendDatagram`. */
  send(datagram: Uint8Array): boolean {
    const writer = this.#writer;
    const most = property(this.#datagrams, 'maxDatagramSize');
    if (writer === undefined || typeof most !== 'number' || datagram.length > most) return false;
    const room = property(writer, 'desiredSize');
    // Beyond its mark a stream goes on taking what is written, and sends it when nobody wants it any more.
    if (typeof room === 'number' && room <= 0) return true;
    attempt(() => {
      // The link hears of the end by itself.
      writer.write(datagram).catch(() => undefined);
    });
    return true;
  }

  /** Hands up what comes until there is no more. */
  async receive(received: (datagram: Uint8Array) => void): Promise<void> {
    try {
      const reader = this.#datagrams?.readable?.getReader();
      if (reader === undefined) return;
      for (;;) {
        const { done, value } = await reader.read();
        if (done === true) return;
        if (isBytes(value)) received(value);
      }
    } catch {
      // The link hears of the end by itself.
    }
  }
}
