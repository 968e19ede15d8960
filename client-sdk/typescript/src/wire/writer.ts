import { encode as pack } from '@msgpack/msgpack';

import { LIMITS } from '../generated/wire.js';
import { checkSendable } from './shape.js';

/** The MessagePack bytes of a body. Throws Misfit for what cannot travel unharmed. */
export function encode(value: unknown): Uint8Array {
  checkSendable(value);
  return pack(value, { ignoreUndefined: true, maxDepth: LIMITS.NESTING_MAX + 1 });
}

/** The parts one after another. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((length, part) => length + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.byteLength;
  }
  return out;
}

/** An array of these encoded elements. */
export function arrayOf(elements: readonly Uint8Array[]): Uint8Array {
  return joined([Uint8Array.of(0x90 | elements.length), ...elements]);
}
