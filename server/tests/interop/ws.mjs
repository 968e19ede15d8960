// npm `ws` against the server: node ws.mjs URL [CERTIFICATE]
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import * as msgpack from "@msgpack/msgpack";
import WebSocket from "ws";
import { concat, echo, ECHO_SIZES, hello, Inbox, pattern, SUBPROTOCOL } from "./talk.mjs";

const [url, certificate] = process.argv.slice(2);
const trust = certificate ? { ca: readFileSync(certificate) } : {};
const { encode } = msgpack;

async function connect(options = {}) {
  const socket = new WebSocket(url, SUBPROTOCOL, { ...trust, ...options });
  const inbox = new Inbox(msgpack, (bytes) => socket.send(bytes));
  socket.on("message", (data, isBinary) => {
    assert.ok(isBinary, "the server sends binary messages only");
    inbox.receive(new Uint8Array(data));
  });
  await once(socket, "open");
  return { socket, inbox };
}

async function talks() {
  const { socket, inbox } = await connect();
  assert.equal(socket.protocol, SUBPROTOCOL);
  assert.equal(socket.extensions, "", "no compression is agreed");
  socket.send(hello(encode));
  await inbox.greeted();
  let call = 0;
  for (const size of ECHO_SIZES) {
    call += 1;
    socket.send(echo(encode, call, pattern(size)));
    await inbox.echoed(call, pattern(size));
  }

  const together = [1, 2, 3, 4].map((step) => echo(encode, call + step, pattern(50000)));
  socket.send(concat(together));
  for (let step = 0; step < 4; step += 1) {
    call += 1;
    await inbox.echoed(call, pattern(50000));
  }

  const pong = once(socket, "pong");
  socket.ping("are you there?");
  const [answer] = await pong;
  assert.equal(answer.toString(), "are you there?");

  call += 1;
  const whole = echo(encode, call, pattern(1000));
  for (let at = 0; at < whole.length; at += 100) {
    const last = at + 100 >= whole.length;
    socket.send(whole.subarray(at, at + 100), { fin: last, binary: true });
    if (!last) socket.ping();
  }
  await inbox.echoed(call, pattern(1000));

  const closed = once(socket, "close");
  socket.close(4000, "bye");
  const [code] = await closed;
  assert.equal(code, 4000);
}

async function textIsRefused() {
  const { socket } = await connect();
  const closed = once(socket, "close");
  socket.send("text");
  const [code] = await closed;
  assert.equal(code, 1003);
}

async function theSubprotocolIsRequired() {
  const socket = new WebSocket(url, { ...trust });
  const [error] = await once(socket, "error");
  assert.match(error.message, /400/);
}

async function compressionIsDeclined() {
  const { socket } = await connect({ perMessageDeflate: { threshold: 0 } });
  assert.equal(socket.extensions, "");
  socket.terminate();
}

await talks();
await textIsRefused();
await theSubprotocolIsRequired();
await compressionIsDeclined();
console.log("ok");
