import { CallError, Client } from '@pitturu/client';
import type { ClientEvents, ClientOptions, Message, Tokens, TokenStore } from '@pitturu/client';

declare const maybeText: string | undefined;
declare const maybeNumber: number | undefined;
declare const maybeStore: TokenStore | undefined;
declare const maybeTokens: Tokens | undefined;
declare const bytes: Uint8Array;

const options: ClientOptions = { url: 'ws://127.0.0.1:9', tokens: maybeStore, deadlineMs: maybeNumber };
const client = new Client(options);

export async function use(room: string): Promise<Message[]> {
  const identity =
    (await client.connect()) ?? (await client.loginGuest({ secret: 's', name: maybeText })).identity;
  await client.call(
    'UpdateProfile',
    { name: maybeText, bio: undefined },
    { signal: undefined, key: maybeText },
  );
  await client.call('SendMessage', { room, text: identity.user, data: bytes, reply_to: maybeNumber });
  for await (const { msg } of client.events('MessageSent', { signal: undefined })) {
    const received: Uint8Array<ArrayBuffer> | undefined = msg.data;
    if (received !== undefined) return [msg];
  }
  return (await client.call('ReadHistory', { room, from: { before: 3 } })).messages;
}

export const listen = (told: (state: ClientEvents['state']) => void): (() => void) =>
  client.on('state', told);
export const isRefusal = (error: unknown): boolean =>
  error instanceof CallError && error.code === 'slow_mode';
export const store: TokenStore = { load: () => maybeTokens, save: () => undefined };

// @ts-expect-error: text is missing
void client.call('SendMessage', { room: 'x' });
// @ts-expect-error: no such method
void client.call('SendMessages', {});
// @ts-expect-error: no such event
client.on('messageSent', () => undefined);
