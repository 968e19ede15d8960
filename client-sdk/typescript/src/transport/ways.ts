// Which way a client takes to its server: WebSocket, which every platform and network has, or WebTransport, which is better where it
// works. It decides, and somebody else opens sockets: time and what happens come in, what is to be done comes out.

import type { QuicAddress } from '../generated/types.js';
import type { Target, WayMemory } from './way-memory.js';

/** A way to carry a connection. */
export type Way = 'websocket' | 'webtransport';

/** Which way is to be taken: the best that works, or one of them, where it works. */
export type Preference = 'auto' | Way;

/** What is to be done, in order. Attempts are named by numbers. */
export type Action =
  /** Begin to open a connection by this way, trusting these certificates besides those that the platform trusts. */
  | { do: 'open'; id: number; way: Way; url: string; hashes: readonly string[] }
  /** Close it, or stop opening it: nothing was said there. */
  | { do: 'close'; id: number }
  /** It is the connection that was asked for. */
  | { do: 'use'; id: number }
  /** The client is to be handed over to it. */
  | { do: 'hand_over'; id: number }
  /** No connection can be opened, for this reason. */
  | { do: 'fail'; code: number | undefined; why: string | undefined };

/** Where the client stands. */
export interface Standing {
  /** Welcomed, and up to date. */
  online: boolean;
  /** A handover may begin. */
  mayHandOver: boolean;
  /** The server owes an answer. */
  awaitsAnswers: boolean;
}

/** What is counted. */
export interface WayCounts {
  /** Connections that were opened by WebTransport. */
  webtransportOpened: number;
  /** Connections that were opened by WebSocket. */
  websocketOpened: number;
  /** Attempts by WebTransport that came to nothing, and connections that were lost within 10 s of their opening. */
  webtransportFailed: number;
}

/** How long the better way has before WebSocket begins as well. */
export const HEAD_START_MS = 200;

/** How long the better way may take to open; and how long WebSocket may when the client moves to it. */
export const OPEN_MS_MAX = 3_000;

/** How long the client is online before another way is looked for. */
export const SETTLED_MS = 1_000;

/** How long a server that owes an answer may be silent before another way is looked for. */
export const SILENT_MS = 3_000;

/** Least time between two such searches, and before another attempt to move after one that came to nothing. */
export const SEARCH_MS_MIN = 30_000;

/** A connection that is lost sooner after its opening says that its way does not work. */
export const SOON_MS = 10_000;

/** How long an open connection waits for the handover to it to be possible. */
const HELD_MS_MAX = 5_000;

/** A connection that is being opened, or is open and waits for a handover. */
interface Attempt {
  way: Way;
  since: number;
  openedAt: number | undefined;
  /** It is opened because the present connection is silent. */
  isRescue: boolean;
}

/** A connection that the client speaks on. */
interface Used {
  id: number;
  way: Way;
  openedAt: number;
  welcomed: boolean;
  isRescue: boolean;
}

/** A search for a connection that has not ended. */
interface Race {
  /** When WebSocket begins; absent when it has. */
  webSocketAt: number | undefined;
  /** Whether WebSocket could not be opened, and how that ended. */
  lost: { code: number | undefined; why: string | undefined } | undefined;
  /** Whether the better way could not be opened, which counts against it if WebSocket can. */
  betterFailed: boolean;
}

/** The policy of one client. */
export class Ways {
  readonly counts: WayCounts = { webtransportOpened: 0, websocketOpened: 0, webtransportFailed: 0 };
  readonly #url: string;
  readonly #hasBetter: boolean;
  readonly #memory: WayMemory;
  #preference: Preference;
  readonly #actions: Action[] = [];
  readonly #attempts = new Map<number, Attempt>();
  #race: Race | undefined;
  #present: Used | undefined;
  #other: Used | undefined;
  #lastId = 0;
  #onlineSince: number | undefined;
  #owedSince: number | undefined;
  /** When a silent server may make it look for another way. */
  #searchFrom = 0;
  /** When it may try to move. */
  #moveFrom = 0;
  /** Whether the application has asked for another way, and the client has not been moved since: that waits for nothing. */
  #isAsked = false;

  /** `hasBetter`: whether the platform has WebTransport, and the application lets it be used. */
  constructor(url: string, hasBetter: boolean, memory: WayMemory, preference: Preference) {
    this.#url = url;
    this.#hasBetter = hasBetter;
    this.#memory = memory;
    this.#preference = preference;
  }

  /** The way of the present connection, if there is one. */
  get present(): Way | undefined {
    return this.#present?.way;
  }

  /** What is to be done next. */
  poll(): Action | undefined {
    return this.#actions.shift();
  }

  /** A connection is asked for. */
  connect(now: number): void {
    this.#closeAttempts();
    const better = this.#preference === 'webtransport' || this.#isSecure ? this.#betterNow(now) : undefined;
    const headStart = this.#preference === 'webtransport' ? OPEN_MS_MAX : HEAD_START_MS;
    const webSocketAt = better === undefined ? now : now + headStart;
    this.#race = { webSocketAt, lost: undefined, betterFailed: false };
    if (better !== undefined) this.#open(now, 'webtransport', better);
    this.#raceDue(now);
  }

  /** A connection is open. */
  opened(now: number, id: number): void {
    const attempt = this.#attempts.get(id);
    if (attempt === undefined || attempt.openedAt !== undefined) return;
    attempt.openedAt = now;
    if (attempt.way === 'webtransport') this.counts.webtransportOpened += 1;
    else this.counts.websocketOpened += 1;
    if (this.#race === undefined) return;
    if (attempt.way === 'websocket' && this.#race.betterFailed) this.#memory.failed(now);
    this.#race = undefined;
    this.#attempts.delete(id);
    this.#present = { id, way: attempt.way, openedAt: now, welcomed: false, isRescue: false };
    this.#actions.push({ do: 'use', id });
    // Where WebSocket was first, the better way goes on.
    if (attempt.way === 'webtransport') this.#closeAttempts();
  }

  /** A connection that nothing was said on has closed, or could not be opened. */
  closed(now: number, id: number, code: number | undefined, why: string | undefined): void {
    const attempt = this.#attempts.get(id);
    if (!this.#attempts.delete(id) || attempt === undefined) return;
    if (this.#race === undefined) return this.#besideFailed(now, attempt);
    if (attempt.way === 'websocket') {
      this.#race.lost = { code, why };
    } else {
      this.counts.webtransportFailed += 1;
      this.#race.betterFailed = true;
      if (this.#race.webSocketAt !== undefined) this.#race.webSocketAt = now;
    }
    this.#raceDue(now);
  }

  /** The present connection has ended, or the search for one: with a close code, if either side gave one. */
  lost(now: number, code: number | undefined): void {
    if (this.#present !== undefined && code === undefined) this.#judge(now, this.#present);
    this.#closeAttempts();
    this.#race = undefined;
    this.#present = undefined;
    this.#isAsked = false;
    this.#onlineSince = undefined;
    this.#owedSince = undefined;
  }

  /** The other connection has become the present one, and the present one, if there still is one, the other. */
  tookOver(now: number): void {
    const before = this.#present;
    this.#present = this.#other;
    this.#other = before;
    this.#owedSince = undefined;
    this.#isAsked = false;
    if (before === undefined || this.#present?.isRescue !== true) return;
    // What was silent may be so again.
    this.#moveFrom = now + SEARCH_MS_MIN;
    if (now - before.openedAt < SOON_MS) this.#judge(now, before);
  }

  /** The other connection is gone, and whether before it has become the present one: by an end of its own, or given up. */
  otherEnded(now: number, wasLost: boolean): void {
    const ended = this.#other;
    this.#other = undefined;
    if (ended === undefined || ended.welcomed) return;
    this.#moveFrom = now + SEARCH_MS_MIN;
    if (wasLost) this.#judge(now, ended);
  }

  /** The server has welcomed the client, and says where it takes QUIC. */
  welcomed(quic: QuicAddress | undefined): void {
    if (this.#present !== undefined) this.#present.welcomed = true;
    if (!this.#hasBetter || !this.#memory.hear(quic, this.#guess)) return;
    // What is being tried is not where the server is.
    for (const [id, { way }] of this.#attempts) if (way === 'webtransport') this.#close(id);
  }

  /** Something came over one of the client's connections. */
  heard(): void {
    this.#owedSince = undefined;
    // The way is not lost. Where the other one is the better, it may go on.
    for (const [id, { isRescue, way }] of this.#attempts) {
      if (isRescue && way === 'websocket') this.#close(id);
    }
  }

  /** From now on, this way is preferred. What has failed is tried again. */
  prefer(now: number, preference: Preference): void {
    this.#preference = preference;
    if (preference === 'webtransport') this.#memory.forget();
    this.#moveFrom = now;
    this.#isAsked = true;
    if (this.#race === undefined && this.#present !== undefined) this.#closeAttempts();
  }

  /** Does what has become due. To be called after each of the others, and when `nextTimeout` has come. */
  run(now: number, standing: Standing): void {
    if (!standing.online || this.#present === undefined) this.#onlineSince = undefined;
    else this.#onlineSince ??= now;
    if (!standing.awaitsAnswers || this.#present === undefined) this.#owedSince = undefined;
    else this.#owedSince ??= now;
    this.#praise(now);
    this.#raceDue(now);
    this.#attemptsDue(now, standing);
    if (this.#other !== undefined || this.#attempts.size > 0) return;
    this.#searchDue(now);
    this.#moveDue(now);
  }

  /** When `run` has something to do though nothing has happened. */
  get nextTimeout(): number | undefined {
    let next = this.#race?.webSocketAt ?? Infinity;
    for (const attempt of this.#attempts.values()) next = Math.min(next, this.#endOf(attempt));
    if (this.#other === undefined && this.#attempts.size === 0) {
      next = Math.min(next, this.#searchAt(), this.#moveAt());
    }
    return next === Infinity ? undefined : next;
  }

  /** Begins with WebSocket when its time has come, and tells when nothing is left to hope for. */
  #raceDue(now: number): void {
    const race = this.#race;
    if (race === undefined) return;
    if (race.webSocketAt !== undefined && race.webSocketAt <= now) {
      race.webSocketAt = undefined;
      this.#open(now, 'websocket');
    }
    if (race.lost === undefined || this.#attempts.size > 0) return;
    this.#race = undefined;
    this.#actions.push({ do: 'fail', ...race.lost });
  }

  /** Hands over to what is open, and gives up what takes too long. */
  #attemptsDue(now: number, { mayHandOver }: Standing): void {
    for (const [id, attempt] of this.#attempts) {
      if (attempt.openedAt !== undefined && mayHandOver && this.#present !== undefined) {
        const { way, openedAt, isRescue } = attempt;
        this.#attempts.delete(id);
        this.#closeAttempts();
        this.#other = { id, way, openedAt, welcomed: false, isRescue };
        this.#actions.push({ do: 'hand_over', id });
        return;
      }
      if (this.#endOf(attempt) > now) continue;
      this.#actions.push({ do: 'close', id });
      if (attempt.openedAt === undefined) {
        this.closed(now, id, undefined, `no connection by ${attempt.way} within ${String(OPEN_MS_MAX)} ms`);
      } else {
        this.#attempts.delete(id);
        this.#moveFrom = now + SEARCH_MS_MIN;
      }
    }
  }

  /** When an attempt is given up. How long WebSocket may take to open for the first connection is not decided here. */
  #endOf({ way, since, openedAt }: Attempt): number {
    if (openedAt !== undefined) return openedAt + HELD_MS_MAX;
    return this.#race !== undefined && way === 'websocket' ? Infinity : since + OPEN_MS_MAX;
  }

  /** A connection beside the present one has come to nothing. */
  #besideFailed(now: number, { way, openedAt, isRescue }: Attempt): void {
    this.#moveFrom = now + SEARCH_MS_MIN;
    if (way === 'websocket') return;
    this.counts.webtransportFailed += 1;
    if (openedAt !== undefined) this.#memory.soonLost(now);
    // Where nothing passes, nothing is learnt of one way.
    else if (!isRescue) this.#memory.failed(now);
  }

  /** When the server has been silent for too long; never, where there is no other way. */
  #searchAt(): number {
    if (this.#present === undefined || this.#owedSince === undefined) return Infinity;
    const at = Math.max(this.#owedSince + SILENT_MS, this.#searchFrom);
    if (this.#present.way === 'webtransport') return at;
    return this.#target === undefined ? Infinity : Math.max(at, this.#memory.notBefore);
  }

  #searchDue(now: number): void {
    if (this.#searchAt() > now) return;
    this.#searchFrom = now + SEARCH_MS_MIN;
    if (this.#present?.way === 'webtransport') this.#open(now, 'websocket', undefined, true);
    else this.#open(now, 'webtransport', this.#betterNow(now), true);
  }

  /** When the client is to be moved to the way that it should have; never, when it has that one. */
  #moveAt(): number {
    if (this.#present === undefined) return Infinity;
    // A connection that was lost without a word may never have caught up.
    const isAsked = this.#isAsked && this.#present.welcomed;
    const since = isAsked ? -Infinity : (this.#onlineSince ?? Infinity);
    const at = Math.max(since + SETTLED_MS, this.#moveFrom);
    if (this.#present.way === 'webtransport') return this.#preference === 'websocket' ? at : Infinity;
    return this.#target === undefined ? Infinity : Math.max(at, this.#memory.notBefore);
  }

  #moveDue(now: number): void {
    if (this.#attempts.size > 0 || this.#moveAt() > now) return;
    if (this.#present?.way === 'webtransport') this.#open(now, 'websocket');
    else this.#open(now, 'webtransport', this.#betterNow(now));
  }

  #open(now: number, way: Way, better?: Target, isRescue = false): void {
    this.#lastId += 1;
    const id = this.#lastId;
    this.#attempts.set(id, { way, since: now, openedAt: undefined, isRescue });
    const { host } = addressOf(this.#url);
    const url = better === undefined ? this.#url : `https://${host}:${String(better.port)}/`;
    this.#actions.push({ do: 'open', id, way, url, hashes: better?.hashes ?? [] });
  }

  #close(id: number): void {
    this.#attempts.delete(id);
    this.#actions.push({ do: 'close', id });
  }

  #closeAttempts(): void {
    for (const id of this.#attempts.keys()) this.#close(id);
  }

  /** A connection was lost: soon after its opening, or before it was of use, that is told against its way. */
  #judge(now: number, { way, openedAt, welcomed }: Used): void {
    if (way !== 'webtransport' || (welcomed && now - openedAt >= SOON_MS)) return;
    this.counts.webtransportFailed += 1;
    this.#memory.soonLost(now);
  }

  /** A connection that has lasted shows that its way works. */
  #praise(now: number): void {
    const present = this.#present;
    if (present?.way !== 'webtransport' || !present.welcomed) return;
    if (now - present.openedAt >= SOON_MS) this.#memory.forget();
  }

  get #isSecure(): boolean {
    return this.#url.startsWith('wss:');
  }

  /** Where the better way is taken to be while no welcome has told of it: a page that came by TLS can trust the server there. */
  get #guess(): Target | undefined {
    return this.#isSecure ? { port: addressOf(this.#url).port, hashes: [] } : undefined;
  }

  /** Where the better way can be tried, if anywhere. */
  get #target(): Target | undefined {
    if (!this.#hasBetter || this.#preference === 'websocket') return undefined;
    const told = this.#memory.told ?? this.#guess;
    if (told === undefined || told === 'none') return undefined;
    return this.#isSecure || told.hashes.length > 0 ? told : undefined;
  }

  #betterNow(now: number): Target | undefined {
    return this.#memory.notBefore <= now ? this.#target : undefined;
  }
}

/** The host of a WebSocket's address, with its port. */
export function hostOf(url: string): string {
  const { host, port } = addressOf(url);
  return `${host}:${String(port)}`;
}

/** Host and port of a WebSocket's address. */
function addressOf(url: string): { host: string; port: number } {
  const [, scheme, host = '', port] =
    /^(wss?):\/\/(?:[^@/?#]*@)?(\[[^\]]*\]|[^:/?#]*)(?::(\d+))?/.exec(url) ?? [];
  return { host, port: port === undefined ? (scheme === 'wss' ? 443 : 80) : Number(port) };
}
