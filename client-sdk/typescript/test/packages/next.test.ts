// Next.js, which takes longer to install than all others together: make test-typescript-next.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { FakeServer } from '../support/fake-server.js';
import { pack, Project } from './fresh.js';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

test.each(['--turbopack', '--webpack'])(
  'a page that is rendered on the server talks to the game’s server: %s',
  async (bundler) => {
    const packed = await pack();
    const server = await FakeServer.start();
    const project = await Project.of('next', packed);
    const port = await freePort();
    try {
      if (process.versions.node.startsWith('20.')) await project.run('npm', ['install', '--no-audit', 'ws']);
      const built = await project.run('npx', ['next', 'build', bundler], { NEXT_TELEMETRY_DISABLED: '1' });
      expect(built).not.toMatch(/Module not found|Critical dependency/);
      const next = spawn(process.execPath, ['node_modules/next/dist/bin/next', 'start', '-p', String(port)], {
        cwd: project.folder,
        env: { ...process.env, NODE_ENV: 'production', SERVER_URL: server.url },
        stdio: 'ignore',
      });
      try {
        let page = '';
        for (let tries = 0; page === '' && tries < 200; tries += 1) {
          page = await fetch(`http://127.0.0.1:${String(port)}/`).then(
            (response) => response.text(),
            () => sleep(100, ''),
          );
        }
        expect(page.replaceAll('<!-- -->', '')).toContain('role: player, state: new');
      } finally {
        next.kill();
      }
    } finally {
      project.remove();
      rmSync(packed.folder, { recursive: true, force: true });
      await server.stop();
    }
  },
);
