import type { QuicAddress } from '../generated/types.js';

/** For how long the better way is not tried after it has failed; doubled with each failure after that. */
const REST_MS = 300_000;

/** The longest of these times. */
const REST_MS_MAX = 3_600_000;

/** How often a connection may be lost soon after it was opened before that counts as a failure. */
const SOON_LOST_MAX = 2;

/** Most hosts that a page remembers. The one that was asked for first is forgotten before another is remembered. */
const HOSTS_MAX = 64;

/** Where a server takes connections by the better way. */
export interface Target {
  port: number;
  /** SHA-256 of the certificates to trust; none where the platform trusts the server's. */
  hashes: readonly string[];
}

/** What a page knows of the better way to a host, for as long as it lives. Times are those of `performance.now()`, which its clients share. */
export class WayMemory {
  /** Where the server says that it takes such connections; `none`: it takes none. Absent before a welcome. */
  told: Target | 'none' | undefined;
  /** When it may be tried again. */
  notBefore = 0;
  #failures = 0;
  #soonLost = 0;

  /**
   * The welcome says where, which was taken for `guess` as long as nobody knew. What failed elsewhere, or with another certificate,
   * says nothing of it. Whether it is elsewhere.
   */
  hear(quic: QuicAddress | undefined, guess: Target | undefined): boolean {
    const before = this.told ?? guess;
    this.told = targetOf(quic);
    const isElsewhere = JSON.stringify(this.told) !== JSON.stringify(before);
    if (isElsewhere) this.forget();
    return isElsewhere;
  }

  /** It could not be opened, though the other way works. */
  failed(now: number): void {
    const rest = Math.min(REST_MS_MAX, REST_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#soonLost = 0;
    this.notBefore = now + rest;
  }

  /** It was lost soon after it had been opened. */
  soonLost(now: number): void {
    this.#soonLost += 1;
    if (this.#soonLost >= SOON_LOST_MAX) this.failed(now);
  }

  /** It works, or is to be tried whatever has failed. */
  forget(): void {
    this.#failures = 0;
    this.#soonLost = 0;
    this.notBefore = 0;
  }
}

/** What the welcome's `quic` means for a client that has WebTransport. */
function targetOf(quic: QuicAddress | undefined): Target | 'none' {
  if (quic === undefined) return 'none';
  return { port: quic.port, hashes: quic.certificate_hashes ?? [] };
}

const memories = new Map<string, WayMemory>();

/** What this page knows of a host. */
export function memoryOf(host: string): WayMemory {
  const known = memories.get(host);
  if (known !== undefined) return known;
  const [oldest] = memories.keys();
  if (memories.size >= HOSTS_MAX && oldest !== undefined) memories.delete(oldest);
  const memory = new WayMemory();
  memories.set(host, memory);
  return memory;
}
