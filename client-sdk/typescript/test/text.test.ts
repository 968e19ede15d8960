// Text of strangers, where it is printed.

import { readFileSync } from 'node:fs';

import { expect, test } from 'vitest';

import { oneLine } from '../src/index.js';

test('nothing commands a terminal, breaks the line or turns the writing around', () => {
  const controls = [...Array(0x20).keys(), ...Array.from({ length: 0x21 }, (_, at) => 0x7f + at)];
  for (const code of [...controls, 0x61c, 0x200e, 0x2028, 0x2029, 0x202e, 0x2066, 0x2069]) {
    expect(['a b', 'a\ufffdb']).toContain(oneLine(`a${String.fromCodePoint(code)}b`));
  }
  const plain = '할로 \u{1f468}\u200d\u{1f469}\u200d\u{1f467} می\u200cخواهم é';
  expect(oneLine(plain)).toBe(plain);
});

test('the README cleans names and messages before it prints them', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const printing = readme.match(/console\.log\([^\n]*\.(?:name|text)\b[^\n]*/g) ?? [];
  expect(printing.length).toBeGreaterThan(2);
  for (const line of printing) {
    expect(line.match(/oneLine\(/g)?.length, line).toBe(line.match(/\.(?:name|text)\b/g)?.length);
  }
});
