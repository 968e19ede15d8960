import type { Methods } from '../generated/tables.js';
import type { SetPresence } from '../generated/types.js';
import type { Ticket } from './types.js';

/** Name of a method. */
export type MethodName = keyof Methods;

/** A call of the application's. */
export interface Request {
  method: MethodName;
  /** The request; it is encoded at once and not kept. */
  request: Readonly<Record<string, unknown>>;
  /** Idempotency key, drawn for this action. Without one a write is not repeated after a lost connection. */
  key?: string;
  /**
   * Whether the key was drawn for this call, so that nothing was ever sent under it. The machine then tells the server how far
   * it had seen the call's room, which spares the room's owner to look the key up. Not for a key that another call may
   * have had, also one of an earlier run: the action could take effect twice.
   */
  keyIsNew?: boolean;
  /** Time after which the call is answered with `deadline`. Absent: it waits for as long as it takes. */
  deadline?: number;
}

/** Who waits for the answer. Nobody waits for a detached call, but the machine must hear what became of it. */
export type Owner =
  'app' | 'detached' | 'resume' | 'reopen' | 'close' | 'renew' | 'refresh' | 'follow' | 'clock';

/** What the machine does when a call succeeds. */
export type Consequence =
  | { kind: 'none' }
  | { kind: 'opens'; seq: number | undefined; rev: number | undefined }
  | { kind: 'closes'; room: string }
  | { kind: 'signs_in' }
  | { kind: 'authenticates'; access: string }
  | { kind: 'signs_out' }
  | { kind: 'sets_presence'; request: SetPresence }
  /** News of a leaderboard come over the connection from then on. */
  | { kind: 'follows'; board: string }
  | { kind: 'unfollows'; board: string };

/** Where a call is. */
export type CallState = { in: 'waiting' } | { in: 'wire'; call: number } | { in: 'repeat'; at: number };

/** A call without an answer. */
export interface Pending {
  readonly ticket: Ticket;
  readonly method: MethodName;
  readonly body: Uint8Array;
  readonly key: string | undefined;
  deadline: number | undefined;
  owner: Owner;
  /** The room of a call that reopens one; the rooms of a resume. */
  readonly rooms: readonly string[];
  /** Whether a resume asks for the inbox. */
  readonly inbox: boolean;
  /** The epoch that a resume names for its cursors. */
  readonly epoch: number | undefined;
  readonly consequence: Consequence;
  /**
   * Its reply may not say what is open on this connection: it was on the wire of an earlier one, so it may be a stored reply, or a
   * room was lost since it was made.
   */
  repeated: boolean;
  /** The room that it is about, if its method runs there. */
  readonly room: string | undefined;
  /** The newest sequence of its room that was known when the call was made, until it is put on the wire for the first time. */
  firstHead: number | undefined;
  /** Calls with the same key go out in their order. */
  readonly orderingKey: string | undefined;
  state: CallState;
  refusals: number;
  signInRefusals: number;
  /** Number of the sign-in under which it was last sent. */
  signIn: number;
}
