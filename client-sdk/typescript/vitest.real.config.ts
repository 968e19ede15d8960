import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/real/**/*.test.ts'],
    testTimeout: 120_000,
    fileParallelism: false,
    // It comes as TypeScript, but for its native part.
    server: { deps: { inline: ['@moq/web-transport'], external: [/napi\.cjs$/] } },
  },
});
