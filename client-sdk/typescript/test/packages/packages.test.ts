// The packed package in fresh projects of every kind: installed, compiled, bundled and run.

import { rmSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { FakeServer } from '../support/fake-server.js';
import type { Packed } from './fresh.js';
import { pack, Project } from './fresh.js';

let packed: Packed;
let server: FakeServer;
const projects: Project[] = [];

beforeAll(async () => {
  packed = await pack();
  server = await FakeServer.start();
});

afterAll(async () => {
  for (const project of projects) project.remove();
  rmSync(packed.folder, { recursive: true, force: true });
  await server.stop();
});

async function fresh(name: string): Promise<Project> {
  const project = await Project.of(name, packed);
  projects.push(project);
  return project;
}

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
  let project: Project;
  beforeAll(async () => {
    project = await fresh('node');
  });

  test.each(['use.mjs', 'use.cjs'])('%s talks to a server, and ends', async (program) => {
    const printed = await project.node(program, server.url);
    expect(printed).toBe('true unauthenticated undefined 1 83 @pitturu/client');
  });

  test('a client that is closed keeps no program running', async () => {
    expect(await project.node('gone.mjs', server.url)).toBe('');
  });

  test('there is nothing that it depends on', async () => {
    const tree = await project.run('npm', ['ls', '--json', '--all']);
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
  let project: Project;
  beforeAll(async () => {
    project = await fresh('types');
  });

  const flags = (module: string, resolution: string, lib: string): string[] => [
    ...STRICT,
    ...['--target', 'ES2022', '--module', module, '--moduleResolution', resolution, '--lib', lib],
    // Neither Node's types nor anybody else's, and the package's own are checked too.
    ...['--types', '', '--skipLibCheck', 'false'],
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
      await project.node('node_modules/typescript/bin/tsc', ...flags(module, how, 'ES2022'), file);
    },
  );

  test.each(['nodenext', 'bundler'])('resolution %s: what a browser has fits', async (how) => {
    const module = how === 'bundler' ? 'ESNext' : 'NodeNext';
    await project.node('node_modules/typescript/bin/tsc', ...flags(module, how, 'ES2022,DOM'), 'use-dom.ts');
  });
});

describe('bundlers', () => {
  let project: Project;
  beforeAll(async () => {
    project = await fresh('bundlers');
  });

  test.each(['vite', 'esbuild', 'esbuild-node', 'webpack', 'webpack-node'])(
    'what %s makes has no warnings, and runs',
    async (bundler) => {
      const printed = await project.node('bundle.mjs', bundler);
      expect(printed).not.toMatch(/warn/i);
      const bundle = join(project.folder, 'out', `${bundler}.js`);
      expect(await project.node('run.mjs', bundle, server.url)).toBe('signed in after undefined');
    },
  );
});

test('jest with jsdom runs it as it comes', async () => {
  const project = await fresh('jest');
  await project.run(process.execPath, ['node_modules/jest/bin/jest.js'], { SERVER_URL: server.url });
});
