import type { CodeName, Retry } from './generated/codes.js';
import { CODES } from './generated/codes.js';
import type { Fault } from './generated/types.js';

const NAMES: ReadonlyMap<number, keyof typeof CODES> = new Map(
  (Object.keys(CODES) as (keyof typeof CODES)[]).map((name) => [CODES[name].number, name]),
);

/** A call that did not succeed: why, and what the caller can do. The message begins with the field, if it is about one. */
export class CallError extends Error {
  override readonly name = 'CallError';
  /** Name of the code; `unknown` when the server is newer than this SDK. */
  readonly code: CodeName;
  /** Number of the code on the wire. */
  readonly number: number;
  /** Whether the same call can succeed later without a change by the caller. */
  readonly retry: Retry;
  /** Wait this long before trying again, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** The field of the request that was refused. */
  readonly field: string | undefined;
  /** The rule for text that the field breaks, such as `invisible`; `docs/text.md` lists them. */
  readonly rule: string | undefined;

  /** `retry` is that of the code, unless the client knows better. */
  constructor(fault: Fault, options?: { cause?: unknown; retry?: Retry }) {
    super(textOf(fault), options);
    const name = NAMES.get(fault.code);
    this.code = name ?? 'unknown';
    this.number = fault.code;
    this.retry = options?.retry ?? (name === undefined ? 'never' : CODES[name].retry);
    this.retryAfterMs = fault.retry_after_ms;
    this.field = fault.field;
    this.rule = fault.rule;
  }
}

/** What a fault says, with the field that it is about in front. */
export function textOf({ field, message }: Fault): string {
  return field === undefined || field === '' ? message : `${field}: ${message}`;
}

/** A fault with the code's own advice, or another message. */
export function faultOf(
  code: keyof typeof CODES,
  message: string = CODES[code].advice,
  field?: string,
): Fault {
  const fault: Fault = { code: CODES[code].number, message };
  if (field !== undefined) fault.field = field;
  return fault;
}

/** The name of a code's number. */
export function codeName(number: number): CodeName {
  return NAMES.get(number) ?? 'unknown';
}

/** Whether a fault says that the same call can succeed later. */
export function mayRetryLater(fault: Fault): boolean {
  const name = NAMES.get(fault.code);
  return name !== undefined && CODES[name].retry === 'later';
}

/** Whether a fault says that the player is suspended. */
export function isSuspended(fault: Fault): boolean {
  return fault.code === CODES.suspended.number;
}
