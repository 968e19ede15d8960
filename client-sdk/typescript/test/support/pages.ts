// Builds a page with vite as a game would, serves it, and opens it in Chromium.

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium as playwright } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { build } from 'vite';

const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));
const TYPES: Readonly<Record<string, string>> = { '.html': 'text/html', '.js': 'text/javascript' };

/** A page that was built into a folder of its own. */
export class BuiltPage {
  private constructor(
    readonly folder: string,
    readonly script: string,
  ) {}

  /** Builds the page in `folder` of the package, against the built package. */
  static async of(folder: string): Promise<BuiltPage> {
    const out = await mkdtemp(join(tmpdir(), 'pitturu-page-'));
    await build({
      root: join(PACKAGE, folder),
      configFile: false,
      logLevel: 'error',
      resolve: { alias: { '@pitturu/client': join(PACKAGE, 'dist/index.js') } },
      build: { outDir: out, emptyOutDir: true },
    });
    const assets = await readdir(join(out, 'assets'));
    const scripts = assets.filter((name) => name.endsWith('.js'));
    const texts = await Promise.all(scripts.map((name) => readFile(join(out, 'assets', name), 'utf8')));
    return new BuiltPage(out, texts.join('\n'));
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A page in a browser. */
export class OpenPage {
  readonly faults: string[] = [];

  private constructor(
    readonly page: Page,
    readonly browser: Browser,
    readonly server: Server,
  ) {
    page.on('pageerror', (error) => this.faults.push(String(error)));
  }

  static async open(built: BuiltPage, program: string): Promise<OpenPage> {
    const server = createServer((request, response) => {
      const path = request.url === '/' ? '/index.html' : (request.url ?? '/index.html');
      readFile(join(built.folder, path)).then(
        (content) => {
          response.setHeader('content-type', TYPES[extname(path)] ?? 'application/octet-stream');
          response.end(content);
        },
        () => response.writeHead(404).end(),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const browser = await playwright.launch({ executablePath: program, args: ['--no-sandbox'] });
    const page = await browser.newPage();
    const opened = new OpenPage(page, browser, server);
    const { port } = server.address() as AddressInfo;
    await page.goto(`http://127.0.0.1:${String(port)}/`);
    return opened;
  }

  async close(): Promise<void> {
    await this.browser.close();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
