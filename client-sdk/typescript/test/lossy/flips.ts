// A player who is moved between WebSocket and WebTransport while it chats. Commands come as JSON lines on standard input, one after the
// other; each is answered by one line on standard output, with `error` in it when it can't be carried out.

import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { CallError, Client } from '../../src/node.js';
import type { Way } from '../../src/transport/ways.js';
import { moqWebTransport } from '../support/moq.js';
import { until } from '../support/players.js';

/** Between two rounds of calls. */
const PAUSE_MS = 20;

/** How long a move may take until it is asked for again. */
const ASK_AGAIN_MS = 15_000;

/** Waits of a client whose connection was lost. */
const BACK_OFF = { baseMs: 50, capMs: 200 };

/** What no player should hear while it is moved. */
const UNHEARD_OF = [
  'connection',
  'gap',
  'streamLost',
  'signedIn',
  'signedOut',
  'tokens',
  'fault',
  'problem',
] as const;

/** The player: what it does, and all that it has heard. A call that ends as it should not ends the process, which says why. */
class Flips {
  readonly #client: Client;
  readonly #name: string;
  #room = '';
  /** Messages as they came: sequence, text, and when. */
  readonly #messages: [number, string, number][] = [];
  /** What was said for the moment. */
  readonly #moments: string[] = [];
  readonly #other: string[] = [];
  /** What was sent, by its number, with the sequence that the answer gave it. */
  readonly #sent: number[] = [];
  /** What was said for the moment and has been answered, and what was not because its connection was gone. */
  readonly #said: string[] = [];
  readonly #cutOff: string[] = [];
  /** Calls whose answer was another one than theirs. */
  readonly #wrong: string[] = [];
  /** When each flip was asked for, and when the client spoke on the other connection. */
  readonly #flips: [number, number][] = [];
  /** How long each answer took, in milliseconds. */
  readonly #answered: number[] = [];
  #going = true;
  #speaking = Promise.resolve();

  constructor(url: string, name: string) {
    this.#client = new Client({ url, backOff: BACK_OFF });
    this.#name = name;
  }

  /** Signs in, enters the room, and listens from then on. */
  async enter(handle: string): Promise<string> {
    const client = this.#client;
    await client.connect();
    await client.loginGuest({ secret: randomBytes(16).toString('hex'), name: this.#name });
    const { info } = await client.call('EnterRoom', { handle });
    this.#room = info.room;
    await this.#moveTo('webtransport');
    await this.caughtUp();
    client.on('MessageSent', ({ msg }) => this.#messages.push([msg.seq, msg.text, performance.now()]));
    client.on('EphemeralSent', ({ text }) => this.#moments.push(text));
    // What came before somebody listened is handed to the first who does.
    for (const name of UNHEARD_OF) client.on(name, () => undefined)();
    for (const name of UNHEARD_OF) {
      client.on(name, (event) => this.#other.push(`${name} ${JSON.stringify(event)}`));
    }
    return info.room;
  }

  /** Speaks until it is to finish. */
  begin(): void {
    this.#speaking = this.#speak();
  }

  /** Sends, says for the moment and reads, a round of them as soon as the one before is answered. */
  async #speak(): Promise<void> {
    while (this.#going) {
      const first = this.#sent.length;
      this.#sent.push(0, 0);
      await Promise.all([
        this.#send(first),
        this.#send(first + 1),
        this.#say(`${this.#name} ${String(first)}`),
        this.#read(),
        this.#echo(first),
      ]);
      await sleep(PAUSE_MS);
    }
  }

  async #send(number: number): Promise<void> {
    const text = `${this.#name} ${String(number)}`;
    const { seq } = await this.#counted(this.#client.call('SendMessage', { room: this.#room, text }));
    this.#sent[number] = seq;
  }

  /** What is for the moment is not asked again on another connection: it is answered by its own, or its caller is told. */
  async #say(text: string): Promise<void> {
    const said = this.#client.call('SendEphemeral', { room: this.#room, text }).then(
      () => this.#said.push(text),
      (error: unknown) => {
        if (!(error instanceof CallError) || error.code !== 'disconnected') throw error;
        this.#cutOff.push(text);
      },
    );
    await this.#counted(said);
  }

  async #read(): Promise<void> {
    const { user } = await this.#counted(this.#client.call('GetAccount', {}));
    if (user !== this.#client.identity?.user) this.#wrong.push(`account of ${user}`);
  }

  async #echo(number: number): Promise<void> {
    const data = new TextEncoder().encode(String(number));
    const reply = await this.#counted(this.#client.call('Echo', { data }));
    const found = new TextDecoder().decode(reply.data);
    if (found !== String(number)) this.#wrong.push(`echo ${found} of ${String(number)}`);
  }

  async #counted<T>(call: Promise<T>): Promise<T> {
    const began = performance.now();
    const reply = await call;
    this.#answered.push(performance.now() - began);
    return reply;
  }

  /** On a busy machine a way may not open in time, and is then left alone unless it is asked for again. */
  async #moveTo(to: Way): Promise<void> {
    let asked = -Infinity;
    await until(`a move to ${to}`, () => {
      if (this.#client.transport === to) return true;
      if (performance.now() - asked > ASK_AGAIN_MS) {
        asked = performance.now();
        this.#client.preferTransport(to);
      }
      return false;
    });
  }

  /** Moves the client to this way. */
  async flip(to: Way): Promise<void> {
    const began = performance.now();
    await this.#moveTo(to);
    this.#flips.push([began, performance.now()]);
  }

  /** Waits until the present connection has brought what was missed. */
  async caughtUp(): Promise<void> {
    await until('the client catches up', () => this.#client.connection.state === 'online');
  }

  /** Lets the client choose, and waits until it is on this way. */
  async find(to: Way): Promise<number> {
    const began = performance.now();
    this.#client.preferTransport('auto');
    await until(`a move to ${to}`, () => this.#client.transport === to);
    return performance.now() - began;
  }

  /** Stops speaking, and waits for all answers. Returns how much was sent, and said for the moment. */
  async finish(): Promise<object> {
    this.#going = false;
    await this.#speaking;
    return { sent: this.#sent.length, said: this.#said.length };
  }

  /** How much has come. */
  counts(): object {
    return { messages: this.#messages.length, moments: this.#moments.length };
  }

  /** Everything that was heard and done. */
  report(): object {
    return {
      messages: this.#messages,
      moments: this.#moments,
      other: this.#other,
      sent: this.#sent,
      said: this.#said,
      cut_off: this.#cutOff,
      wrong: this.#wrong,
      flips: this.#flips,
      answered: this.#answered,
      handovers: this.#client.transportStats.handovers,
    };
  }
}

/** The one player of this process. */
let player: Flips | undefined;

function flips(): Flips {
  if (player === undefined) throw new Error('nobody has entered');
  return player;
}

const COMMANDS: Record<string, (command: Record<string, string>) => unknown> = {
  enter: async ({ url = '', name = '', handle = '' }) => {
    player = new Flips(url, name);
    return { room: await player.enter(handle) };
  },
  begin: () => {
    flips().begin();
  },
  flip: ({ to }) => flips().flip(to as Way),
  catch_up: () => flips().caughtUp(),
  find: async ({ to }) => ({ took_ms: await flips().find(to as Way) }),
  finish: () => flips().finish(),
  counts: () => flips().counts(),
  report: () => flips().report(),
};

// A page has it there, and a client looks there for it.
Object.assign(globalThis, { WebTransport: await moqWebTransport() });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as Record<string, string>;
  let answer: unknown;
  try {
    answer = (await COMMANDS[command['do'] ?? '']?.(command)) ?? {};
  } catch (error) {
    answer = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
