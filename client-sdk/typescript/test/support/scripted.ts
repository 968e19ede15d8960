// A machine whose server is the test, frame by frame.

import { encode as pack } from '@msgpack/msgpack';

import { KIND } from '../../src/generated/wire.js';
import type { Config } from '../../src/machine/types.js';
import { Pair } from './driver.js';
import { idOf } from './model.js';

export type Body = Record<string, unknown>;

export function frame(kind: keyof typeof KIND, ...fields: unknown[]): Uint8Array {
  return pack([KIND[kind], ...fields], { ignoreUndefined: true });
}

export function welcome(pair: Pair, fields: Body = {}): Uint8Array {
  const [user] = pair.world.users.values();
  return frame('welcome', {
    v: 1,
    conn: idOf(9),
    now: 1,
    epoch: 1,
    ping_ms: 1_000_000,
    identity: pair.world.identityOf(user?.user ?? ''),
    limits: { frame_bytes: 65_536, message_bytes: 262_144, calls: 64, rooms: 256 },
    ...fields,
  });
}

export function view(room: string, fields: Body = {}): Body {
  const info = {
    room,
    kind: 'public',
    name: 'x',
    members: 1,
    head: 0,
    first: 1,
    slow_mode_ms: 0,
    retention: {},
    created_at: 1,
  };
  return { info, me: { role: 'member', read: 0, joined_at: 1 }, rev: 0, online: 1, ...fields };
}

/** Signed in, in these rooms; from here on the test is the server. */
export function follower(count: number, config: Partial<Config> = {}): { pair: Pair; rooms: string[] } {
  const pair = new Pair(config).start();
  pair.call('LoginGuest', { secret: 'a secret of sixteen' }, 'login');
  const rooms = Array.from({ length: count }, () => pair.world.createRoom().id);
  for (const room of rooms) pair.reply(pair.call('OpenRoom', { room }));
  pair.delivers = false;
  comeBack(pair);
  return { pair, rooms };
}

/** Loses the connection, if there is one, and is welcomed on the next, where the first call is a resume. */
export function comeBack(pair: Pair, answer = true): void {
  pair.cut();
  pair.advance(30_000);
  pair.outputs.length = 0;
  if (answer) pair.receive(welcome(pair));
}

/** The rooms that the machine follows. */
export function followed(pair: Pair): string[] {
  return (pair.machine.cursors.rooms ?? []).map(({ room }) => room);
}
