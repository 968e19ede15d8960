// Code of the application's and of the platform's: options, signals, sockets and their events, stores, errors. Each touch of it may
// throw, so each is made by one of these.

/** What `step` gives; nothing if it throws, which `failed` is told. */
export function attempt<T>(step: () => T, failed?: (error: unknown) => void): T | undefined {
  try {
    return step();
  } catch (error) {
    failed?.(error);
    return undefined;
  }
}

/** A property of whatever it is; nothing if there is none, or it can not be looked at. */
export function property(of: unknown, name: string): unknown {
  return attempt(() => (of as Record<string, unknown> | null | undefined)?.[name]);
}

/** Whether it is one; false also for what can not be looked at. */
export function isA<T>(value: unknown, type: abstract new (...args: never[]) => T): value is T {
  return attempt(() => value instanceof type) === true;
}

/** The first items of a list; none if it is no list. */
export function firstItems(list: unknown, count: number): unknown[] {
  return attempt(() => (Array.isArray(list) ? (list as unknown[]).slice(0, count) : [])) ?? [];
}
