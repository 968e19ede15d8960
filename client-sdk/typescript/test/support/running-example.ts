// One of the examples as a process of its own, as in somebody's terminal.

import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { until } from './players.js';

/** A running example and what it has printed. */
export class RunningExample {
  printed = '';
  readonly process: ChildProcessWithoutNullStreams;
  readonly #gone: Promise<number | null>;

  /** Starts the example of this file with these arguments, and these variables beside those of the tests. */
  constructor(file: string, given: readonly string[], variables: Record<string, string> = {}) {
    const path = fileURLToPath(new URL(`../../examples/${file}`, import.meta.url));
    this.process = spawn(process.execPath, [path, ...given], { env: { ...process.env, ...variables } });
    const keep = (data: Buffer): void => {
      this.printed += data.toString();
    };
    this.process.stdout.on('data', keep);
    this.process.stderr.on('data', keep);
    this.#gone = new Promise((resolve) => this.process.once('exit', resolve));
  }

  say(text: string): void {
    this.process.stdin.write(`${text}\n`);
  }

  async sees(text: string): Promise<void> {
    await until(`${text} is shown`, () => this.printed.includes(text)).catch((error: unknown) => {
      throw new Error(`${String(error)} in:\n${this.printed}`);
    });
  }

  /** Control-D, as the end of what is typed. */
  leave(): Promise<number | null> {
    this.process.stdin.end();
    return this.#gone;
  }

  interrupt(): Promise<number | null> {
    this.process.kill('SIGINT');
    return this.#gone;
  }

  /** Its exit code, when it ends by itself. */
  ended(): Promise<number | null> {
    return this.#gone;
  }
}
