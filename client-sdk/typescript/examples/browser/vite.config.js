import { fileURLToPath } from 'node:url';

import { defineConfig } from 'vite';

const built = fileURLToPath(new URL('../../dist/index.js', import.meta.url));

export default defineConfig({
  resolve: { alias: { '@pitturu/client': built } },
  build: { target: 'es2022' },
});
