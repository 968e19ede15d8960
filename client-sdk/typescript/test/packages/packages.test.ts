// The packed package in fresh projects of every kind: installed, compiled, bundled and run.

import { rmSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { FakeServer } from '../support/fake-server.js';
import type { Packed } from './fresh.js';
import { pack, Project } from './fresh.js';

let packed: Packed;
let server: FakeServer;
/** Installed side by side: most of that is waiting for the registry. */
let projects: Record<'node' | 'types' | 'bundlers' | 'jest', Project>;

beforeAll(async () => {
  packed = await pack();
  server = await FakeServer.start();
  const [node, types, bundlers, jest] = await Promise.all([
    Project.of('node', packed),
    Project.of('types', packed),
    Project.of('bundlers', packed),
    Project.of('jest', packed),
  ]);
  projects = { node, types, bundlers, jest };
});

afterAll(async () => {
  for (const project of Object.values(projects)) project.remove();
  rmSync(packed.folder, { recursive: true, force: true });
  await server.stop();
});

test('it holds the built code, its types and its manual, and nothing else', () => {
  for (const name of [
    'README.md',
    'package.json',
    'dist/index.js',
    'dist/node.d.ts',
    'dist/cjs/package.json',
  ]) {
    expect(packed.files).toContain(name);
  }
  const allowed = /^(dist\/.+\.(js|d\.ts|js\.map)|dist\/cjs\/package\.json|README\.md|package\.json)$/;
  for (const name of packed.files) expect(name).toMatch(allowed);
});

describe('Node', () => {
  test.each(['use.mjs', 'use.cjs'])('%s talks to a server, and ends', async (program) => {
    const printed = await projects.node.node(program, server.url);
    expect(printed).toBe('true unauthenticated undefined 1 83 @pitturu/client');
  });

  test('a client that is closed keeps no program running', async () => {
    expect(await projects.node.node('gone.mjs', server.url)).toBe('');
  });

  test('there is nothing that it depends on', async () => {
    const tree = await projects.node.run('npm', ['ls', '--json', '--all']);
    const { dependencies } = JSON.parse(tree) as {
      dependencies: Record<string, { dependencies?: Record<string, unknown> }>;
    };
    expect(
      Object.keys(dependencies['@pitturu/client']?.dependencies ?? {}).filter((name) => name !== 'ws'),
    ).toEqual([]);
  });
});

describe('TypeScript', () => {
  const STRICT = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess'];
  const flags = (module: string, resolution: string, lib: string): string[] => [
    ...STRICT,
    ...['--target', 'ES2022', '--module', module, '--moduleResolution', resolution, '--lib', lib],
    // The project has no other package's types, and those of this one are checked too.
    ...['--skipLibCheck', 'false'],
  ];

  test.each([
    ['Node16', 'node16', 'use.ts'],
    ['Node16', 'node16', 'use-cjs.cts'],
    ['NodeNext', 'nodenext', 'use.ts'],
    ['NodeNext', 'nodenext', 'use-cjs.cts'],
    ['ESNext', 'bundler', 'use.ts'],
    ['Preserve', 'bundler', 'use.ts'],
  ])(
    'module %s, resolution %s: %s compiles without types of a browser or of Node',
    async (module, how, file) => {
      await projects.types.node('node_modules/typescript/bin/tsc', ...flags(module, how, 'ES2022'), file);
    },
  );

  test.each(['nodenext', 'bundler'])('resolution %s: what a browser has fits', async (how) => {
    const module = how === 'bundler' ? 'ESNext' : 'NodeNext';
    await projects.types.node(
      'node_modules/typescript/bin/tsc',
      ...flags(module, how, 'ES2022,DOM'),
      'use-dom.ts',
    );
  });
});

describe('bundlers', () => {
  test.each(['vite', 'esbuild', 'esbuild-node', 'webpack', 'webpack-node'])(
    'what %s makes has no warnings, and runs',
    async (bundler) => {
      const printed = await projects.bundlers.node('bundle.mjs', bundler);
      expect(printed).not.toMatch(/warn/i);
      const bundle = join(projects.bundlers.folder, 'out', `${bundler}.js`);
      expect(await projects.bundlers.node('run.mjs', bundle, server.url)).toBe('signed in after undefined');
    },
  );
});

test('jest with jsdom runs it as it comes', async () => {
  await projects.jest.run(process.execPath, ['node_modules/jest/bin/jest.js'], { SERVER_URL: server.url });
});
