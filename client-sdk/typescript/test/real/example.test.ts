import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { until } from '../support/players.js';
import { RealServer } from '../support/real-server.js';

const EXAMPLE = fileURLToPath(new URL('../../examples/chat.mjs', import.meta.url));

/** A running example and what it has printed. */
class Chat {
  printed = '';
  readonly process: ChildProcessWithoutNullStreams;

  constructor(url: string, name: string) {
    this.process = spawn(process.execPath, [EXAMPLE, url, name, 'lobby']);
    const keep = (data: Buffer): void => {
      this.printed += data.toString();
    };
    this.process.stdout.on('data', keep);
    this.process.stderr.on('data', keep);
  }

  say(text: string): void {
    this.process.stdin.write(`${text}\n`);
  }

  async sees(text: string): Promise<void> {
    await until(`${text} is shown in:\n${this.printed}`, () => this.printed.includes(text));
  }

  async leave(): Promise<number | null> {
    const gone = new Promise<number | null>((resolve) => this.process.once('exit', resolve));
    this.process.stdin.end();
    return gone;
  }
}

test('two people chat in their terminals, and see the server come back', async () => {
  const server = await RealServer.start();
  const mina = new Chat(server.url, 'Mina');
  let jun: Chat | undefined;
  try {
    await mina.sees('lobby: 1 members');
    mina.say('first');
    await mina.sees('Mina: first');
    jun = new Chat(server.url, 'Jun');
    await jun.sees('Mina: first');
    await jun.sees('lobby: 2 members');
    jun.say('안녕');
    await mina.sees('Jun: 안녕');
    await server.end('SIGKILL');
    await mina.sees('connection lost');
    mina.say('said while offline');
    await server.run();
    await jun.sees('Mina: said while offline');
    expect(await jun.leave()).toBe(0);
    expect(await mina.leave()).toBe(0);
  } finally {
    mina.process.kill();
    jun?.process.kill();
    await server.stop();
  }
});
