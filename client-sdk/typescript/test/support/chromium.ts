// Finds a Chromium, or says loudly that what needs one is left out.

import { accessSync, appendFileSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

function find(): string | undefined {
  const named = process.env['PITTURU_CHROMIUM'];
  if (named !== undefined && named !== '') return named;
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders
    .flatMap((folder) => NAMES.map((name) => join(folder, name)))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** The program of a Chromium. Without one the caller leaves its tests out; with PITTURU_REQUIRE_ALL=1 that is an error. */
export function chromium(what: string): string | undefined {
  const program = find();
  if (program !== undefined) return program;
  const reason = `${what}: install Chromium, or name its program in PITTURU_CHROMIUM`;
  console.error(`\n!!! LEFT OUT: ${reason}\n`);
  const list = process.env['PITTURU_LEFT_OUT'];
  if (list !== undefined && list !== '') appendFileSync(list, `${reason}\n`);
  if (process.env['PITTURU_REQUIRE_ALL'] === '1') throw new Error(`nothing may be left out: ${reason}`);
  return undefined;
}
