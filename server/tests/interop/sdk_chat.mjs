// Players that use the built TypeScript SDK. Commands come as JSON lines on standard input, one after the other; each is
// answered by one line on standard output.

import { createHash } from "node:crypto";
import { Client } from "../../../client-sdk/typescript/dist/node.js";

class Player {
  /** What the live stream brought, as [seq, text]. */
  seen = [];
  /** What was acknowledged, as [seq, text], in the order of the answers. */
  acknowledged = [];
  /** Calls that ended with a fault. */
  failed = [];
  /** Events that say that something is missing. */
  troubles = [];
  connections = 0;
  underWay = 0;
  sending = false;
  #done = Promise.resolve();

  constructor({ url, backOff }) {
    this.client = new Client({ url, backOff });
    let connecting = false;
    this.client.on("connection", ({ state }) => {
      if (connecting && (state === "catching_up" || state === "online")) this.connections += 1;
      connecting = state === "connecting";
    });
    this.client.on("MessageSent", ({ room, msg }) => {
      if (room === this.room) this.seen.push([msg.seq, msg.text]);
    });
    for (const name of ["gap", "streamLost", "signedOut"]) {
      this.client.on(name, (event) => this.troubles.push({ name, event }));
    }
  }

  async signIn({ secret, name }) {
    await this.client.connect();
    await this.client.loginGuest({ secret, name });
  }

  async join({ room }) {
    this.room = room;
    const { info } = await this.client.call("JoinRoom", { room });
    return { head: info.head };
  }

  /** Sends what `next` gives until it gives nothing, with at most `most` messages under way. */
  async sendAll(most, next) {
    const worker = async () => {
      for (let text = next(); text !== undefined; text = next()) {
        this.underWay += 1;
        try {
          const { seq } = await this.client.call("SendMessage", { room: this.room, text });
          this.acknowledged.push([seq, text]);
        } catch (error) {
          this.failed.push({ text, error: String(error) });
        }
        this.underWay -= 1;
      }
    };
    await Promise.all(Array.from({ length: most }, worker));
  }

  async send({ texts, most }) {
    const left = texts.values();
    await this.sendAll(most, () => left.next().value);
  }

  begin({ prefix, most }) {
    this.sending = true;
    let number = 0;
    this.#done = this.sendAll(most, () => (this.sending ? `${prefix} ${(number += 1)}` : undefined));
  }

  async finish() {
    this.sending = false;
    await this.#done;
  }

  head() {
    return this.seen.at(-1)?.[0] ?? 0;
  }

  /** As the Rust side computes it: of each message its sequence, its length and its bytes. */
  digest() {
    const hash = createHash("sha256");
    for (const [seq, text] of this.seen) {
      const bytes = Buffer.from(text, "utf8");
      const numbers = Buffer.alloc(16);
      numbers.writeBigUInt64BE(BigInt(seq), 0);
      numbers.writeBigUInt64BE(BigInt(bytes.length), 8);
      hash.update(numbers).update(bytes);
    }
    return hash.digest("hex");
  }

  report() {
    const { seen, acknowledged, failed, troubles, connections } = this;
    return { seen, acknowledged, failed, troubles, connections, digest: this.digest() };
  }
}

const players = [];

const commands = {
  async connect(command) {
    const player = new Player(command);
    await player.signIn(command);
    return { player: players.push(player) - 1 };
  },
  join: (command) => players[command.player].join(command),
  send: (command) => players[command.player].send(command),
  begin: (command) => players[command.player].begin(command),
  finish: () => Promise.all(players.map((player) => player.finish())),
  counts: () => ({
    heads: players.map((player) => player.head()),
    acknowledged: players.reduce((sum, player) => sum + player.acknowledged.length, 0),
    under_way: players.reduce((sum, player) => sum + player.underWay, 0),
  }),
  report: (command) => players[command.player].report(),
};

// Not `node:readline`: it also ends lines at U+2028 and U+2029, which texts may hold.
async function* lines(input) {
  let rest = Buffer.alloc(0);
  for await (const chunk of input) {
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      yield rest.subarray(0, end).toString("utf8");
      rest = rest.subarray(end + 1);
    }
  }
}

for await (const line of lines(process.stdin)) {
  const command = JSON.parse(line);
  const answer = await commands[command.do](command);
  process.stdout.write(`${JSON.stringify(answer ?? {})}\n`);
}
process.exit(0);
