/** Letters that a name needs to be taken for the beginning of another. */
const PREFIX_MIN = 3;

/** Whether it is something with properties that is no list. */
export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Which of the known names was meant by an unknown one: the one that differs in capitals or goes on, or all of them. */
export function hintOf(name: unknown, known: readonly string[]): string {
  const lower = String(name).toLowerCase();
  const meant =
    known.find((other) => other.toLowerCase() === lower) ??
    (lower.length < PREFIX_MIN ? undefined : known.find((other) => other.toLowerCase().startsWith(lower)));
  return meant === undefined ? `there are ${known.join(', ')}` : `${meant} is meant`;
}

/** Throws TypeError unless it is an object that has no other properties than these. Callers in JavaScript may give anything. */
export function checkNames(given: unknown, known: Readonly<Record<string, true>>, where: string): void {
  const names = Object.keys(known);
  if (!isObject(given)) {
    throw new TypeError(`${where}: the options have to be an object with ${names.join(', ')}`);
  }
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(known, name));
  if (unknown === undefined) return;
  throw new TypeError(`${where}: there is no option ${unknown}: ${hintOf(unknown, names)}`);
}
