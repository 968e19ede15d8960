// A server for tests: keeps rooms, idempotency keys and tokens as the real one does, in memory and without time.

import { encode } from '@msgpack/msgpack';

import { faultOf } from '../../src/errors.js';
import { CODES } from '../../src/generated/codes.js';
import { EVENTS, METHODS } from '../../src/generated/tables.js';
import type { Methods } from '../../src/generated/tables.js';
import type {
  Fault,
  Hello,
  Identity,
  Message,
  QuicAddress,
  RoomView,
  SetPresence,
  SignedIn,
  Welcome,
} from '../../src/generated/types.js';
import { KIND } from '../../src/generated/wire.js';
import { Reader } from '../../src/wire/reader.js';

type Body = Record<string, unknown>;

type Entry =
  { seq: number; event: 'MessageSent'; body: Body } | { rev: number; event: 'MessageEdited'; body: Body };

interface Room {
  id: string;
  name: string;
  log: Entry[];
  head: number;
  rev: number;
  /** Oldest message that retention has left. */
  first: number;
}

interface User {
  user: string;
  /** Access tokens that are good. */
  access: Set<string>;
  refresh: string;
}

/** A refusal, thrown by the model's handlers. */
export class Refusal extends Error {
  constructor(
    readonly code: keyof typeof CODES,
    readonly extra: Partial<Fault> = {},
  ) {
    super(code);
  }
}

const STATUSES = ['offline', 'online', 'away', 'busy', 'in_game'];

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/** The n-th id. */
export function idOf(number: number): string {
  let text = '';
  for (let rest = number; text.length < 16; rest = Math.floor(rest / 32)) {
    text = (ALPHABET[rest % 32] ?? '0') + text;
  }
  return text;
}

const NUMBERS = new Map(Object.entries(METHODS).map(([name, { number }]) => [number, name as keyof Methods]));

/** What every connection shares, and what survives a restart. */
export class World {
  readonly rooms = new Map<string, Room>();
  readonly users = new Map<string, User>();
  readonly results = new Map<string, Body>();
  readonly connections = new Set<ModelConnection>();
  /** Entries in a page of a back-fill. */
  page = 3;
  pingMs = 1_000;
  /** Where the server says that it takes QUIC. */
  quic: QuicAddress | undefined;
  now = (): number => 1_000_000;
  /** How long access tokens last. */
  tokenMs = 3_600_000;
  /** How many players the leaderboards have. */
  players = 1;
  /** Why players are suspended, if they are: each hello with a token is refused with it. */
  suspended: string | undefined;
  /** How many rooms one reply to a resume holds. */
  resumedAtOnce = Infinity;
  /** Consulted before each call: may throw a Refusal. */
  before: (method: keyof Methods, body: Body) => void = () => undefined;
  /** What others could see of the players, in order: by each sign-in and by each call that changes it. */
  readonly presences: string[] = [];
  /** What each hello said of the presence. */
  readonly restored: (SetPresence | undefined)[] = [];
  /** Names of the calls that arrived, in order. */
  readonly calls: string[] = [];
  /** The calls that arrived with a key, in order: their method, key, and head if they are first attempts. */
  readonly attempts: [method: string, key: string, head?: number][] = [];
  /** Which history it has; a restored world has another one. */
  epoch = 1;
  /** Heads of the first attempts that have not taken effect. */
  readonly #firstHeads = new Map<string, number>();
  #ids = 1;
  /** When each access token expires. */
  readonly #expiries = new Map<string, number>();
  #tokens = 0;

  newId(): string {
    this.#ids += 1;
    return idOf(this.#ids);
  }

  room(id: string): Room {
    const room = this.rooms.get(id);
    if (room === undefined) throw new Refusal('room_not_found');
    return room;
  }

  createRoom(name = 'room'): Room {
    const room: Room = { id: this.newId(), name, log: [], head: 0, rev: 0, first: 1 };
    this.rooms.set(room.id, room);
    return room;
  }

  /** Throws when a call says that it is the first attempt, and is not. */
  arrived(method: string, key: string, head: number | undefined): void {
    if (head !== undefined) {
      if (this.attempts.some(([, earlier]) => earlier === key)) throw new Error(`${key} is no first attempt`);
      this.#firstHeads.set(key, head);
    }
    this.attempts.push(head === undefined ? [method, key] : [method, key, head]);
  }

  /** Throws when the first attempt of a call knew more than there was when the call took effect. */
  decided(key: string, { head }: Room): void {
    const seen = this.#firstHeads.get(key);
    this.#firstHeads.delete(key);
    if (seen !== undefined && seen > head)
      throw new Error(`${key} had seen ${String(seen)} of ${String(head)}`);
  }

  /** Adds a message as if somebody had sent it. */
  post(room: Room, text: string, from = idOf(1)): Message {
    room.head += 1;
    const msg: Message = { seq: room.head, from, name: 'somebody', text, at: this.now() };
    room.log.push({ seq: room.head, event: 'MessageSent', body: { room: room.id, msg } });
    for (const connection of this.connections) connection.pushLive(room);
    return msg;
  }

  edit(room: Room, seq: number, text: string): number {
    room.rev += 1;
    const body = { room: room.id, rev: room.rev, seq, text, at: this.now() };
    room.log.push({ rev: room.rev, event: 'MessageEdited', body });
    for (const connection of this.connections) connection.pushLive(room);
    return room.rev;
  }

  /** Says something for the moment to every connection that has the room open. */
  say(room: Room, text: string): void {
    for (const connection of this.connections) connection.tellForTheMoment(room, text);
  }

  /** Retention: removes messages before `first`. */
  retain(room: Room, first: number): void {
    room.first = first;
    room.log = room.log.filter((entry) => !('seq' in entry) || entry.seq >= first);
  }

  tokensOf(secret: string): SignedIn {
    let user = this.users.get(secret);
    const created = user === undefined;
    user ??= { user: this.newId(), access: new Set(), refresh: '' };
    this.users.set(secret, user);
    this.#tokens += 1;
    const access = `access-${String(this.#tokens)}`;
    user.access.add(access);
    this.#expiries.set(access, this.now() + this.tokenMs);
    user.refresh = `refresh-${String(this.#tokens)}`;
    return {
      identity: this.identityOf(user.user, access),
      access,
      refresh: user.refresh,
      refresh_expires_at: this.now() + 86_400_000,
      created,
    };
  }

  /** What a token says, or one that is new. */
  identityOf(user: string, access?: string): Identity {
    const expires_at = this.#expiries.get(access ?? '') ?? this.now() + this.tokenMs;
    return { user, session: idOf(7), role: 'player', guest: true, expires_at };
  }

  userOf(access: string): User | undefined {
    for (const user of this.users.values()) if (user.access.has(access)) return user;
    return undefined;
  }

  view(room: Room): RoomView {
    return {
      info: {
        room: room.id,
        kind: 'public',
        name: room.name,
        members: 1,
        head: room.head,
        first: room.first,
        slow_mode_ms: 0,
        retention: {},
        created_at: 1,
      },
      me: { role: 'member', read: 0, joined_at: 1 },
      rev: room.rev,
      online: 1,
    };
  }
}

interface Follow {
  seq: number;
  rev: number;
  live: boolean;
  awaitsAck: boolean;
}

/** The server's end of one connection. */
export class ModelConnection {
  readonly #world: World;
  readonly #send: (message: Uint8Array) => void;
  readonly #close: (code: number) => void;
  readonly #follows = new Map<string, Follow>();
  user: User | undefined;
  /** What the hello wants others to see, until somebody signs in. */
  #restored: SetPresence | undefined;
  welcomed = false;
  pongs = 0;
  readonly cancelled: number[] = [];
  /** The leaderboards that it follows. */
  readonly boards = new Set<string>();
  /** Frames that wait for the end of the present message. */
  #out: Uint8Array[] = [];
  /** Whether answers wait until `release`. */
  held = false;

  constructor(
    world: World,
    send: (message: Uint8Array) => void,
    close: (code: number) => void = () => undefined,
  ) {
    this.#world = world;
    this.#send = send;
    this.#close = close;
    world.connections.add(this);
  }

  /** The connection is gone. */
  end(): void {
    this.#world.connections.delete(this);
  }

  receive(message: Uint8Array): void {
    const reader = new Reader(message);
    while (reader.at < message.byteLength) this.#frame(reader.value(0) as [number, ...unknown[]]);
    this.flush();
  }

  frame(kind: keyof typeof KIND, ...fields: unknown[]): void {
    this.#out.push(encode([KIND[kind], ...fields], { ignoreUndefined: true }));
  }

  flush(): void {
    if (this.held || this.#out.length === 0) return;
    const message = Buffer.concat(this.#out);
    this.#out = [];
    this.#send(new Uint8Array(message));
  }

  event(name: keyof typeof EVENTS, body: Body): void {
    this.frame('event', EVENTS[name].number, body);
  }

  close(code: number): void {
    this.end();
    this.#close(code);
  }

  ping(nonce: number): void {
    this.frame('ping', nonce, 0);
    this.flush();
  }

  /** Forgets to send the next live entry of a room, as a faulty server would. */
  skipOne(room: string): void {
    const follow = this.#follows.get(room);
    if (follow?.live === true) follow.seq += 1;
  }

  /** Cuts a live stream, as when the outbox is full, and goes on with pages. */
  cut(room: string): void {
    const follow = this.#follows.get(room);
    if (follow?.live !== true) return;
    follow.live = false;
    this.#page(room, follow);
    this.flush();
  }

  tellForTheMoment(room: Room, text: string): void {
    if (!this.#follows.has(room.id)) return;
    this.event('EphemeralSent', {
      room: room.id,
      from: idOf(1),
      name: 'somebody',
      text,
      at: this.#world.now(),
    });
    this.flush();
  }

  /** Sends the client away, as a server does that is about to stop. Nothing more comes, but for the close. */
  sendAway(): void {
    this.frame('goaway', { reason: 'drain', reconnect: true, within_ms: 300 });
    this.flush();
    this.end();
  }

  pushLive(room: Room): void {
    const follow = this.#follows.get(room.id);
    if (follow?.live !== true) return;
    this.#entries(room, follow, Infinity);
    this.flush();
  }

  #frame([kind, ...fields]: [number, ...unknown[]]): void {
    switch (kind) {
      case KIND.hello:
        return this.#hello(fields[0] as Hello);
      case KIND.call:
        return this.#call(fields as [number, number, Body, string?, number?]);
      case KIND.cancel:
        this.cancelled.push(fields[0] as number);
        return;
      case KIND.ack: {
        const [stream, seq, rev] = fields as [string, number, number];
        const follow = this.#follows.get(stream);
        // As the real server does, it takes a cursor beyond the page's.
        if (follow?.awaitsAck !== true || seq < follow.seq || rev < follow.rev) return;
        return this.#page(stream, follow);
      }
      case KIND.pong:
        this.pongs += 1;
        return;
      default:
        this.frame('fault', 0, { code: CODES.bad_request.number, message: 'unknown frame' });
        this.flush();
        this.close(4300);
    }
  }

  #hello({ token, presence }: Hello): void {
    this.#world.restored.push(presence);
    // The real server can't read such a hello.
    if (!STATUSES.includes(presence?.status ?? 'online') || (presence?.note?.length ?? 0) > 60_000) {
      return this.close(4001);
    }
    this.welcomed = true;
    this.#restored = presence;
    const welcome: Welcome = {
      v: 1,
      conn: idOf(9),
      now: this.#world.now(),
      epoch: this.#world.epoch,
      ping_ms: this.#world.pingMs,
      limits: { frame_bytes: 65536, message_bytes: 262144, calls: 64, rooms: 256 },
      quic: this.#world.quic,
    };
    if (token !== undefined) {
      const { suspended } = this.#world;
      this.user = suspended === undefined ? this.#world.userOf(token) : undefined;
      if (suspended !== undefined) {
        welcome.refused = faultOf('suspended', suspended);
      } else if (this.user !== undefined) {
        welcome.identity = this.#world.identityOf(this.user.user, token);
        this.#appears(true);
      } else welcome.refused = { code: CODES.token_invalid.number, message: 'unknown token' };
    }
    this.frame('welcome', welcome);
  }

  /** Somebody has signed in, as the same player as before (`restores`) or as nobody knows who. */
  #appears(restores: boolean): void {
    const status = restores ? this.#restored?.status : undefined;
    this.#restored = undefined;
    this.#world.presences.push(status === 'in_game' ? 'online' : (status ?? 'online'));
  }

  #call([call, number, body, key, head]: [number, number, Body, string?, number?]): void {
    const method = NUMBERS.get(number);
    this.#world.calls.push(method ?? String(number));
    if (key !== undefined) this.#world.arrived(method ?? String(number), key, head);
    try {
      if (method === undefined) throw new Refusal('unknown_method');
      if (METHODS[method].access !== 'anyone' && this.user === undefined)
        throw new Refusal('unauthenticated');
      this.#world.before(method, body);
      const known = key === undefined ? undefined : this.#world.results.get(key);
      if (known !== undefined) {
        // The stored result of a sign-in signs this connection in too.
        if ('access' in known) this.user = this.#world.userOf(known['access'] as string);
        this.frame('reply', call, known);
        return;
      }
      const after: (() => void)[] = [];
      const room = this.#world.rooms.get(body['room'] as string);
      if (key !== undefined && room !== undefined) this.#world.decided(key, room);
      const reply = this.#do(method, body, after);
      if (key !== undefined) this.#world.results.set(key, reply);
      this.frame('reply', call, reply);
      for (const step of after) step();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const fault: Fault = { code: CODES[error.code].number, message: error.code, ...error.extra };
      this.frame('fault', call, fault);
    }
  }

  #do(method: keyof Methods, body: Body, after: (() => void)[]): Body {
    const world = this.#world;
    switch (method) {
      case 'Echo':
        return { data: body['data'], now: world.now() };
      case 'LoginGuest':
        return this.#signIn(body['secret'] as string, false);
      case 'RefreshTokens': {
        for (const [secret, user] of world.users) {
          if (user.refresh === body['refresh']) return this.#signIn(secret, true);
        }
        throw new Refusal('token_invalid');
      }
      case 'Logout':
        this.user?.access.clear();
        this.user = undefined;
        return {};
      case 'Authenticate': {
        const user = world.userOf(body['access'] as string);
        if (user === undefined) throw new Refusal('token_expired');
        if (this.user === undefined) this.#appears(false);
        this.user = user;
        return { ...world.identityOf(user.user, body['access'] as string) };
      }
      case 'GetAccount':
        return { user: this.user?.user, role: 'player', guest: true, created_at: 1 };
      case 'SetPresence':
        world.presences.push(body['status'] as string);
        return {};
      case 'CreateRoom': {
        const room = world.createRoom(body['name'] as string);
        return this.#open(room, undefined, undefined, after);
      }
      case 'JoinRoom':
        return this.#open(world.room(body['room'] as string), undefined, undefined, after);
      case 'OpenRoom': {
        const { room, seq, rev } = body as { room: string; seq?: number; rev?: number };
        return this.#open(world.room(room), seq, rev, after);
      }
      case 'CloseRoom':
        this.#follows.delete(body['room'] as string);
        return {};
      case 'Resume':
        return this.#resume(body, after);
      case 'FollowBoard': {
        const board = body['board'] as string;
        this.boards.add(board);
        return { board, season: 0, count: world.players, top: [] };
      }
      case 'UnfollowBoard':
        this.boards.delete(body['board'] as string);
        return {};
      case 'SendMessage': {
        const { seq, at } = world.post(
          world.room(body['room'] as string),
          body['text'] as string,
          this.user?.user,
        );
        return { seq, at };
      }
      case 'EditMessage': {
        const { room, seq, text } = body as { room: string; seq: number; text: string };
        return { rev: world.edit(world.room(room), seq, text), at: world.now() };
      }
      case 'Typing':
      case 'SendEphemeral':
        return {};
      default:
        throw new Refusal('unknown_method');
    }
  }

  #signIn(secret: string, restores: boolean): Body {
    const reply = this.#world.tokensOf(secret);
    if (this.user === undefined) this.#appears(restores);
    this.user = this.#world.users.get(secret);
    return { ...reply };
  }

  #resume({ epoch, inbox, rooms = [] }: Methods['Resume']['request'], after: (() => void)[]): Body {
    const counts = epoch === undefined || epoch === this.#world.epoch;
    const views = rooms.slice(0, this.#world.resumedAtOnce).map(({ room, seq, rev }) => {
      try {
        this.#world.before('OpenRoom', { room });
        const from = counts ? { seq, rev } : { seq: undefined, rev: undefined };
        return { room, view: this.#open(this.#world.room(room), from.seq, from.rev, after) };
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        return { room, fault: { code: CODES[error.code].number, message: error.code } };
      }
    });
    if (inbox !== undefined) {
      after.push(() => {
        this.event('StreamPosition', { stream: 'inbox', seq: inbox, rev: 0, head: inbox, live: true });
      });
    }
    return { inbox: inbox ?? 0, rooms: views };
  }

  #open(room: Room, seq: number | undefined, rev: number | undefined, after: (() => void)[]): Body {
    const known = this.#follows.get(room.id);
    const from = seq === undefined && rev === undefined ? known : undefined;
    const follow: Follow = {
      seq: from?.seq ?? seq ?? room.head,
      rev: from?.rev ?? rev ?? room.rev,
      live: false,
      awaitsAck: false,
    };
    this.#follows.set(room.id, follow);
    after.push(() => {
      this.#page(room.id, follow);
    });
    return { ...this.#world.view(room) };
  }

  #page(stream: string, follow: Follow): void {
    const room = this.#world.rooms.get(stream);
    if (room === undefined) return;
    if (follow.seq < room.first - 1) {
      this.frame('gap', stream, 0, follow.seq + 1, room.first - 1);
      follow.seq = room.first - 1;
    }
    const complete = this.#entries(room, follow, this.#world.page);
    follow.live = complete;
    follow.awaitsAck = !complete;
    const { seq, rev } = follow;
    this.event('StreamPosition', { stream, seq, rev, head: room.head, live: complete });
  }

  /** Sends up to `most` entries after the cursor; true when none is left. */
  #entries(room: Room, follow: Follow, most: number): boolean {
    let sent = 0;
    for (const entry of room.log) {
      const behind = 'seq' in entry ? entry.seq > follow.seq : entry.rev > follow.rev;
      if (!behind) continue;
      if (sent >= most) return false;
      if ('seq' in entry) follow.seq = entry.seq;
      else follow.rev = entry.rev;
      this.event(entry.event, entry.body);
      sent += 1;
    }
    return true;
  }
}
