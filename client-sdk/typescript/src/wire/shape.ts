import { SHAPES } from '../generated/shapes.js';
import { LIMITS } from '../generated/wire.js';
import { Float } from './reader.js';

const ID = /^[0-9a-hjkmnp-tv-z]{16}$/;

/** Whether a text is an id. */
export function isId(text: string): boolean {
  return ID.test(text);
}

/** A field that does not hold what its type says. */
export class Misfit extends Error {
  override readonly name = 'Misfit';

  constructor(
    readonly field: string,
    readonly expected: string,
  ) {
    super(`${field === '' ? 'the body' : field}: expected ${expected}`);
  }
}

/** Whether a value is a Uint8Array, also one that another realm made, as test environments do. */
export function isBytes(value: unknown): value is Uint8Array {
  return Object.prototype.toString.call(value) === '[object Uint8Array]';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !isBytes(value) &&
    !(value instanceof Float)
  );
}

/** Checks a body against its type. Fields that the type does not have are let through: a newer side may send them. */
export function checkShape(type: string, value: unknown): void {
  record(type, value, '');
}

function record(type: string, value: unknown, path: string): void {
  const shape = Object.hasOwn(SHAPES, type) ? SHAPES[type] : undefined;
  if (shape === undefined) throw new Misfit(path, `a type that is known, not ${type}`);
  if (!isRecord(value)) throw new Misfit(path, 'a map');
  for (const [name, expected] of Object.entries(shape)) {
    const optional = expected.endsWith('?');
    const field = path === '' ? name : `${path}.${name}`;
    const held = Object.hasOwn(value, name) ? value[name] : undefined;
    if (held === undefined) {
      if (!optional) throw new Misfit(field, 'a value');
      continue;
    }
    if (held === null) throw new Misfit(field, optional ? 'a value, or nothing at all' : 'a value');
    content(optional ? expected.slice(0, -1) : expected, held, field);
  }
}

function content(expected: string, held: unknown, path: string): void {
  if (expected.endsWith('[]')) {
    if (!Array.isArray(held)) throw new Misfit(path, 'a list');
    const item = expected.slice(0, -2);
    held.forEach((value, index) => {
      content(item, value, `${path}[${String(index)}]`);
    });
    return;
  }
  switch (expected) {
    case 'text':
      return text(held, path);
    case 'id':
      if (typeof held !== 'string' || !isId(held)) throw new Misfit(path, 'an id');
      return;
    case 'bool':
      if (typeof held !== 'boolean') throw new Misfit(path, 'true or false');
      return;
    case 'bin':
      if (!isBytes(held)) throw new Misfit(path, 'bytes');
      return;
    case 'map':
      if (!isRecord(held)) throw new Misfit(path, 'a map');
      return;
    case 'u16':
      return integer(held, 0xffff, path);
    case 'u32':
      return integer(held, 0xffffffff, path);
    case 'u53':
      return integer(held, Number.MAX_SAFE_INTEGER, path);
    case 'i53':
      return integer(held, Number.MAX_SAFE_INTEGER, path, Number.MIN_SAFE_INTEGER);
    default:
      record(expected, held, path);
  }
}

function text(held: unknown, path: string): void {
  if (typeof held !== 'string') throw new Misfit(path, 'text');
}

function integer(held: unknown, max: number, path: string, min = 0): void {
  if (typeof held !== 'number' || !Number.isSafeInteger(held) || held < min || held > max) {
    throw new Misfit(path, `an integer from ${String(min)} to ${String(max)}`);
  }
}

/**
 * Checks that a value can travel unharmed: plain data only, whole numbers that JavaScript keeps exactly, and text
 * without lone surrogates, which UTF-8 cannot express.
 */
export function checkSendable(value: unknown, path = '', depth = 1): void {
  if (value === null || value === undefined || typeof value === 'boolean') return;
  if (typeof value === 'string') {
    if (hasLoneSurrogate(value)) throw new Misfit(path, 'text without lone surrogates');
    return;
  }
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new Misfit(path, 'an integer below 2^53');
    return;
  }
  if (isBytes(value)) return;
  if (depth > LIMITS.NESTING_MAX) throw new Misfit(path, `nesting of at most ${String(LIMITS.NESTING_MAX)}`);
  if (Array.isArray(value)) {
    value.forEach((item, index) => {
      checkSendable(item, `${path}[${String(index)}]`, depth + 1);
    });
    return;
  }
  if (!isPlain(value)) throw new Misfit(path, 'plain data');
  for (const [name, item] of Object.entries(value)) {
    if (hasLoneSurrogate(name)) throw new Misfit(path, 'field names without lone surrogates');
    checkSendable(item, path === '' ? name : `${path}.${name}`, depth + 1);
  }
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (!isRecord(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** In Unicode mode a pair is one letter, so this finds those alone. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;

function hasLoneSurrogate(text: string): boolean {
  return LONE_SURROGATE.test(text);
}
