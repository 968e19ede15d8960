// Makes a bundle of app.js in out/: node bundle.mjs vite|esbuild|esbuild-node|webpack|webpack-node
import { resolve } from 'node:path';

const bundlers = {
  async vite() {
    const { build } = await import('vite');
    await build({
      configFile: false,
      logLevel: 'warn',
      build: {
        outDir: 'out',
        target: 'es2022',
        minify: true,
        lib: { entry: 'app.js', formats: ['es'], fileName: 'vite' },
      },
    });
  },
  async esbuild(platform = 'browser') {
    const { build } = await import('esbuild');
    const { warnings } = await build({
      entryPoints: ['app.js'],
      outfile: `out/esbuild${platform === 'node' ? '-node' : ''}.js`,
      bundle: true,
      format: 'esm',
      target: 'es2022',
      platform,
      logLevel: 'warning',
    });
    if (warnings.length > 0) throw new Error(JSON.stringify(warnings));
  },
  'esbuild-node': () => bundlers.esbuild('node'),
  async webpack(target = 'web') {
    const { default: webpack } = await import('webpack');
    const filename = `webpack${target === 'node' ? '-node' : ''}.js`;
    const stats = await new Promise((done, failed) => {
      webpack(
        {
          mode: 'production',
          target: [target === 'node' ? 'node20' : 'web', 'es2022'],
          entry: './app.js',
          experiments: { outputModule: true, topLevelAwait: true },
          output: {
            path: resolve('out'),
            filename,
            library: { type: 'module' },
            module: true,
            chunkFormat: 'module',
          },
        },
        (error, made) => (error ? failed(error) : done(made)),
      );
    });
    if (stats.hasErrors() || stats.hasWarnings())
      throw new Error(stats.toString({ all: false, errors: true, warnings: true }));
  },
  'webpack-node': () => bundlers.webpack('node'),
};

await bundlers[process.argv[2]]();
