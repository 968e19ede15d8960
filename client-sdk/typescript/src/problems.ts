import type { Problem } from './events.js';

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
 * The result of foreign code, which may throw, reject, or never answer: then the promise is rejected after `ms`. `started` is
 * given what stops that time.
 */
export async function within<T>(
  ms: number,
  step: () => T | PromiseLike<T>,
  started: (stop: () => void) => void,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no answer within ${String(ms)} ms`));
    }, ms);
  });
  started(() => {
    clearTimeout(timer);
  });
  const begun = async (): Promise<T> => step();
  try {
    return await Promise.race([begun(), late]);
  } finally {
    clearTimeout(timer);
  }
}
