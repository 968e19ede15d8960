import { attempt as attempted } from './foreign.js';
import { reasonOf, shortLine } from './problems.js';
import type { Link, TransportEvents } from './transport/transport.js';
import { isBytes } from './wire/shape.js';

/** What a link is to the client: one that is being opened or waits, the one that it speaks on, or the other one of a handover. */
export type Role = 'candidate' | 'present' | 'other';

/** What links tell. Nothing is told of a link that has been closed. */
export interface LinkEvents {
  /** A link is open. */
  opened(id: number): void;
  /** A message came. */
  received(role: Role, message: Uint8Array): void;
  /** A datagram came. */
  receivedDatagram(role: Role, datagram: Uint8Array): void;
  /** A link is gone, or could not be opened. */
  closed(id: number, role: Role, code: number | undefined, why: string | undefined): void;
  /** A transport threw. */
  failed(error: unknown): void;
}

interface Open {
  readonly id: number;
  link: Link | undefined;
  isOpen: boolean;
}

/** The links of a client, and all that is done with the code of transports, which may throw. */
export class Links {
  readonly #events: LinkEvents;
  readonly #candidates = new Map<number, Open>();
  #present: Open | undefined;
  #other: Open | undefined;

  constructor(events: LinkEvents) {
    this.#events = events;
  }

  /** Begins to open a link, which `begin` does. */
  open(id: number, begin: (events: TransportEvents) => Link): void {
    const open: Open = { id, link: undefined, isOpen: false };
    this.#candidates.set(id, open);
    try {
      open.link = begin({
        opened: () => {
          if (open.isOpen || this.#roleOf(open) === undefined) return;
          open.isOpen = true;
          this.#events.opened(id);
        },
        received: (message) => {
          if (attempted(() => isBytes(message)) !== true) {
            return this.#broke(open, new TypeError('the transport gave something that is no bytes'));
          }
          const role = this.#roleOf(open);
          if (role !== undefined) this.#events.received(role, message);
        },
        receivedDatagram: (datagram) => {
          const role = this.#roleOf(open);
          if (role === undefined || attempted(() => isBytes(datagram)) !== true) return;
          this.#events.receivedDatagram(role, datagram);
        },
        closed: (code, why) => {
          this.#ended(open, closeCode(code), reasonText(why));
        },
      });
    } catch (error) {
      this.#broke(open, error);
    }
    // It may have been closed before it was there.
    if (this.#roleOf(open) === undefined) this.#close(open, 1000);
  }

  /** The client speaks on this one from now on. */
  use(id: number): void {
    this.#present = this.#take(id);
  }

  /** It is the other one of a handover. */
  useAsOther(id: number): void {
    this.#other = this.#take(id);
  }

  /** The present one and the other change their roles. */
  swap(): void {
    [this.#present, this.#other] = [this.#other, this.#present];
  }

  send(role: 'present' | 'other', message: Uint8Array): void {
    const open = role === 'present' ? this.#present : this.#other;
    try {
      open?.link?.send(message);
    } catch (error) {
      if (open !== undefined) this.#broke(open, error);
    }
  }

  /** Sends a datagram over the present link. False: it carries none, or none of this length. */
  sendDatagram(datagram: Uint8Array): boolean {
    const open = this.#present;
    try {
      return open?.link?.sendDatagram?.(datagram) === true;
    } catch (error) {
      if (open !== undefined) this.#broke(open, error);
      return false;
    }
  }

  close(which: 'present' | 'other' | { candidate: number }, code: number): void {
    let open: Open | undefined;
    if (which === 'present') {
      open = this.#present;
      this.#present = undefined;
    } else if (which === 'other') {
      open = this.#other;
      this.#other = undefined;
    } else {
      open = this.#take(which.candidate);
    }
    if (open !== undefined) this.#close(open, code);
  }

  #take(id: number): Open | undefined {
    const open = this.#candidates.get(id);
    this.#candidates.delete(id);
    return open;
  }

  #roleOf(open: Open): Role | undefined {
    if (this.#present === open) return 'present';
    if (this.#other === open) return 'other';
    return this.#candidates.get(open.id) === open ? 'candidate' : undefined;
  }

  /** The transport threw, so nothing more is to be expected of this link. */
  #broke(open: Open, error: unknown): void {
    this.#events.failed(error);
    if (this.#roleOf(open) === undefined) return;
    this.#close(open, 1000);
    this.#ended(open, undefined, reasonOf(error));
  }

  #ended(open: Open, code: number | undefined, why: string | undefined): void {
    const role = this.#roleOf(open);
    if (role === undefined) return;
    if (role === 'present') this.#present = undefined;
    else if (role === 'other') this.#other = undefined;
    else this.#candidates.delete(open.id);
    this.#events.closed(open.id, role, code, why);
  }

  #close(open: Open, code: number): void {
    const { link } = open;
    open.link = undefined;
    try {
      link?.close(code);
    } catch (error) {
      this.#events.failed(error);
    }
  }
}

/** What a transport gave as a close code, if it is one. */
function closeCode(code: unknown): number | undefined {
  return Number.isInteger(code) ? (code as number) : undefined;
}

/** What a transport gave as a reason, if it is a text. */
function reasonText(why: unknown): string | undefined {
  return typeof why === 'string' ? shortLine(why) : undefined;
}
