// Ends by itself: a client that is closed in the tick in which it began to connect keeps nothing running.
import { Client } from '@pitturu/client';

const client = new Client({
  url: process.argv[2],
  tokens: { load: () => new Promise(() => undefined), save() {} },
});
client.connect();
client.close();
const other = new Client({
  url: process.argv[2],
  tokens: { load: () => new Promise(() => undefined), save() {} },
});
other.connect();
setTimeout(() => other.close(), 50);
