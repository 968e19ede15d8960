// The transport over a fake WebTransport, which does whatever a browser or a server may do.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { Client, hasWebTransport, LIMITS, webTransport } from '../src/index.js';
import type { DatagramsLike, Link, Reader, StreamLike, WebTransportLike, Writer } from '../src/index.js';
import { framed, MessageReader, MessageTooBig } from '../src/transport/framing.js';
import { randomOf } from './support/driver.js';

/** A promise that is settled from outside. */
class Settled<T> {
  resolve!: (value: T) => void;
  reject!: (error: unknown) => void;
  readonly promise = new Promise<T>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });
}

interface Chunk {
  done?: boolean;
  value?: unknown;
}

class FakeReader implements Reader {
  readonly chunks: Chunk[] = [];
  readonly waiting: Settled<Chunk>[] = [];
  failure: Error | undefined;
  reads = 0;

  read(): Promise<Chunk> {
    this.reads += 1;
    const chunk = this.chunks.shift();
    if (chunk !== undefined) return Promise.resolve(chunk);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const waiting = new Settled<Chunk>();
    this.waiting.push(waiting);
    return waiting.promise;
  }

  give(value: unknown): void {
    const waiting = this.waiting.shift();
    if (waiting === undefined) this.chunks.push({ value });
    else waiting.resolve({ done: false, value });
  }

  end(): void {
    const waiting = this.waiting.shift();
    if (waiting === undefined) this.chunks.push({ done: true });
    else waiting.resolve({ done: true, value: undefined });
  }

  fail(error: Error): void {
    this.failure = error;
    this.waiting.shift()?.reject(error);
  }
}

class FakeWriter implements Writer {
  desiredSize: number | null = 1;
  readonly written: Uint8Array[] = [];
  write: (chunk: Uint8Array) => Promise<unknown> = (chunk) => {
    this.written.push(chunk);
    return Promise.resolve();
  };
  close: () => Promise<unknown> = () => {
    this.closes += 1;
    return Promise.resolve();
  };
  closes = 0;
}

class FakeTransport implements WebTransportLike {
  static made: FakeTransport[] = [];
  readonly readying = new Settled<unknown>();
  readonly closing = new Settled<unknown>();
  readonly ready = this.readying.promise;
  readonly closed = this.closing.promise;
  readonly reader = new FakeReader();
  readonly writer = new FakeWriter();
  readonly datagramReader = new FakeReader();
  readonly datagramWriter = new FakeWriter();
  datagrams: DatagramsLike = {
    maxDatagramSize: 1_000,
    readable: { getReader: () => this.datagramReader },
    writable: { getWriter: () => this.datagramWriter },
    outgoingMaxAge: null,
    outgoingHighWaterMark: 1,
  };
  readonly closes: unknown[] = [];

  constructor(
    readonly url: string,
    readonly options?: unknown,
  ) {
    FakeTransport.made.push(this);
  }

  createBidirectionalStream(): Promise<StreamLike> {
    return Promise.resolve({
      readable: { getReader: () => this.reader },
      writable: { getWriter: () => this.writer },
    });
  }

  close(info?: unknown): void {
    this.closes.push(info);
  }
}

const told: unknown[][] = [];
const link = { opened: false };

const events = {
  opened: () => {
    link.opened = true;
    told.push(['opened']);
  },
  received: (message: Uint8Array) => told.push(['received', ...message]),
  receivedDatagram: (datagram: Uint8Array) => told.push(['datagram', ...datagram]),
  closed: (code: number | undefined, why?: string) => told.push(['closed', code, why]),
};

const unhandled: unknown[] = [];
const hear = (error: unknown): void => {
  unhandled.push(error);
};

beforeEach(() => {
  told.length = 0;
  unhandled.length = 0;
  FakeTransport.made = [];
  vi.useFakeTimers();
  process.on('unhandledRejection', hear);
});

afterEach(async () => {
  await settle();
  vi.useRealTimers();
  // Node reports rejections once the event loop turns.
  await new Promise((resolve) => setTimeout(resolve, 0));
  process.off('unhandledRejection', hear);
  expect(unhandled).toStrictEqual([]);
});

async function settle(ms = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

function open(type: typeof FakeTransport = FakeTransport): Link {
  return webTransport({ webTransport: type }).open('wss://host:7350/ws', events);
}

async function opened(type: typeof FakeTransport = FakeTransport): Promise<[Link, FakeTransport]> {
  const link = open(type);
  await settle();
  const [made] = FakeTransport.made;
  if (made === undefined) throw new Error('nothing was made');
  made.readying.resolve(undefined);
  await settle();
  expect(told.shift()).toStrictEqual(['opened']);
  return [link, made];
}

describe('framing', () => {
  test('messages come as they were sent, however the stream is cut', () => {
    for (let seed = 1; seed <= 200; seed += 1) {
      const random = randomOf(seed);
      const upTo = (most: number): number => Math.floor(random() * (most + 1));
      const messages = Array.from({ length: upTo(6) }, () =>
        Uint8Array.from({ length: upTo(300) }, () => upTo(255)),
      );
      const stream = Uint8Array.from(messages.flatMap((message) => [...framed(message)]));
      const reader = new MessageReader();
      const read: Uint8Array[] = [];
      for (let at = 0; at < stream.length;) {
        const end = at + 1 + upTo(40);
        read.push(...reader.read(stream.subarray(at, end)));
        at = end;
      }
      expect(read, `seed ${String(seed)}`).toStrictEqual(messages);
      expect(reader.isWithinMessage).toBe(false);
    }
  });

  test('a length above the limit is refused, and the longest passes', () => {
    for (const length of [LIMITS.MESSAGE_BYTES_MAX + 1, 2 ** 32 - 1]) {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setUint32(0, length);
      expect(() => [...new MessageReader().read(bytes)]).toThrow(MessageTooBig);
    }
    const longest = new Uint8Array(LIMITS.MESSAGE_BYTES_MAX).fill(7);
    expect([...new MessageReader().read(framed(longest))]).toStrictEqual([longest]);
    expect([...new MessageReader().read(framed(new Uint8Array()))]).toStrictEqual([new Uint8Array()]);
  });
});

describe('opening', () => {
  test('nothing happens before open has returned, and the address is that of the WebSocket', async () => {
    const hash = 'ab'.repeat(32);
    const transport = webTransport({ webTransport: FakeTransport, certificateHashes: [hash] });
    await transport.ready?.();
    transport.open('ws://host:7350', events);
    expect(FakeTransport.made).toHaveLength(0);
    await settle();
    const [made] = FakeTransport.made;
    expect(made?.url).toBe('https://host:7350');
    const value = new Uint8Array(32).fill(0xab);
    expect(made?.options).toStrictEqual({ serverCertificateHashes: [{ algorithm: 'sha-256', value }] });
  });

  test('a client takes an address of https only for another transport', () => {
    const url = 'https://host:7350';
    expect(() => new Client({ url })).toThrow('ws:// or wss://');
    expect(() => new Client({ url, transport: webTransport() })).not.toThrow();
    expect(() => new Client({ url: 'https:///', transport: webTransport() })).toThrow(TypeError);
  });

  test('a hash that is none is an error of the caller', () => {
    for (const hash of ['', 'ab', 'g'.repeat(64), 'ab'.repeat(33)]) {
      expect(() => webTransport({ certificateHashes: [hash] })).toThrow(TypeError);
    }
  });

  test('a platform without it says so', async () => {
    expect(hasWebTransport()).toBe(false);
    await expect(webTransport().ready?.()).rejects.toThrow('no WebTransport');
    webTransport().open('wss://host', events);
    await settle(10);
    expect(told).toStrictEqual([['closed', undefined, 'this platform has no WebTransport']]);
  });

  test('a constructor that throws is told', async () => {
    class Throwing extends FakeTransport {
      constructor(url: string) {
        super(url);
        throw new TypeError('what an address');
      }
    }
    open(Throwing);
    await settle(10);
    expect(told).toStrictEqual([['closed', undefined, 'what an address']]);
  });

  test.each([
    ['ready alone', ['ready']],
    ['closed alone', ['closed']],
    ['ready, then closed', ['ready', 'closed']],
    ['closed, then ready', ['closed', 'ready']],
  ])('a refusal by %s is told once', async (_, order) => {
    open();
    await settle();
    const [made] = FakeTransport.made;
    for (const which of order) {
      if (which === 'ready') made?.readying.reject(new Error('refused'));
      else made?.closing.reject(new Error('refused'));
    }
    await settle(10_000);
    expect(told).toStrictEqual([['closed', undefined, 'refused']]);
  });

  test('a stream that can not be had is told', async () => {
    class Streamless extends FakeTransport {
      override createBidirectionalStream(): Promise<StreamLike> {
        return Promise.reject(new Error('no stream'));
      }
    }
    open(Streamless);
    await settle();
    FakeTransport.made[0]?.readying.resolve(undefined);
    await settle(10);
    expect(told).toStrictEqual([['closed', undefined, 'no stream']]);
    expect(FakeTransport.made[0]?.closes).toHaveLength(1);
  });

  test('what is closed while it opens is closed, and tells nothing', async () => {
    open().close(1000);
    await settle();
    expect(FakeTransport.made).toHaveLength(0);
    const link = open();
    await settle();
    const [made] = FakeTransport.made;
    link.close(1000);
    made?.readying.resolve(undefined);
    await settle(10_000);
    expect(made?.closes).toStrictEqual([{ closeCode: 1000, reason: '' }]);
    made?.closing.resolve({ closeCode: 1000, reason: '' });
    await settle();
    expect(told).toStrictEqual([]);
  });
});

describe('messages', () => {
  test('go both ways, whole and in order', async () => {
    const [link, made] = await opened();
    link.send(Uint8Array.of(1, 2, 3));
    link.send(new Uint8Array());
    expect(made.writer.written).toStrictEqual([Uint8Array.of(0, 0, 0, 3, 1, 2, 3), new Uint8Array(4)]);
    const stream = [...framed(Uint8Array.of(7)), ...framed(Uint8Array.of(8, 9))];
    for (const byte of stream) {
      made.reader.give(Uint8Array.of(byte));
      await settle();
    }
    made.reader.give(Uint8Array.from(stream));
    await settle();
    const both = [
      ['received', 7],
      ['received', 8, 9],
    ];
    expect(told).toStrictEqual([...both, ...both]);
  });

  test('one chunk is read at a time, so that the rest waits in the network', async () => {
    const [, made] = await opened();
    expect(made.reader.reads).toBe(1);
    made.reader.give(framed(Uint8Array.of(1)));
    await settle();
    expect(made.reader.reads).toBe(2);
  });

  test('nothing is told after a close, also in the middle of a chunk', async () => {
    const [link, made] = await opened();
    const received = vi.spyOn(events, 'received').mockImplementation(() => {
      link.close(1000);
      return 0;
    });
    made.reader.give(Uint8Array.of(...framed(Uint8Array.of(1)), ...framed(Uint8Array.of(2))));
    await settle();
    expect(received).toHaveBeenCalledOnce();
    received.mockRestore();
    made.reader.give(framed(Uint8Array.of(3)));
    made.closing.resolve({ closeCode: 4300, reason: 'late' });
    await settle(10_000);
    expect(told).toStrictEqual([]);
  });

  test.each([
    ['lies about a length', Uint8Array.of(255, 0, 0, 0, 1), 'announced a message of 4278190080 bytes', 4302],
    ['gives text', 'text', 'no bytes', 4300],
    ['gives nothing', undefined, 'no bytes', 4300],
  ])('a stream that %s is of no use', async (_, chunk, why, code) => {
    const [, made] = await opened();
    made.reader.give(chunk);
    await settle();
    expect(told).toStrictEqual([['closed', undefined, expect.stringContaining(why)]]);
    expect(made.closes).toStrictEqual([{ closeCode: code, reason: '' }]);
    made.closing.resolve({ closeCode: code, reason: '' });
    await settle(10_000);
    expect(told).toHaveLength(1);
  });

  test('a stream that ends within a message is of no use', async () => {
    const [, made] = await opened();
    made.reader.give(Uint8Array.of(0, 0, 0, 5, 1));
    made.reader.end();
    await settle();
    expect(told).toStrictEqual([['closed', undefined, 'the stream ended within a message']]);
  });

  test.each([
    ['rejects', () => Promise.reject(new Error('the write failed'))],
    [
      'throws',
      () => {
        throw new Error('the write failed');
      },
    ],
  ])('a write that %s ends the link', async (_, write) => {
    const [link, made] = await opened();
    made.writer.write = write;
    link.send(Uint8Array.of(1));
    await settle(10_000);
    expect(told).toStrictEqual([['closed', undefined, 'the write failed']]);
    expect(made.closes).toHaveLength(1);
  });
});

describe('the end', () => {
  test('the server says its last word, hears that it was read, and tells why', async () => {
    const [, made] = await opened();
    made.reader.give(framed(Uint8Array.of(5)));
    made.reader.end();
    await settle();
    expect(made.writer.closes).toBe(1);
    expect(told).toStrictEqual([['received', 5]]);
    made.closing.resolve({ closeCode: 4001, reason: 'drain' });
    await settle(10_000);
    expect(told).toStrictEqual([
      ['received', 5],
      ['closed', 4001, 'drain'],
    ]);
  });

  test('a server that ends the stream and does not say why is not waited for', async () => {
    const [, made] = await opened();
    made.writer.close = () => Promise.reject(new Error('closed already'));
    made.reader.end();
    await settle(10_000);
    expect(told).toStrictEqual([['closed', undefined, 'the server ended the stream']]);
    expect(made.closes).toStrictEqual([{ closeCode: 1000, reason: '' }]);
  });

  test.each([
    ['the code first', ['closed', 'read', 'write']],
    ['the stream first', ['read', 'closed']],
    ['a write first', ['write', 'read', 'closed']],
  ])('a session that ends, %s, is told with its code', async (_, order) => {
    const [link, made] = await opened();
    for (const what of order) {
      if (what === 'closed') made.closing.resolve({ closeCode: 4200, reason: 'session_ended' });
      if (what === 'read') made.reader.fail(new Error('session gone'));
      if (what === 'write') {
        made.writer.write = () => Promise.reject(new Error('session gone'));
        link.send(Uint8Array.of(1));
      }
      await settle(10);
    }
    await settle(10_000);
    expect(told).toStrictEqual([['closed', 4200, 'session_ended']]);
  });

  test('a stream that breaks alone ends the link', async () => {
    const [, made] = await opened();
    made.reader.fail(new Error('reset'));
    await settle(10_000);
    expect(told).toStrictEqual([['closed', undefined, 'reset']]);
    expect(made.closes).toStrictEqual([{ closeCode: 4300, reason: '' }]);
  });

  test.each([
    ['no code', { closeCode: 0, reason: '' }, [undefined, undefined]],
    ['nothing', undefined, [undefined, undefined]],
    ['text as code', { closeCode: '4001', reason: 7 }, [undefined, undefined]],
    ['a reason alone', { closeCode: 0, reason: 'a\nb' }, [undefined, 'a b']],
  ])('a session that ends with %s', async (_, info, expected) => {
    const [, made] = await opened();
    made.closing.resolve(info);
    await settle();
    expect(told).toStrictEqual([['closed', ...expected]]);
  });

  test('a connection that is lost is told', async () => {
    const [, made] = await opened();
    made.closing.reject(new Error('Connection lost.'));
    await settle();
    expect(told).toStrictEqual([['closed', undefined, 'Connection lost.']]);
  });

  test('what was sent leaves before a close', async () => {
    const [link, made] = await opened();
    const left = new Settled<unknown>();
    made.writer.close = () => left.promise;
    link.send(Uint8Array.of(1));
    link.close(1000);
    link.close(1000);
    await settle(100);
    expect(made.closes).toStrictEqual([]);
    left.resolve(undefined);
    await settle();
    expect(made.closes).toStrictEqual([{ closeCode: 1000, reason: '' }]);
    await settle(10_000);
    expect(made.closes).toHaveLength(1);
    expect(told).toStrictEqual([]);
  });

  test.each([
    ['never ends', () => new Promise<unknown>(() => undefined)],
    ['fails', () => Promise.reject(new Error('no'))],
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
  ])('a stream whose end %s does not keep a link open', async (_, close) => {
    const [link, made] = await opened();
    made.writer.close = close;
    made.close = (info) => {
      made.closes.push(info);
      throw new Error('closed already');
    };
    link.close(1000);
    await settle(10_000);
    expect(made.closes).toStrictEqual([{ closeCode: 1000, reason: '' }]);
  });
});

describe('datagrams', () => {
  test('go both ways', async () => {
    const [link, made] = await opened();
    expect(link.sendDatagram?.(Uint8Array.of(1, 2))).toBe(true);
    expect(made.datagramWriter.written).toStrictEqual([Uint8Array.of(1, 2)]);
    made.datagramReader.give(Uint8Array.of(3));
    made.datagramReader.give('no bytes');
    await settle();
    made.datagramReader.give(Uint8Array.of(4));
    await settle();
    expect(told).toStrictEqual([
      ['datagram', 3],
      ['datagram', 4],
    ]);
    link.close(1000);
    made.datagramReader.give(Uint8Array.of(5));
    await settle();
    expect(told).toHaveLength(2);
  });

  test('what is too long has to go as a message, what has no room is dropped', async () => {
    const [link, made] = await opened();
    expect(link.sendDatagram?.(new Uint8Array(1_001))).toBe(false);
    expect(link.sendDatagram?.(new Uint8Array(1_000))).toBe(true);
    made.datagramWriter.desiredSize = 0;
    expect(link.sendDatagram?.(Uint8Array.of(1))).toBe(true);
    expect(made.datagramWriter.written).toHaveLength(1);
  });

  test('what browsers have is found and set', async () => {
    class Newer extends FakeTransport {
      override datagrams: DatagramsLike = {
        maxDatagramSize: 1_000,
        createWritable: () => ({ getWriter: () => this.datagramWriter }),
        outgoingMaxAge: null,
        outgoingMaxBufferedDatagrams: null,
        outgoingHighWaterMark: 1,
      };
    }
    const [link, made] = await opened(Newer);
    expect(link.sendDatagram?.(Uint8Array.of(1))).toBe(true);
    expect(made.datagramWriter.written).toHaveLength(1);
    expect(made.datagrams).toMatchObject({
      outgoingMaxAge: 100,
      outgoingMaxBufferedDatagrams: 8,
      outgoingHighWaterMark: 1,
    });
    FakeTransport.made = [];
    const [, older] = await opened();
    expect(older.datagrams).toMatchObject({ outgoingMaxAge: 100, outgoingHighWaterMark: 8 });
    expect(older.datagrams).not.toHaveProperty('outgoingMaxBufferedDatagrams');
  });

  test.each([
    ['there are none', (): unknown => undefined],
    [
      'looking at them throws',
      () => {
        throw new Error('no');
      },
    ],
    ['they can not be written', () => ({ maxDatagramSize: 1_000, outgoingMaxAge: null })],
    [
      'their streams throw',
      () => ({
        maxDatagramSize: 1_000,
        createWritable: () => {
          throw new Error('no');
        },
        get readable(): never {
          throw new Error('no');
        },
      }),
    ],
  ])('when %s, messages go on', async (_, datagrams) => {
    class Without extends FakeTransport {
      constructor(url: string) {
        super(url);
        Object.defineProperty(this, 'datagrams', { get: datagrams });
      }
    }
    const [link, made] = await opened(Without);
    expect(link.sendDatagram?.(Uint8Array.of(1))).toBe(false);
    link.send(Uint8Array.of(1));
    made.reader.give(framed(Uint8Array.of(2)));
    await settle();
    expect(made.writer.written).toHaveLength(1);
    expect(told).toStrictEqual([['received', 2]]);
  });

  test('a datagram that fails ends nothing', async () => {
    const [link, made] = await opened();
    made.datagramWriter.write = () => Promise.reject(new Error('no'));
    expect(link.sendDatagram?.(Uint8Array.of(1))).toBe(true);
    made.datagramWriter.write = () => {
      throw new Error('no');
    };
    expect(link.sendDatagram?.(Uint8Array.of(1))).toBe(true);
    made.datagramReader.fail(new Error('no'));
    await settle(10_000);
    expect(told).toStrictEqual([]);
  });
});
