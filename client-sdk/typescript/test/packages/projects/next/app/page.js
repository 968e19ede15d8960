import { Client } from '@pitturu/client';
import { Page } from './client-page.js';

export const dynamic = 'force-dynamic';

/** Talks to the game's server while it is rendered on the server. */
export default async function Home() {
  const client = new Client({ url: process.env.SERVER_URL });
  await client.connect();
  await client.loginGuest({ secret: 'a secret of sixteen' });
  const account = await client.call('GetAccount', {});
  client.close();
  return <Page role={account.role} />;
}
