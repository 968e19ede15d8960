import { expect, test } from 'vitest';

import { Machine } from '../src/machine/machine.js';
import type { Output, Ticket } from '../src/machine/types.js';
import { config, randomOf } from './support/driver.js';
import type { ModelConnection } from './support/model.js';
import { ModelConnection as Connection, Refusal, World } from './support/model.js';

/** Time after which nothing goes wrong any more. */
const TROUBLE_MS = 60_000;
const CLIENTS = 3;
const SENDS = 60;

type Step = () => void;

/** Things that happen at virtual times, in order. */
class Agenda {
  now = 0;
  readonly #steps: { at: number; order: number; step: Step }[] = [];
  #order = 0;

  in(ms: number, step: Step): void {
    this.#order += 1;
    this.#steps.push({ at: this.now + ms, order: this.#order, step });
  }

  /** Takes the next step; false when there is none before `end`. */
  next(end: number): boolean {
    this.#steps.sort((left, right) => left.at - right.at || left.order - right.order);
    const [first] = this.#steps;
    if (first === undefined || first.at > end) return false;
    this.#steps.shift();
    this.now = first.at;
    first.step();
    return true;
  }
}

/** A client behind a network that delays, breaks and sometimes swallows the end of a connection. */
class Player {
  readonly machine: Machine;
  readonly texts: string[] = [];
  readonly places: number[] = [];
  readonly edits: number[] = [];
  readonly answers = new Map<Ticket, Output & { kind: 'answer' }>();
  readonly gaps: Output[] = [];
  readonly #agenda: Agenda;
  readonly #world: World;
  readonly #random: () => number;
  #link: { server: ModelConnection; open: boolean; clientKnows: boolean } | undefined;
  #due: number | undefined;

  constructor(agenda: Agenda, world: World, random: () => number) {
    this.#agenda = agenda;
    this.#world = world;
    this.#random = random;
    this.machine = new Machine(config({ random, stableMs: 500, backOff: { baseMs: 50, capMs: 2_000 } }));
  }

  get troubled(): boolean {
    return this.#agenda.now < TROUBLE_MS;
  }

  #delay(): number {
    return 1 + Math.floor(this.#random() * 20);
  }

  /** Breaks the connection. Each side learns of it later, or by silence only. */
  cut(): void {
    const link = this.#link;
    if (link?.open !== true) return;
    link.open = false;
    link.server.end();
    if (this.#random() < 0.3) return;
    this.#agenda.in(this.#delay(), () => {
      if (this.#link !== link) return;
      this.#link = undefined;
      this.machine.disconnected(this.#agenda.now, undefined);
      this.pump();
    });
  }

  server(): ModelConnection | undefined {
    return this.#link?.open === true ? this.#link.server : undefined;
  }

  pump(): void {
    for (;;) {
      const output = this.machine.poll();
      if (output !== undefined) {
        this.#handle(output);
        continue;
      }
      const message = this.machine.transmit();
      if (message === undefined) break;
      this.#transmit(message);
    }
    this.#setTimer();
  }

  #transmit(message: Uint8Array): void {
    const link = this.#link;
    this.#agenda.in(this.#delayInOrder('up'), () => {
      if (link?.open === true) link.server.receive(message);
    });
  }

  readonly #last = { up: 0, down: 0 };

  /** A delay that lets nothing overtake what went the same way before. */
  #delayInOrder(way: 'up' | 'down'): number {
    const at = Math.max(this.#last[way], this.#agenda.now + this.#delay());
    this.#last[way] = at;
    return at - this.#agenda.now;
  }

  #setTimer(): void {
    const at = this.machine.nextTimeout;
    if (at === undefined || at === this.#due) return;
    this.#due = at;
    this.#agenda.in(Math.max(0, at - this.#agenda.now), () => {
      if (this.#due === at) this.#due = undefined;
      this.machine.tick(this.#agenda.now);
      this.pump();
    });
  }

  #handle(output: Output): void {
    switch (output.kind) {
      case 'connect':
        return this.#connect();
      case 'read_tokens':
        return this.machine.tokensFound({ is: 'nothing_new' });
      case 'close': {
        const link = this.#link;
        this.#link = undefined;
        if (link?.open !== true) return;
        link.open = false;
        link.server.end();
        return;
      }
      case 'answer':
        this.answers.set(output.ticket, output);
        return;
      case 'gap':
        this.gaps.push(output);
        return;
      case 'event': {
        const message = output.body['msg'] as { text: string; seq: number } | undefined;
        if (message !== undefined) {
          this.texts.push(message.text);
          this.places.push(message.seq);
        }
        const rev = output.body['rev'];
        if (message === undefined && output.body['text'] !== undefined) this.edits.push(rev as number);
        return;
      }
      default:
    }
  }

  #connect(): void {
    if (this.troubled && this.#random() < 0.3) {
      this.#agenda.in(this.#delay(), () => {
        this.machine.disconnected(this.#agenda.now, undefined);
        this.pump();
      });
      return;
    }
    const link: { server: ModelConnection; open: boolean; clientKnows: boolean } = {
      server: new Connection(
        this.#world,
        (message) => {
          this.#agenda.in(this.#delayInOrder('down'), () => {
            if (!link.open || this.#link !== link) return;
            this.machine.received(this.#agenda.now, message);
            this.pump();
          });
        },
        () => {
          this.cut();
        },
      ),
      open: true,
      clientKnows: true,
    };
    this.#link = link;
    this.#agenda.in(this.#delayInOrder('down'), () => {
      if (this.#link !== link) return;
      this.machine.connected(this.#agenda.now);
      this.pump();
    });
  }
}

function simulate(seed: number): void {
  const random = randomOf(seed);
  const agenda = new Agenda();
  const world = new World();
  world.now = () => 1_000_000 + agenda.now;
  world.pingMs = 400;
  world.tokenMs = 8_000;
  world.page = 1 + Math.floor(random() * 5);
  // Like a rate limiter, which refuses what follows too: sends that were on the wire behind a refused one stay behind it.
  let refusing = { until: 0, code: 'overloaded' as 'overloaded' | 'rate_limited' };
  world.before = (method) => {
    if (agenda.now > TROUBLE_MS || method !== 'SendMessage') return;
    if (refusing.until <= agenda.now) {
      if (random() > 0.1) return;
      const code = random() < 0.7 ? 'rate_limited' : 'overloaded';
      refusing = { until: agenda.now + 100 + Math.floor(random() * 300), code };
    }
    const retry = refusing.code === 'overloaded' ? {} : { retry_after_ms: refusing.until - agenda.now };
    throw new Refusal(refusing.code, retry);
  };
  const room = world.createRoom();
  const players = Array.from({ length: CLIENTS }, () => new Player(agenda, world, random));
  const sends: { player: Player; ticket: Ticket; text: string }[] = [];

  players.forEach((player, index) => {
    player.machine.call({
      method: 'LoginGuest',
      request: { secret: `secret ${String(index)}` },
      key: `l${String(index)}`,
    });
    player.machine.call({ method: 'OpenRoom', request: { room: room.id, seq: 0, rev: 0 } });
    player.machine.start(0);
    player.pump();
    for (let n = 0; n < SENDS; n += 1) {
      agenda.in(Math.floor((n + random()) * (TROUBLE_MS / SENDS)), () => {
        const text = `${String(index)}:${String(n)}`;
        const ticket = player.machine.call({
          method: 'SendMessage',
          request: { room: room.id, text },
          key: `k${text}`,
          keyIsNew: true,
        });
        sends.push({ player, ticket, text });
        if (random() < 0.2) world.edit(room, Math.max(1, room.head), 'edited');
        player.pump();
      });
    }
  });
  const ping = (): void => {
    for (const player of players) player.server()?.ping(1);
    agenda.in(300, ping);
  };
  ping();
  const trouble = (): void => {
    if (agenda.now >= TROUBLE_MS) return;
    const player = players[Math.floor(random() * players.length)];
    const what = random();
    if (what < 0.05) for (const each of players) each.cut();
    else if (what < 0.5) player?.cut();
    else if (what < 0.7) player?.server()?.cut(room.id);
    else if (what < 0.8) player?.server()?.skipOne(room.id);
    else if (what < 0.9) player?.machine.pause(true);
    else player?.machine.pause(false);
    player?.pump();
    agenda.in(Math.floor(random() * 1_500), trouble);
  };
  trouble();
  agenda.in(TROUBLE_MS, () => {
    for (const player of players) {
      player.machine.pause(false);
      player.pump();
    }
  });

  while (agenda.next(TROUBLE_MS + 30_000));
  const told = world.attempts.filter(([, , head]) => head !== undefined);
  expect(told.length, 'first attempts say so').toBeGreaterThan(SENDS);
  expect(world.attempts.length, 'some are repeated').toBeGreaterThan(CLIENTS * (SENDS + 1));
  judge(world, room.id, players, sends);
}

function judge(
  world: World,
  id: string,
  players: readonly Player[],
  sends: readonly { player: Player; ticket: Ticket; text: string }[],
): void {
  const room = world.room(id);
  const log = room.log.flatMap((entry) =>
    'seq' in entry ? [(entry.body['msg'] as { text: string }).text] : [],
  );
  expect(new Set(log).size, 'nothing is in the room twice').toBe(log.length);
  expect(sends.length).toBe(CLIENTS * SENDS);
  for (const { player, ticket, text } of sends) {
    const answer = player.answers.get(ticket);
    expect(answer, `${text} has an answer`).toBeDefined();
    expect(answer?.result, `${text} was sent`).toHaveProperty('reply');
    expect(log.filter((entry) => entry === text)).toHaveLength(1);
  }
  players.forEach((player, index) => {
    const own = log.filter((text) => text.startsWith(`${String(index)}:`));
    const taken = sends.filter(({ player: sender }) => sender === player).map(({ text }) => text);
    expect(own, 'sends to a room keep their order').toStrictEqual(taken);
    expect(player.machine.connection.state).toBe('online');
    expect(player.texts).toStrictEqual(log);
    expect(player.places).toStrictEqual(log.map((_, place) => place + 1));
    expect(player.edits).toStrictEqual(Array.from({ length: room.rev }, (_, rev) => rev + 1));
    expect(player.gaps).toStrictEqual([]);
  });
}

const chosen = process.env['PITTURU_SEED'];
const seeds =
  chosen === undefined
    ? [...Array.from({ length: 12 }, (_, seed) => seed + 1), Math.floor(Math.random() * 2 ** 32)]
    : [Number(chosen)];

test.each(seeds)('a lossy network loses nothing (PITTURU_SEED=%d)', (seed) => {
  simulate(seed);
});
