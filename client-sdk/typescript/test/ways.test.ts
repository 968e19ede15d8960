// The policy of ways on a clock of its own, without sockets.

import { beforeEach, describe, expect, test } from 'vitest';

import type { QuicAddress } from '../src/generated/types.js';
import { memoryOf, WayMemory } from '../src/transport/way-memory.js';
import type { Action, Preference, Standing, Way } from '../src/transport/ways.js';
import { hostOf, Ways } from '../src/transport/ways.js';

const MINUTE = 60_000;
const HASH = 'ab'.repeat(32);

/** A driver without sockets: attempts stay as they are until the test says what becomes of them. */
class Bench {
  now = 1_000;
  readonly ways: Ways;
  readonly log: string[] = [];
  readonly opening = new Map<number, Way>();
  readonly urls: string[] = [];
  readonly hashes: (readonly string[])[] = [];
  /** When each attempt began. */
  readonly begun: [Way, number][] = [];
  present: number | undefined;
  other: number | undefined;
  standing: Standing = { online: false, mayHandOver: false, awaitsAnswers: false };

  constructor(
    url = 'wss://game.example',
    hasBetter = true,
    readonly memory = new WayMemory(),
    preference: Preference = 'auto',
  ) {
    this.ways = new Ways(url, hasBetter, memory, preference);
  }

  do(step: () => void): this {
    step();
    for (;;) {
      this.ways.run(this.now, this.standing);
      const action = this.ways.poll();
      if (action === undefined) return this;
      this.#act(action);
    }
  }

  #act(action: Action): void {
    if (action.do === 'open') {
      this.log.push(`open ${action.way}`);
      this.begun.push([action.way, this.now]);
      this.urls.push(action.url);
      this.hashes.push(action.hashes);
      this.opening.set(action.id, action.way);
      return;
    }
    if (action.do === 'fail') {
      this.log.push(`fail ${String(action.code)} ${String(action.why)}`);
      return;
    }
    this.log.push(`${action.do} ${String(this.opening.get(action.id))}`);
    if (action.do === 'use') this.present = action.id;
    else if (action.do === 'hand_over') this.other = action.id;
    this.opening.delete(action.id);
  }

  connect(): this {
    return this.do(() => {
      this.ways.connect(this.now);
    });
  }

  idOf(way: Way): number {
    for (const [id, opening] of this.opening) if (opening === way) return id;
    throw new Error(`no attempt by ${way}`);
  }

  opened(way: Way): this {
    const id = this.idOf(way);
    return this.do(() => {
      this.ways.opened(this.now, id);
    });
  }

  refused(way: Way, code?: number): this {
    const id = this.idOf(way);
    this.opening.delete(id);
    return this.do(() => {
      this.ways.closed(this.now, id, code, `${way} is refused`);
    });
  }

  /** The server welcomes the client, which is up to date then. */
  welcomed(quic: QuicAddress | undefined = { port: 443 }): this {
    this.standing = { online: true, mayHandOver: true, awaitsAnswers: false };
    return this.do(() => {
      this.ways.welcomed(quic);
    });
  }

  /** The client is handed over to the connection that was asked for. */
  tookOver(): this {
    return this.do(() => {
      this.ways.tookOver(this.now);
      [this.present, this.other] = [this.other, this.present];
      this.ways.welcomed({ port: 443 });
    }).do(() => {
      this.ways.otherEnded(this.now, false);
      this.other = undefined;
    });
  }

  lost(code?: number): this {
    this.standing = { online: false, mayHandOver: false, awaitsAnswers: false };
    return this.do(() => {
      this.present = undefined;
      this.ways.lost(this.now, code);
    });
  }

  heard(): this {
    return this.do(() => {
      this.ways.heard();
    });
  }

  owes(awaitsAnswers = true): this {
    return this.do(() => {
      this.standing = { ...this.standing, awaitsAnswers };
    });
  }

  prefer(preference: Preference): this {
    return this.do(() => {
      this.ways.prefer(this.now, preference);
    });
  }

  pass(ms: number): this {
    const end = this.now + ms;
    for (;;) {
      const at = this.ways.nextTimeout;
      if (at === undefined || at > end) break;
      expect(at, 'what is due is done').toBeGreaterThan(this.now - 1);
      this.now = Math.max(this.now, at);
      const before = this.log.length;
      this.do(() => undefined);
      if (this.log.length === before && this.ways.nextTimeout === at) throw new Error('it is due for ever');
    }
    this.now = end;
    return this.do(() => undefined);
  }

  /** What was done since the last look. */
  done(): string[] {
    return this.log.splice(0);
  }
}

describe('the first connection', () => {
  test('begins with the better way, on the port of the address', () => {
    const bench = new Bench('wss://game.example/ws').connect();
    expect(bench.done()).toStrictEqual(['open webtransport']);
    expect(bench.urls).toStrictEqual(['https://game.example:443/']);
    expect(new Bench('wss://[::1]:7350').connect().urls).toStrictEqual(['https://[::1]:7350/']);
  });

  test('that opens by the better way at once makes no WebSocket', () => {
    const bench = new Bench().connect().pass(199).opened('webtransport').pass(MINUTE);
    expect(bench.done()).toStrictEqual(['open webtransport', 'use webtransport']);
    expect(bench.ways.present).toBe('webtransport');
    expect(bench.ways.counts).toStrictEqual({
      webtransportOpened: 1,
      websocketOpened: 0,
      webtransportFailed: 0,
    });
  });

  test('begins with WebSocket too after 200 ms, and the loser is closed', () => {
    const bench = new Bench().connect().pass(200);
    expect(bench.begun).toStrictEqual([
      ['webtransport', 1_000],
      ['websocket', 1_200],
    ]);
    bench.opened('webtransport');
    expect(bench.done().slice(2)).toStrictEqual(['use webtransport', 'close websocket']);
    expect(bench.opening.size).toBe(0);
  });

  test('begins with WebSocket at once when the better way fails', () => {
    const bench = new Bench().connect().pass(50).refused('webtransport');
    expect(bench.begun[1]).toStrictEqual(['websocket', 1_050]);
    bench.opened('websocket').pass(200);
    expect(bench.done()).toStrictEqual(['open webtransport', 'open websocket', 'use websocket']);
  });

  test('fails when both do, with what WebSocket says, and nothing is held against the better way', () => {
    for (const order of [
      ['webtransport', 'websocket'],
      ['websocket', 'webtransport'],
    ] as const) {
      const bench = new Bench().connect().pass(200);
      for (const way of order) {
        bench.done();
        bench.refused(way);
      }
      expect(bench.done()).toStrictEqual(['fail undefined websocket is refused']);
      expect(bench.memory.notBefore).toBe(0);
      bench.connect();
      expect(bench.done()).toStrictEqual(['open webtransport']);
    }
  });

  test('waits for the better way when WebSocket is refused, for three seconds', () => {
    const bench = new Bench().connect().pass(200).refused('websocket', 4100);
    bench.done();
    bench.pass(2_799);
    expect(bench.done()).toStrictEqual([]);
    bench.pass(1);
    expect(bench.done()).toStrictEqual(['close webtransport', 'fail 4100 websocket is refused']);
  });

  test('closes both when it is not wanted any more', () => {
    const bench = new Bench().connect().pass(250);
    bench.done();
    bench.lost(1000).pass(MINUTE);
    expect(bench.done()).toStrictEqual(['close webtransport', 'close websocket']);
    expect(bench.ways.nextTimeout).toBeUndefined();
  });

  test('is a WebSocket alone where there is nothing better, or nothing better is wanted', () => {
    for (const bench of [
      new Bench('wss://game.example', false),
      new Bench('wss://game.example', true, new WayMemory(), 'websocket'),
    ]) {
      bench
        .connect()
        .opened('websocket')
        .welcomed()
        .owes()
        .pass(10 * MINUTE);
      expect(bench.done()).toStrictEqual(['open websocket', 'use websocket']);
      expect(bench.urls).toStrictEqual(['wss://game.example']);
    }
  });

  test('has as much time for WebSocket as the machine gives it', () => {
    const bench = new Bench('wss://game.example', false).connect().pass(9_999);
    expect(bench.done()).toStrictEqual(['open websocket']);
  });
});

describe('where WebSocket was first', () => {
  test('the better way goes on, and the client is handed over when it opens within three seconds', () => {
    const bench = new Bench().connect().pass(200).opened('websocket').welcomed().pass(2_000);
    bench.done();
    bench.opened('webtransport');
    expect(bench.done()).toStrictEqual(['hand_over webtransport']);
    bench.tookOver().pass(MINUTE);
    expect(bench.done()).toStrictEqual([]);
    expect(bench.ways.present).toBe('webtransport');
  });

  test('the better way waits until a handover is possible, but not for long', () => {
    const bench = new Bench().connect().pass(200).opened('websocket').opened('webtransport');
    bench.done();
    bench.pass(1_000);
    expect(bench.done()).toStrictEqual([]);
    bench.welcomed();
    expect(bench.done()).toStrictEqual(['hand_over webtransport']);

    const slow = new Bench().connect().pass(200).opened('websocket').opened('webtransport');
    slow.done();
    slow.pass(5_000);
    expect(slow.done()).toStrictEqual(['close webtransport']);
    expect(slow.memory.notBefore).toBe(0);
  });

  test('the better way is given up after three seconds, and not tried for five minutes, then ten, up to an hour', () => {
    const bench = new Bench().connect().pass(200).opened('websocket').welcomed();
    bench.done();
    bench.pass(2_799);
    expect(bench.done()).toStrictEqual([]);
    bench.pass(1);
    expect(bench.done()).toStrictEqual(['close webtransport']);
    for (const minutes of [5, 10, 20, 40, 60, 60]) {
      bench.pass(minutes * MINUTE - 1);
      expect(bench.done()).toStrictEqual([]);
      bench.pass(1);
      expect(bench.done()).toStrictEqual(['open webtransport']);
      bench.pass(3_000);
      expect(bench.done()).toStrictEqual(['close webtransport']);
    }
    expect(bench.ways.counts.webtransportFailed).toBe(7);
  });

  test('the next connection is a WebSocket at once while that lasts', () => {
    const bench = new Bench().connect().refused('webtransport').opened('websocket').welcomed().lost();
    bench.done();
    bench.connect();
    expect(bench.done()).toStrictEqual(['open websocket']);
    bench
      .opened('websocket')
      .welcomed()
      .lost()
      .pass(5 * MINUTE);
    bench.done();
    bench.connect();
    expect(bench.done()).toStrictEqual(['open webtransport']);
  });

  test('success forgets what has failed', () => {
    const bench = new Bench().connect().refused('webtransport').opened('websocket').welcomed();
    bench
      .pass(5 * MINUTE)
      .opened('webtransport')
      .tookOver()
      .pass(10_000);
    bench.do(() => undefined).lost();
    bench.done();
    bench.connect().refused('webtransport').opened('websocket').welcomed();
    bench.done();
    bench.pass(5 * MINUTE);
    expect(bench.done(), 'five minutes again').toStrictEqual(['open webtransport']);
  });
});

describe('on ws:', () => {
  const local = (): Bench => new Bench('ws://127.0.0.1:7350').connect();

  test('the better way begins one second after the client is online, trusting what the welcome tells', () => {
    const bench = local();
    expect(bench.done()).toStrictEqual(['open websocket']);
    bench.opened('websocket').welcomed({ port: 7351, certificate_hashes: [HASH] });
    bench.done();
    bench.pass(999);
    expect(bench.done()).toStrictEqual([]);
    bench.pass(1);
    expect(bench.done()).toStrictEqual(['open webtransport']);
    expect(bench.urls.at(-1)).toBe('https://127.0.0.1:7351/');
    expect(bench.hashes.at(-1)).toStrictEqual([HASH]);
    bench.pass(100).opened('webtransport');
    expect(bench.done()).toStrictEqual(['hand_over webtransport']);
  });

  test('without a hash it never does, for the page could not trust the server', () => {
    const bench = local()
      .opened('websocket')
      .welcomed({ port: 7351 })
      .owes()
      .pass(10 * MINUTE);
    expect(bench.done()).toStrictEqual(['open websocket', 'use websocket']);
  });

  test('each connection begins with WebSocket, whatever is known', () => {
    const bench = local()
      .opened('websocket')
      .welcomed({ port: 7351, certificate_hashes: [HASH] });
    bench.pass(1_000).opened('webtransport').tookOver().pass(MINUTE).lost();
    bench.done();
    bench.connect();
    expect(bench.done()).toStrictEqual(['open websocket']);
  });

  test('another certificate is tried though the one before has failed', () => {
    const bench = local()
      .opened('websocket')
      .welcomed({ port: 7351, certificate_hashes: [HASH] });
    bench.pass(1_000).refused('webtransport').pass(30_000).lost().connect().opened('websocket');
    bench.done();
    bench.welcomed({ port: 7351, certificate_hashes: ['cd'.repeat(32)] }).pass(1_000);
    expect(bench.done()).toStrictEqual(['open webtransport']);
    expect(bench.hashes.at(-1)).toStrictEqual(['cd'.repeat(32)]);
  });
});

describe('what the welcome tells', () => {
  test('is where the next connection begins', () => {
    const bench = new Bench().connect().opened('webtransport').welcomed({ port: 7351 }).lost(4001);
    bench.connect();
    expect(bench.urls.at(-1)).toBe('https://game.example:7351/');
  });

  test('ends an attempt elsewhere, and that is not held against the way', () => {
    const bench = new Bench().connect().pass(200).opened('websocket');
    bench.done();
    bench.welcomed({ port: 7351 });
    expect(bench.done()).toStrictEqual(['close webtransport']);
    bench.pass(1_000);
    expect(bench.done()).toStrictEqual(['open webtransport']);
    expect(bench.urls.at(-1)).toBe('https://game.example:7351/');
  });

  test('may be that there is no better way', () => {
    const bench = new Bench().connect().pass(200).opened('websocket');
    bench.done();
    bench.do(() => {
      bench.ways.welcomed(undefined);
    });
    expect(bench.done()).toStrictEqual(['close webtransport']);
    bench.standing = { online: true, mayHandOver: true, awaitsAnswers: true };
    bench.do(() => undefined).pass(10 * MINUTE);
    bench.lost().connect();
    expect(bench.done()).toStrictEqual(['open websocket']);
  });
});

describe('a connection that is lost soon after its opening', () => {
  const again = (bench: Bench, lastsMs: number, code?: number): Bench =>
    bench.connect().opened('webtransport').welcomed().pass(lastsMs).lost(code);

  test('twice in a row counts against its way', () => {
    const bench = new Bench();
    again(bench, 9_000);
    expect(bench.memory.notBefore).toBe(0);
    again(bench, 9_000);
    expect(bench.memory.notBefore).toBe(bench.now + 5 * MINUTE);
    bench.done();
    bench.connect();
    expect(bench.done()).toStrictEqual(['open websocket']);
  });

  test('does not count after ten seconds, nor with a close code of the server', () => {
    const bench = new Bench();
    again(bench, 9_000);
    again(bench, 10_000);
    again(bench, 9_000);
    again(bench, 5_000, 4001);
    again(bench, 5_000, 4001);
    expect(bench.memory.notBefore).toBe(0);
  });

  test('counts however long it has lasted when nobody was welcomed on it', () => {
    const bench = new Bench();
    for (let n = 0; n < 2; n += 1) bench.connect().opened('webtransport').pass(10_000).lost();
    expect(bench.memory.notBefore).toBeGreaterThan(bench.now);
  });
});

describe('a server that owes an answer and is silent', () => {
  const online = (way: Way): Bench => {
    const bench = new Bench();
    if (way === 'webtransport') bench.connect().opened('webtransport');
    else bench.connect().pass(200).opened('websocket').refused('webtransport');
    bench.welcomed();
    if (way === 'websocket') bench.memory.forget();
    bench.pass(500);
    bench.done();
    return bench;
  };

  test('for three seconds makes the other way be opened, and the client handed over', () => {
    const bench = online('webtransport').owes().pass(2_999);
    expect(bench.done()).toStrictEqual([]);
    bench.pass(1);
    expect(bench.done()).toStrictEqual(['open websocket']);
    bench.pass(100).opened('websocket');
    expect(bench.done()).toStrictEqual(['hand_over websocket']);
  });

  test('is asked anew after each thing that comes', () => {
    const bench = online('webtransport').owes();
    for (let n = 0; n < 5; n += 1) bench.pass(2_999).heard();
    expect(bench.done()).toStrictEqual([]);
    bench.owes(false).pass(MINUTE);
    expect(bench.done()).toStrictEqual([]);
  });

  test('that speaks before the other way is open keeps the client', () => {
    const bench = online('webtransport').owes().pass(3_000);
    bench.done();
    bench.heard();
    expect(bench.done()).toStrictEqual(['close websocket']);
  });

  test('makes that happen once in 30 seconds', () => {
    const bench = online('webtransport').owes().pass(3_000);
    bench.done();
    bench.heard().pass(3_000);
    expect(bench.done()).toStrictEqual(['close websocket']);
    bench.pass(26_999);
    expect(bench.done()).toStrictEqual([]);
    bench.pass(1);
    expect(bench.done()).toStrictEqual(['open websocket']);
  });

  test('over WebSocket makes the better way be opened', () => {
    const bench = new Bench('wss://game.example', true, new WayMemory(), 'websocket');
    bench.connect().opened('websocket').welcomed().owes().pass(10_000);
    expect(bench.done(), 'unless it is not wanted').toStrictEqual(['open websocket', 'use websocket']);
    const silent = online('websocket');
    silent.do(() => {
      silent.standing = { online: false, mayHandOver: true, awaitsAnswers: true };
    });
    silent.pass(3_000);
    expect(silent.done()).toStrictEqual(['open webtransport']);
    silent.pass(3_000);
    expect(silent.memory.notBefore, 'where nothing passes, nothing is learnt').toBe(0);
  });

  test('keeps the client away from its way for 30 seconds', () => {
    const bench = online('webtransport').owes().pass(3_000).opened('websocket');
    bench.done();
    bench.tookOver().owes(false).pass(29_999);
    expect(bench.done()).toStrictEqual([]);
    bench.pass(1);
    expect(bench.done()).toStrictEqual(['open webtransport']);
  });
});

describe('a preference', () => {
  test('moves the live client at once, and back', () => {
    const bench = new Bench().connect().opened('webtransport').welcomed();
    bench.done();
    bench.prefer('websocket');
    expect(bench.done()).toStrictEqual(['open websocket']);
    bench.opened('websocket').tookOver();
    expect(bench.done()).toStrictEqual(['hand_over websocket']);
    bench.pass(MINUTE).prefer('webtransport');
    expect(bench.done()).toStrictEqual(['open webtransport']);
    bench.opened('webtransport').tookOver().pass(MINUTE);
    expect(bench.done()).toStrictEqual(['hand_over webtransport']);
    expect(bench.ways.present).toBe('webtransport');
  });

  test('moves a client that never catches up, off a way that was just tried in place of a silent one', () => {
    const bench = new Bench().connect().opened('webtransport').welcomed().pass(MINUTE).owes();
    bench.pass(3_000).opened('websocket').tookOver();
    bench.standing = { ...bench.standing, online: false };
    bench.done();
    bench.pass(1_000).prefer('webtransport');
    expect(bench.done()).toStrictEqual(['open webtransport']);
    bench.opened('webtransport').tookOver();
    expect(bench.done()).toStrictEqual(['hand_over webtransport']);
    // Once it has been moved, it is searched as before.
    bench.pass(20_000);
    expect(bench.done()).toStrictEqual([]);
  });

  test('waits for a connection that the server has not welcomed yet', () => {
    const bench = new Bench().connect().opened('webtransport').prefer('websocket').pass(5_000);
    bench.done();
    bench.welcomed();
    expect(bench.done()).toStrictEqual(['open websocket']);
  });

  test('ends what is being opened the other way', () => {
    const bench = new Bench().connect().opened('webtransport').welcomed().prefer('websocket');
    bench.done();
    bench.prefer('auto');
    expect(bench.done()).toStrictEqual(['close websocket']);
    bench.pass(MINUTE);
    expect(bench.done()).toStrictEqual([]);
  });

  test('of the better way tries it whatever has failed, and first', () => {
    const bench = new Bench().connect().refused('webtransport').opened('websocket').welcomed();
    bench.done();
    bench.prefer('webtransport');
    expect(bench.done()).toStrictEqual(['open webtransport']);
    bench.opened('webtransport').tookOver().lost();
    bench.done();
    bench.connect().pass(2_999);
    expect(bench.done()).toStrictEqual(['open webtransport']);
    bench.pass(1);
    expect(bench.done().sort()).toStrictEqual(['close webtransport', 'open websocket']);
  });

  test('that cannot be had is tried again after 30 seconds', () => {
    const bench = new Bench().connect().opened('webtransport').welcomed().prefer('websocket');
    bench.done();
    bench.refused('websocket').pass(29_999);
    expect(bench.done()).toStrictEqual([]);
    bench.pass(1);
    expect(bench.done()).toStrictEqual(['open websocket']);
  });

  test('is kept when the machine gives the next connection up', () => {
    const bench = new Bench().connect().opened('webtransport').welcomed().prefer('websocket');
    bench.opened('websocket').do(() => {
      bench.ways.otherEnded(bench.now, false);
    });
    bench.done();
    bench.pass(29_999);
    expect(bench.done()).toStrictEqual([]);
    bench.pass(1);
    expect(bench.done()).toStrictEqual(['open websocket']);
  });
});

describe('what a page remembers', () => {
  beforeEach(() => {
    for (let n = 0; n < 64; n += 1) memoryOf(`other${String(n)}.example:443`);
  });

  test('is shared by the clients of a host, and by no others', () => {
    const [one, two] = [0, 1].map(
      () => new Bench('wss://game.example', true, memoryOf(hostOf('wss://game.example'))),
    );
    one?.connect().refused('webtransport').opened('websocket').welcomed();
    two?.connect();
    expect(two?.done()).toStrictEqual(['open websocket']);
    const three = new Bench('wss://game.example:8443', true, memoryOf(hostOf('wss://game.example:8443')));
    expect(three.connect().done()).toStrictEqual(['open webtransport']);
  });

  test('is bounded', () => {
    const memory = memoryOf('first.example:443');
    expect(memoryOf('first.example:443')).toBe(memory);
    for (let n = 0; n < 64; n += 1) memoryOf(`more${String(n)}.example:443`);
    expect(memoryOf('first.example:443')).not.toBe(memory);
  });
});
