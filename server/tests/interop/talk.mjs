// The protocol as far as these tests speak it, written after docs/protocol.md with a MessagePack library only.

export const SUBPROTOCOL = "pitturu.v1";
export const ECHO_SIZES = [0, 1, 125, 126, 127, 61440];

const HELLO = 1;
const CALL = 2;
const PONG = 5;
const WELCOME = 8;
const REPLY = 9;
const PING = 13;
const ECHO = 0;

export const hello = (encode) => encode([HELLO, { v: 1, sdk: "interop/0" }]);

export const echo = (encode, call, data) => encode([CALL, call, ECHO, { data }]);

/** Bytes that show when they are cut, moved or repeated. */
export function pattern(length) {
  return Uint8Array.from({ length }, (_, index) => (index * 31) % 251);
}

export function concat(parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function same(a, b) {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/** Collects what the server says; pings are answered at once. */
export class Inbox {
  welcome = undefined;
  replies = new Map();
  #waiting = [];

  constructor(msgpack, send) {
    this.msgpack = msgpack;
    this.send = send;
  }

  receive(bytes) {
    for (const frame of this.msgpack.decodeMulti(bytes)) {
      if (frame[0] === WELCOME) this.welcome = frame[1];
      if (frame[0] === REPLY) this.replies.set(frame[1], frame[2]);
      if (frame[0] === PING) this.send(this.msgpack.encode([PONG, frame[1]]));
    }
    this.#waiting = this.#waiting.filter(({ ready, done }) => !ready() || done());
  }

  until(ready, what) {
    return new Promise((done, fail) => {
      if (ready()) return done();
      const timer = setTimeout(() => fail(new Error(`${what} does not come`)), 20000);
      this.#waiting.push({
        ready,
        done: () => {
          clearTimeout(timer);
          done();
        },
      });
    });
  }

  greeted() {
    return this.until(() => this.welcome !== undefined, "the welcome");
  }

  async echoed(call, data) {
    await this.until(() => this.replies.has(call), `the reply to call ${call}`);
    const reply = this.replies.get(call);
    if (!same(reply.data, data)) throw new Error(`call ${call} brought other data back`);
  }
}
