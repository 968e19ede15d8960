import { readFileSync } from 'node:fs';

/** A JSON value in which `{"$bin": "hex"}` stands for opaque bytes. */
type Json = null | boolean | number | string | Json[] | { [field: string]: Json };

export interface Encoded {
  hex: string;
  value: Json;
}

export interface MethodVectors {
  number: number;
  name: string;
  requests: Encoded[];
  replies: Encoded[];
}

export interface EventVectors {
  number: number;
  name: string;
  bodies: Encoded[];
}

export interface FrameVector {
  frame: string;
  side: 'client' | 'server';
  hex: string;
  fields: Record<string, Json>;
}

export interface MalformedVector {
  name: string;
  side: 'client' | 'server';
  hex: string;
  zeros: number;
  error: string;
}

/** The project's top folder. */
export const ROOT = new URL('../../../../', import.meta.url);

function read(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`schemas/vectors/${name}`, ROOT), 'utf8'));
}

export const methodVectors = read('methods.json') as MethodVectors[];
export const eventVectors = read('events.json') as EventVectors[];
export const frameVectors = read('frames.json') as FrameVector[];
export const malformedVectors = read('malformed.json') as MalformedVector[];

/** The value with real bytes in it. */
export function live(value: Json): unknown {
  if (Array.isArray(value)) return value.map(live);
  if (typeof value !== 'object' || value === null) return value;
  const bin = value['$bin'];
  if (typeof bin === 'string') return fromHex(bin);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, live(item)]));
}

export function fromHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
