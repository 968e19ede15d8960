const { Client } = require('@pitturu/client');

test('a page talks to a server', async () => {
  expect(typeof window).toBe('object');
  const client = new Client({ url: process.env.SERVER_URL });
  const texts = [];
  client.on('MessageSent', ({ msg }) => texts.push(msg.text));
  expect(await client.connect()).toBeUndefined();
  await client.loginGuest({ secret: 'a secret of sixteen', name: '안녕' });
  const { info } = await client.call('CreateRoom', { kind: 'public', name: 'ロビー' });
  await client.call('SendMessage', { room: info.room, text: 'héllo 안녕 👩‍👩‍👧', data: Uint8Array.of(1, 2) });
  expect(texts).toEqual(['héllo 안녕 👩‍👩‍👧']);
  client.close();
});
