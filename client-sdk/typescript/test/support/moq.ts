// WebTransport in Node: the package @moq/web-transport, whose native part wants a newer C library than Debian 12 has.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import type { WebTransportConstructor } from '../../src/node.js';

/** The version of the C library that the package was built with. */
const NEWER = 'GLIBC_2.38';

/** What that version calls functions that all versions have, in their form of C23. */
const C23 = '__isoc23_';

/** Kinds of sections of a program file. */
const [SYMBOLS, VERSIONS, NEEDED] = [11, 0x6fffffff, 0x6ffffffe];

/** A program file of 64 bits that takes the older functions, which do the same for what it asks of them. */
function withOlderFunctions(file: Buffer): Buffer {
  const sections = Array.from({ length: file.readUInt16LE(0x3c) }, (_, at) => {
    const head = Number(file.readBigUInt64LE(0x28)) + at * file.readUInt16LE(0x3a);
    const [offset, size] = [0x18, 0x20].map((field) => Number(file.readBigUInt64LE(head + field)));
    return {
      kind: file.readUInt32LE(head + 4),
      offset: offset ?? 0,
      size: size ?? 0,
      names: file.readUInt32LE(head + 0x28),
    };
  });
  const find = (kind: number): { offset: number; size: number; names: number } => {
    const found = sections.find((section) => section.kind === kind);
    if (found === undefined) throw new Error('the native part of @moq/web-transport is another kind of file');
    return found;
  };
  const [symbols, versions, needed] = [find(SYMBOLS), find(VERSIONS), find(NEEDED)];
  const name = (section: { names: number }, at: number): string => {
    const begin = (sections[section.names]?.offset ?? 0) + at;
    return file.toString('latin1', begin, file.indexOf(0, begin));
  };
  for (let at = 0; at < symbols.size / 24; at += 1) {
    const symbol = symbols.offset + at * 24;
    const begin = file.readUInt32LE(symbol);
    if (!name(symbols, begin).startsWith(C23)) continue;
    // Its name without the beginning, in whichever version there is.
    file.writeUInt32LE(begin + C23.length, symbol);
    file.writeUInt16LE(1, versions.offset + at * 2);
  }
  for (let library = needed.offset, next = 1; next !== 0; library += next) {
    next = file.readUInt32LE(library + 12);
    let version = library + file.readUInt32LE(library + 8);
    for (let left = file.readUInt16LE(library + 2); left > 0; left -= 1) {
      // It may be missing.
      if (name(needed, file.readUInt32LE(version + 8)) === NEWER) file.writeUInt16LE(2, version + 4);
      version += file.readUInt32LE(version + 12);
    }
  }
  return file;
}

/** Where the copy lies, if there has to be one. */
function prepare(): string | undefined {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  const [major, minor] = (header.glibcVersionRuntime ?? '9').split('.').map(Number);
  if ((major ?? 0) > 2 || (minor ?? 0) >= 38) return undefined;
  const require = createRequire(import.meta.url);
  const native = require.resolve(`@moq/web-transport-linux-${process.arch}-gnu`);
  const folder = mkdtempSync(join(tmpdir(), 'pitturu-moq-'));
  const copy = join(folder, 'web-transport.node');
  writeFileSync(copy, withOlderFunctions(readFileSync(native)));
  process.env['NAPI_RS_NATIVE_LIBRARY_PATH'] = copy;
  return folder;
}

/** Its WebTransport. The package is TypeScript for a newer Node than the oldest that the SDK runs on; vitest compiles it. */
export async function moqWebTransport(): Promise<WebTransportConstructor> {
  const folder = prepare();
  (Promise as { withResolvers?: unknown }).withResolvers ??= <T>() => {
    let settle: ((value: T) => void)[] = [];
    const promise = new Promise<T>((resolve, reject) => {
      settle = [resolve, reject];
    });
    return { promise, resolve: settle[0], reject: settle[1] };
  };
  // A variable: the package is not checked together with this one. By its file, which vite compiles outside of vitest as well.
  const name = pathToFileURL(createRequire(import.meta.url).resolve('@moq/web-transport')).href;
  const { default: Session } = (await import(/* @vite-ignore */ name)) as {
    default: WebTransportConstructor;
  };
  // It is in memory now.
  if (folder !== undefined) rmSync(folder, { recursive: true });
  return Session;
}
