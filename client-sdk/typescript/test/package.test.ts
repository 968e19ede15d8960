import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, expect, test } from 'vitest';

const PACKAGE = fileURLToPath(new URL('../', import.meta.url));

let folder: string;
let names: string[];

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Installs the packed package into an empty project, with its one dependency and `ws` beside it. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pitturu-package-'));
  const packed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    cwd: PACKAGE,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [{ filename, files }] = JSON.parse(packed) as [{ filename: string; files: { path: string }[] }];
  names = files.map(({ path }) => path);
  mkdirSync(join(folder, 'node_modules/@pitturu/client'), { recursive: true });
  run('tar', '-xzf', filename, '--strip-components=1', '-C', 'node_modules/@pitturu/client');
  for (const name of ['@msgpack', 'ws', '@types']) {
    symlinkSync(join(PACKAGE, 'node_modules', name), join(folder, 'node_modules', name));
  }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
}, 120_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

test('the package holds the built code, its types and its manual, and nothing else', () => {
  expect(names).toEqual(
    expect.arrayContaining(['README.md', 'package.json', 'dist/index.js', 'dist/index.d.ts', 'dist/node.js']),
  );
  for (const name of names) expect(name).toMatch(/^(dist\/.+\.(js|d\.ts|js\.map)|README\.md|package\.json)$/);
});

test('it has one dependency', () => {
  const manifest = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  expect(Object.keys(manifest.dependencies)).toStrictEqual(['@msgpack/msgpack']);
});

test('it is imported as a module in Node, and tells what went wrong in a typed way', () => {
  writeFileSync(
    join(folder, 'use.mjs'),
    `import { Client, CallError, METHODS } from '@pitturu/client';
     const client = new Client({ url: 'ws://127.0.0.1:9', deadlineMs: 20 });
     const error = await client.call('GetAccount', {}).catch((reason) => reason);
     client.close();
     console.log(error instanceof CallError, error.code, METHODS.SendMessage.number);`,
  );
  expect(run(process.execPath, 'use.mjs').trim()).toBe('true deadline 83');
});

test('it is imported as a module where there is no Node', () => {
  writeFileSync(
    join(folder, 'plain.mjs'),
    `import { Client } from './node_modules/@pitturu/client/dist/index.js';
     console.log(typeof Client);`,
  );
  expect(run(process.execPath, 'plain.mjs').trim()).toBe('function');
});

test.each(['NodeNext', 'bundler'])(
  'its types are found with module resolution %s',
  (resolution) => {
    writeFileSync(
      join(folder, 'use.ts'),
      `import { Client } from '@pitturu/client';
     import type { Message } from '@pitturu/client';
     const client = new Client({ url: 'ws://127.0.0.1:9' });
     export const read = async (room: string): Promise<Message[]> =>
       (await client.call('ReadHistory', { room, from: { before: 3 } })).messages;
     // @ts-expect-error: text is missing
     void client.call('SendMessage', { room: 'x' });`,
    );
    const module = resolution === 'bundler' ? 'ESNext' : 'NodeNext';
    const tsc = join(PACKAGE, 'node_modules/typescript/bin/tsc');
    const flags = ['--noEmit', '--strict', '--target', 'ES2022', '--lib', 'ES2023,DOM', '--types', 'node'];
    run(process.execPath, tsc, ...flags, '--module', module, '--moduleResolution', resolution, 'use.ts');
  },
  60_000,
);
