import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/packages/packages.test.ts', 'test/packages/prepack.test.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
