import type { Problem } from './events.js';
import { firstItems, property } from './foreign.js';

/** Where a problem is written when nobody listens for it. */
export function logProblem(problem: Problem): void {
  const { console } = globalThis as { console?: { error(...parts: unknown[]): void } };
  try {
    console?.error(`pitturu: ${problemText(problem)}`, ...('error' in problem ? [problem.error] : []));
  } catch {
    // There is nowhere left to tell of it.
  }
}

/** A problem in a sentence for people, without the stack of the error that it holds. */
export function problemText(problem: Problem): string {
  switch (problem.kind) {
    case 'token_store':
      return `the token store could not ${problem.doing}: ${reasonOf(problem.error)}`;
    case 'listener':
      return `a listener for ${problem.event} threw: ${reasonOf(problem.error)}`;
    case 'signal':
      return `an AbortSignal threw: ${reasonOf(problem.error)}`;
    case 'mismatch':
      return `client and server do not fit: ${problem.why}`;
    case 'transport':
      return `the transport threw: ${reasonOf(problem.error)}`;
    case 'unreachable':
      return `no connection: ${problem.why}. It goes on trying`;
    case 'unheard':
      return `${String(problem.dropped)} of ${problem.event} were dropped: nobody listened for them`;
    case 'unreadable':
      return `${problem.name} could not be read and was stepped over: ${problem.reason}`;
  }
}

/** Longest reason that is taken from foreign code. */
const REASON_MAX = 300;

/** Errors within errors that are looked into. */
const CAUSES_MAX = 4;

/** What an error says, with what caused it, on one line. */
export function reasonOf(error: unknown, depth = 0): string {
  const [message, code, cause] = ['message', 'code', 'cause'].map((name) => property(error, name));
  const parts: string[] = [];
  if (typeof message === 'string' && message !== '') parts.push(message);
  if (depth < CAUSES_MAX) {
    // One for each address of the host, when it has several.
    const within = parts.length === 0 ? firstItems(property(error, 'errors'), CAUSES_MAX) : [];
    if (cause !== undefined) within.push(cause);
    parts.push(...within.map((inner) => reasonOf(inner, depth + 1)).filter((text) => text !== ''));
  }
  if (parts.length === 0 && typeof code === 'string') parts.push(code);
  if (parts.length === 0 && typeof error === 'string') parts.push(error);
  return shortLine([...new Set(parts)].join('; '));
}

/** Text of others, short and on one line. */
export function shortLine(text: string): string {
  return text
    .slice(0, 4 * REASON_MAX)
    .replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
    .trim()
    .slice(0, REASON_MAX);
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
