// Starts the real server, kills it, and starts it again on the same port and data.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { ROOT } from './vectors.js';

const START_MS_MAX = 60_000;

/** Rates far above what the tests need: they measure the client, not the limiter. */
const FAST = ['chat', 'write', 'read', 'free'].flatMap((name) => [
  `limits.${name}_per_second=100000`,
  `limits.${name}_burst=100000`,
]);

/** A program that `make build` has built. */
export function programOf(name: string): string {
  const target = process.env['CARGO_TARGET_DIR'] ?? fileURLToPath(new URL('target', ROOT));
  const path = join(target, 'debug', name);
  if (existsSync(path)) return path;
  throw new Error(`there is no program at ${path}: make build`);
}

function program(): string {
  return process.env['PITTURU_SERVER_BIN'] ?? programOf('pitturu');
}

/** How often a server is started on other ports because those were taken. */
const STARTS_MAX = 5;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class RealServer {
  #process: ChildProcess | undefined;
  #log = '';

  private constructor(
    readonly port: number,
    readonly opsPort: number,
    readonly folder: string,
    readonly settings: readonly string[],
  ) {}

  static async start(settings: readonly string[] = []): Promise<RealServer> {
    const folder = await mkdtemp(join(tmpdir(), 'pitturu-real-'));
    for (let left = STARTS_MAX; ; left -= 1) {
      const server = new RealServer(await freePort(), await freePort(), folder, [...FAST, ...settings]);
      try {
        await server.run();
        return server;
      } catch (error) {
        // Somebody else was given the port between the look for a free one and its use.
        if (left <= 1 || !server.#log.includes('Address already in use')) throw error;
      }
    }
  }

  get url(): string {
    return `ws://127.0.0.1:${String(this.port)}`;
  }

  /** Starts the process and waits until it is healthy. */
  async run(): Promise<void> {
    // Without QUIC unless a test asks for it: clients would move there while it looks at their WebSocket.
    const settings = ['listen.quic=', `ops.listen=127.0.0.1:${String(this.opsPort)}`, ...this.settings];
    const child = spawn(
      program(),
      [
        '--dev',
        '--listen',
        `127.0.0.1:${String(this.port)}`,
        '--data',
        this.folder,
        ...settings.flatMap((setting) => ['--set', setting]),
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#process = child;
    child.stderr.on('data', (data: Buffer) => {
      this.#log = `${this.#log}${data.toString()}`.slice(-20_000);
    });
    const since = Date.now();
    while (!(await this.#isHealthy())) {
      if (child.exitCode !== null || Date.now() - since > START_MS_MAX) {
        throw new Error(`the server did not start:\n${this.#log}`);
      }
      await sleep(20);
    }
  }

  /** A page of the operations port. */
  async page(path: string): Promise<string> {
    const page = await fetch(`http://127.0.0.1:${String(this.opsPort)}${path}`);
    return page.text();
  }

  async #isHealthy(): Promise<boolean> {
    try {
      return (await fetch(`http://127.0.0.1:${String(this.opsPort)}/health`)).ok;
    } catch {
      return false;
    }
  }

  /** Ends the process: at once and without a chance to write anything, or in order. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child?.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }

  async stop(): Promise<void> {
    await this.end('SIGTERM');
    await rm(this.folder, { recursive: true, force: true });
  }
}
