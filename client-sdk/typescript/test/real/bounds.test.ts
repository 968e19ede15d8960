// Every frame that a server can send, as long as it can be, made at test time by the generator of schemas.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { LIMITS } from '../../src/generated/wire.js';
import { readServerFrame } from '../../src/wire/frame.js';
import { Reader } from '../../src/wire/reader.js';
import { checkShape } from '../../src/wire/shape.js';
import { fromHex, ROOT } from '../support/vectors.js';

interface Fullest {
  readonly frame: string;
  readonly body: string;
  readonly hex: string;
}

function fullest(): Fullest[] {
  const target = process.env['CARGO_TARGET_DIR'] ?? fileURLToPath(new URL('target', ROOT));
  const program = join(target, 'debug', 'pitturu-schemas');
  const text = execFileSync(program, ['fullest'], { encoding: 'utf8', maxBuffer: 2 ** 30 });
  return JSON.parse(text) as Fullest[];
}

test('the longest of each frame is read, and holds what its type says', () => {
  const frames = fullest();
  expect(frames.length).toBeGreaterThan(40);
  for (const { frame: kind, body, hex } of frames) {
    const bytes = fromHex(hex);
    expect(bytes.byteLength, body).toBeLessThanOrEqual(LIMITS.FRAME_BYTES_MAX);
    const { frame, next } = readServerFrame(bytes);
    expect(next).toBe(bytes.byteLength);
    expect(frame.kind).toBe(kind);
    if (frame.kind !== 'reply' && frame.kind !== 'event') continue;
    const held: unknown = frame.body instanceof Uint8Array ? new Reader(frame.body).map(1) : frame.body;
    checkShape(body, held);
  }
});
