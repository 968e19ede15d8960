import type { EventName } from './events.js';
import type { Unreadable } from './machine/types.js';

/**
 * Something went wrong that no call can be told of, and the client went on: in code of the application that it called, or in
 * what the server sent.
 */
export type Problem =
  /** The token store threw, did not answer in time, or gave something that is no tokens. */
  | { kind: 'token_store'; doing: 'load' | 'save'; error: unknown }
  /** A listener threw. */
  | { kind: 'listener'; event: EventName; error: unknown }
  /** The transport threw. The connection counts as lost. */
  | { kind: 'transport'; error: unknown }
  /** So many of the oldest events were dropped, because nobody listened for them until now. */
  | { kind: 'unheard'; event: EventName; dropped: number }
  /** Something could not be read and was stepped over. */
  | ({ kind: 'unreadable' } & Unreadable);

/** Where a problem is written when nobody listens for it. */
export function logProblem(problem: Problem): void {
  const { console } = globalThis as { console?: { error(...parts: unknown[]): void } };
  try {
    console?.error('pitturu:', problem);
  } catch {
    // There is nowhere left to tell of it.
  }
}

/**
 * The result of foreign code, which may throw, reject, or never answer: then the promise is rejected after `ms`. The timer
 * stops when `stopped` is called back.
 */
export function within<T>(
  ms: number,
  step: () => T | PromiseLike<T>,
  started: (stop: () => void) => void = () => undefined,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`no answer within ${String(ms)} ms`));
    }, ms);
    const stop = (): void => {
      clearTimeout(timer);
    };
    started(stop);
    const settle = async (): Promise<T> => step();
    settle().then(
      (value) => {
        stop();
        resolve(value);
      },
      (error: unknown) => {
        stop();
        // What foreign code throws is passed on as it is.
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        reject(error);
      },
    );
  });
}
