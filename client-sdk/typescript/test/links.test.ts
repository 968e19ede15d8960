// Links and the code of transports, which may do what it must not.

import { describe, expect, test } from 'vitest';

import { Links } from '../src/links.js';
import type { Link, TransportEvents } from '../src/transport/transport.js';

const MESSAGE = Uint8Array.of(1);

/** Links over a transport that is the test, and what they tell. */
class Bench {
  readonly told: unknown[] = [];
  readonly did: string[] = [];
  readonly links = new Links({
    opened: (id) => this.told.push(['opened', id]),
    received: (role) => this.told.push(['received', role]),
    receivedDatagram: (role) => this.told.push(['datagram', role]),
    closed: (id, role, code, why) => this.told.push(['closed', id, role, code, why]),
    failed: (error) => this.told.push(['failed', (error as Error).message]),
  });

  open(id: number, link: Partial<Link> = {}): TransportEvents {
    let heard: TransportEvents | undefined;
    this.links.open(id, (events) => {
      heard = events;
      return {
        send: () => this.did.push(`send ${String(id)}`),
        close: (code) => this.did.push(`close ${String(id)} ${String(code)}`),
        ...link,
      };
    });
    if (heard === undefined) throw new Error('nothing was opened');
    return heard;
  }
}

describe('a link', () => {
  test('is a candidate, then the present one, then the other', () => {
    const bench = new Bench();
    const [one, two] = [bench.open(1), bench.open(2)];
    for (const events of [one, two]) events.opened();
    bench.links.use(1);
    bench.links.useAsOther(2);
    bench.links.send('present', MESSAGE);
    bench.links.send('other', MESSAGE);
    bench.links.swap();
    bench.links.send('present', MESSAGE);
    one.received(MESSAGE);
    two.received(MESSAGE);
    expect(bench.did).toStrictEqual(['send 1', 'send 2', 'send 2']);
    expect(bench.told).toStrictEqual([
      ['opened', 1],
      ['opened', 2],
      ['received', 'other'],
      ['received', 'present'],
    ]);
    bench.links.close('present', 1000);
    bench.links.close('other', 4001);
    expect(bench.did.slice(3)).toStrictEqual(['close 2 1000', 'close 1 4001']);
  });

  test('is heard of no more once it was closed, by whom ever', () => {
    for (const role of ['candidate', 'present', 'other'] as const) {
      const bench = new Bench();
      const events = bench.open(1);
      if (role === 'present') bench.links.use(1);
      if (role === 'other') bench.links.useAsOther(1);
      bench.links.close(role === 'candidate' ? { candidate: 1 } : role, 1000);
      events.opened();
      events.received(MESSAGE);
      events.closed(1006, 'late');
      bench.links.close(role === 'candidate' ? { candidate: 1 } : role, 1000);
      if (role !== 'candidate') bench.links.send(role, MESSAGE);
      expect(bench.told).toStrictEqual([]);
      expect(bench.did).toStrictEqual(['close 1 1000']);
    }
  });

  test('that has ended is told once, and not closed', () => {
    const bench = new Bench();
    const events = bench.open(1);
    bench.links.use(1);
    events.closed(4001, 'away\nnow');
    events.closed(4001);
    bench.links.close('present', 1000);
    expect(bench.told).toStrictEqual([['closed', 1, 'present', 4001, expect.any(String)]]);
    expect(bench.did).toStrictEqual([]);
  });

  test('carries datagrams where it has them', () => {
    const bench = new Bench();
    expect(bench.links.sendDatagram(MESSAGE), 'there is none').toBe(false);
    bench.open(1);
    bench.links.use(1);
    expect(bench.links.sendDatagram(MESSAGE), 'it has none').toBe(false);
    let takes = true;
    const events = bench.open(2, { sendDatagram: () => takes });
    bench.links.use(2);
    expect(bench.links.sendDatagram(MESSAGE)).toBe(true);
    takes = false;
    expect(bench.links.sendDatagram(MESSAGE), 'it is too long').toBe(false);
    events.receivedDatagram?.(MESSAGE);
    events.receivedDatagram?.('text' as never);
    bench.links.close('present', 1000);
    events.receivedDatagram?.(MESSAGE);
    expect(bench.told).toStrictEqual([['datagram', 'present']]);
  });

  test('is lost when it throws over a datagram', () => {
    const bench = new Bench();
    bench.open(1, {
      sendDatagram: () => {
        throw new Error('no');
      },
    });
    bench.links.use(1);
    expect(bench.links.sendDatagram(MESSAGE)).toBe(false);
    expect(bench.told.at(-1)).toStrictEqual(['closed', 1, 'present', undefined, 'no']);
  });

  test('opens once', () => {
    const bench = new Bench();
    const events = bench.open(1);
    events.opened();
    events.opened();
    expect(bench.told).toStrictEqual([['opened', 1]]);
  });
});

describe('a transport', () => {
  test('that throws when it opens is a link that could not be opened', () => {
    const bench = new Bench();
    bench.links.open(1, () => {
      throw new Error('no');
    });
    expect(bench.told).toStrictEqual([
      ['failed', 'no'],
      ['closed', 1, 'candidate', undefined, 'no'],
    ]);
  });

  test('that throws when it sends has lost its link, which is closed', () => {
    const bench = new Bench();
    bench.open(1, {
      send: () => {
        throw new Error('no');
      },
    });
    bench.links.useAsOther(1);
    bench.links.send('other', MESSAGE);
    expect(bench.told).toStrictEqual([
      ['failed', 'no'],
      ['closed', 1, 'other', undefined, 'no'],
    ]);
    expect(bench.did).toStrictEqual(['close 1 1000']);
  });

  test('that throws when it closes is told, and the link is gone', () => {
    const bench = new Bench();
    const events = bench.open(1, {
      close: () => {
        throw new Error('no');
      },
    });
    bench.links.close({ candidate: 1 }, 1000);
    events.opened();
    expect(bench.told).toStrictEqual([['failed', 'no']]);
  });

  test('that gives no bytes, no code and no text loses its link, and tells neither', () => {
    const bench = new Bench();
    const events = bench.open(1);
    bench.links.use(1);
    events.received('text' as never);
    expect(bench.told).toStrictEqual([
      ['failed', expect.stringContaining('no bytes')],
      ['closed', 1, 'present', undefined, expect.stringContaining('no bytes')],
    ]);
    const other = bench.open(2);
    other.closed('4001' as never, 7 as never);
    expect(bench.told.at(-1)).toStrictEqual(['closed', 2, 'candidate', undefined, undefined]);
  });

  test('may be asked to stop before it has said what the link is', () => {
    const bench = new Bench();
    bench.links.open(1, () => {
      bench.links.close({ candidate: 1 }, 1000);
      return { send: () => undefined, close: (code) => bench.did.push(`close ${String(code)}`) };
    });
    expect(bench.did).toStrictEqual(['close 1000']);
  });
});
