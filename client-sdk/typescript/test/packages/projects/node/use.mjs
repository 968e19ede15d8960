import { CallError, Client, METHODS } from '@pitturu/client';
import manifest from '@pitturu/client/package.json' with { type: 'json' };

const client = new Client({ url: process.argv[2] });
const refused = await client.call('GetAccount', {}).catch((error) => error);
const before = await client.connect();
await client.loginGuest({ secret: 'a secret of sixteen' });
const { info } = await client.call('CreateRoom', { kind: 'public', name: 'lobby' });
const { seq } = await client.call('SendMessage', { room: info.room, text: 'hello' });
client.close();
console.log(
  refused instanceof CallError,
  refused.code,
  before,
  seq,
  METHODS.SendMessage.number,
  manifest.name,
);
