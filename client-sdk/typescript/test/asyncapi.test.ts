import { readFileSync } from 'node:fs';

import { Parser } from '@asyncapi/parser';
import { expect, test } from 'vitest';

import { EVENTS, METHODS } from '../src/generated/tables.js';
import { ROOT } from './support/vectors.js';

/** Diagnostics from here on are advice. */
const WARNING = 1;

test('asyncapi.yaml is a valid AsyncAPI 3 document with every method and event', async () => {
  const text = readFileSync(new URL('schemas/asyncapi.yaml', ROOT), 'utf8');
  const { document, diagnostics } = await new Parser().parse(text);
  const faults = diagnostics.filter(({ severity }) => (severity as number) < WARNING);
  expect(faults.map(({ message, path }) => `${path.join('.')}: ${message}`)).toStrictEqual([]);
  if (document === undefined) throw new Error('there is no document');
  expect(document.version()).toBe('3.0.0');
  const operations = document.operations().all();
  const received = operations.filter((operation) => operation.isReceive()).map((each) => each.id());
  const sent = operations.filter((operation) => operation.isSend()).map((each) => each.id());
  expect(received).toEqual(expect.arrayContaining(Object.keys(METHODS)));
  expect(sent).toEqual(expect.arrayContaining(Object.keys(EVENTS)));
}, 180_000);

test('api.json names every method, and its references lead somewhere', () => {
  const api = JSON.parse(readFileSync(new URL('schemas/api.json', ROOT), 'utf8')) as {
    methods: { name: string; number: number }[];
    $defs: Record<string, unknown>;
  };
  expect(api.methods.map(({ name }) => name)).toStrictEqual(Object.keys(METHODS));
  const references = JSON.stringify(api).match(/"\$ref":"[^"]+"/g) ?? [];
  expect(references.length).toBeGreaterThan(100);
  for (const reference of references) {
    const name = /#\/\$defs\/(\w+)"$/.exec(reference)?.[1] ?? reference;
    expect(api.$defs, reference).toHaveProperty(name);
  }
});
