// Runs `flips.ts` beside it, with what that takes of the package and of its tests, in a plain Node: vite compiles it as it is needed.

import { fileURLToPath } from 'node:url';

import { createServer } from 'vite';

/** Node's `require`, for the native part of a package that comes as TypeScript: it is no module. */
const nativePart = {
  name: 'native-part',
  enforce: 'pre',
  load: (id) =>
    id.endsWith('/napi.cjs')
      ? `import { createRequire } from 'node:module'; export default createRequire(${JSON.stringify(id)})(${JSON.stringify(id)});`
      : undefined,
};

const vite = await createServer({
  root: fileURLToPath(new URL('../../', import.meta.url)),
  configFile: false,
  logLevel: 'error',
  appType: 'custom',
  server: { middlewareMode: true, ws: false, watch: null },
  optimizeDeps: { noDiscovery: true },
  ssr: { noExternal: ['@moq/web-transport'] },
  plugins: [nativePart],
});
await vite.ssrLoadModule('/test/lossy/flips.ts');
