// What `npm pack` makes in a fresh clone.

import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { expect, test } from 'vitest';

const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));

const run = promisify(execFile);

test('it is built when nothing was built before', async () => {
  const clone = mkdtempSync(join(tmpdir(), 'pitturu-clone-'));
  try {
    for (const name of [
      'src',
      'package.json',
      'README.md',
      'tsconfig.json',
      'tsconfig.build.json',
      'tsconfig.cjs.json',
    ]) {
      cpSync(join(PACKAGE, name), join(clone, name), { recursive: true });
    }
    symlinkSync(join(PACKAGE, 'node_modules'), join(clone, 'node_modules'));
    await run('npm', ['pack'], { cwd: clone });
    const { stdout } = await run('tar', ['-tzf', 'pitturu-client-0.1.0.tgz'], { cwd: clone });
    for (const name of ['index.js', 'node.js', 'node.d.ts', 'cjs/node.js', 'cjs/package.json']) {
      expect(stdout.split('\n')).toContain(`package/dist/${name}`);
    }
  } finally {
    rmSync(clone, { recursive: true, force: true });
  }
});
