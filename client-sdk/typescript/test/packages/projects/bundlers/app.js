import { Client } from '@pitturu/client';

const client = new Client({ url: globalThis.SERVER_URL });
const before = await client.connect();
await client.loginGuest({ secret: 'a secret of sixteen' });
client.close();
globalThis.console.log('signed in after', String(before));
