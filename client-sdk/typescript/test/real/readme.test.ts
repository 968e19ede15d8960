// Runs what the README shows, as it stands there, twice: a second run must work too.

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { RealServer } from '../support/real-server.js';

const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));
const ADDRESS = 'ws://127.0.0.1:7350';
const run = promisify(execFile);

/** The programs of the README: its blocks that import the package. */
const programs = [...readFileSync(join(PACKAGE, 'README.md'), 'utf8').matchAll(/```js\n(.*?)```/gs)]
  .map(([, code = '']) => code)
  .filter((code) => code.includes("from '@pitturu/client'"));

let server: RealServer;
let folder: string;

beforeAll(async () => {
  server = await RealServer.start();
  folder = mkdtempSync(join(tmpdir(), 'pitturu-readme-'));
  mkdirSync(join(folder, 'node_modules/@pitturu'), { recursive: true });
  symlinkSync(PACKAGE, join(folder, 'node_modules/@pitturu/client'));
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await server.stop();
});

async function printed(code: string): Promise<string> {
  expect(code).toContain(ADDRESS);
  writeFileSync(join(folder, 'program.mjs'), code.replaceAll(ADDRESS, server.url));
  return (await run(process.execPath, ['program.mjs'], { cwd: folder, timeout: 30_000 })).stdout;
}

test('the first ten lines chat, again and again', async () => {
  const [chat = ''] = programs;
  for (let times = 0; times < 3; times += 1) expect(await printed(chat)).toBe('Mina: hello\n');
});

test('the program with a token store stays the same player, and goes on where it stood', async () => {
  const [, staying = ''] = programs;
  const first = await printed(staying);
  const second = await printed(staying);
  const third = await printed(staying);
  const player = /signed in as \w{16}/;
  expect(first).toMatch(player);
  expect(player.exec(second)?.[0]).toBe(player.exec(first)?.[0]);
  expect([first, second, third].map((text) => /^(\d+) run at/m.exec(text)?.[1])).toStrictEqual([
    '1',
    '2',
    '3',
  ]);
});

test('there are two of them', () => {
  expect(programs).toHaveLength(2);
});
