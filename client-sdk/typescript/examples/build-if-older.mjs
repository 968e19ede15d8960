// Builds the package unless what is built is newer than its sources: others may be using it.

import { spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = ['package.json', 'tsconfig.build.json', 'tsconfig.cjs.json'];
for (const name of readdirSync(join(root, 'src'), { recursive: true })) {
  if (name.endsWith('.ts')) sources.push(join('src', name));
}

/** When it was last changed; 0 when it is not there. */
const changed = (name) => statSync(join(root, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;

const newest = Math.max(...sources.map(changed));
// The last file that a build writes.
if (changed('dist/cjs/package.json') < newest) {
  const { status } = spawnSync('npm', ['run', 'build'], {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  process.exit(status ?? 1);
}
