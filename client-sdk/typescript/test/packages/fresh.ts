// Fresh projects, in which the packed package is installed as its users install it.

import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));

const run = promisify(execFile);

/** The packed package. */
export interface Packed {
  /** Path of the archive. */
  readonly archive: string;
  /** Names of the files in it. */
  readonly files: readonly string[];
  readonly folder: string;
}

/** Packs the built package. */
export async function pack(): Promise<Packed> {
  const folder = mkdtempSync(join(tmpdir(), 'pitturu-packed-'));
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    cwd: PACKAGE,
  });
  const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
  return { archive: join(folder, filename), files: files.map(({ path }) => path), folder };
}

/** A copy of one of the folders of `projects/`, with its packages and the packed one. */
export class Project {
  readonly folder: string;

  private constructor(name: string) {
    this.folder = mkdtempSync(join(tmpdir(), `pitturu-${name}-`));
    cpSync(join(PACKAGE, 'test/packages/projects', name), this.folder, { recursive: true });
  }

  static async of(name: string, packed: Packed): Promise<Project> {
    const project = new Project(name);
    await project.run('npm', [
      'install',
      '--no-audit',
      '--no-fund',
      '--no-package-lock',
      '--prefer-offline',
      packed.archive,
    ]);
    return project;
  }

  /** Runs a program in the project, and gives what it has printed. What it prints when it fails is in the error. */
  async run(program: string, given: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
    const inherited = { ...process.env };
    // Neither the test runner's settings nor its place are those of a user.
    for (const name of ['NODE_ENV', 'VITEST', 'NODE_OPTIONS']) Reflect.deleteProperty(inherited, name);
    try {
      const { stdout } = await run(program, [...given], {
        cwd: this.folder,
        env: { ...inherited, CI: 'true', ...env },
        timeout: 240_000,
        maxBuffer: 2 ** 26,
      });
      return stdout.trim();
    } catch (error) {
      const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
      throw new Error(`${program} ${given.join(' ')} failed:\n${stdout}\n${stderr}`, { cause: error });
    }
  }

  node(...given: string[]): Promise<string> {
    return this.run(process.execPath, given);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
