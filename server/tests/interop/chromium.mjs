// Chromium's WebSocket against the server: node chromium.mjs PROGRAM URL...
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [executablePath, ...urls] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const bundle = require.resolve("@msgpack/msgpack").replace(/dist\.[a-z]+[/\\].*$/, "dist.umd/msgpack.min.js");
const talk = readFileSync(new URL("talk.mjs", import.meta.url), "utf8");

/** Runs in the page. */
async function converse({ url, talk }) {
  const module = URL.createObjectURL(new Blob([talk], { type: "text/javascript" }));
  const { concat, echo, ECHO_SIZES, hello, Inbox, pattern, SUBPROTOCOL } = await import(module);
  const msgpack = globalThis.MessagePack;
  const { encode } = msgpack;
  const check = (truth, what) => {
    if (!truth) throw new Error(what);
  };

  const open = (protocols) =>
    new Promise((done, fail) => {
      const socket = new WebSocket(url, protocols);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => done(socket);
      socket.onerror = () => fail(new Error("no connection"));
    });
  const closing = (socket) => new Promise((done) => (socket.onclose = (event) => done(event)));

  const socket = await open([SUBPROTOCOL]);
  check(socket.protocol === SUBPROTOCOL, "another subprotocol");
  check(socket.extensions === "", "compression was agreed");
  const inbox = new Inbox(msgpack, (bytes) => socket.send(bytes));
  socket.onmessage = ({ data }) => inbox.receive(new Uint8Array(data));
  socket.send(hello(encode));
  await inbox.greeted();
  let call = 0;
  for (const size of ECHO_SIZES) {
    call += 1;
    socket.send(echo(encode, call, pattern(size)));
    await inbox.echoed(call, pattern(size));
  }
  // Chromium sends a message of this length in several frames.
  const together = [1, 2, 3, 4].map((step) => echo(encode, call + step, pattern(60000)));
  socket.send(concat(together));
  for (let step = 0; step < 4; step += 1) {
    call += 1;
    await inbox.echoed(call, pattern(60000));
  }
  const closed = closing(socket);
  socket.close(4000, "bye");
  const { code, wasClean } = await closed;
  check(code === 4000 && wasClean, `closed with ${code}, clean: ${wasClean}`);

  const texting = await open([SUBPROTOCOL]);
  const refused = closing(texting);
  texting.send("text");
  const { code: refusal } = await refused;
  check(refusal === 1003, `text is closed with ${refusal}`);

  const without = await open([]).then(
    () => "connected",
    () => "refused",
  );
  check(without === "refused", "connected without a subprotocol");
}

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.addScriptTag({ path: bundle });
  for (const url of urls) await page.evaluate(converse, { url, talk });
  console.log("ok");
} finally {
  await browser.close();
}
