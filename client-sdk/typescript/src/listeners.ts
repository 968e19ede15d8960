import type { ClientEvents, EventName } from './events.js';
import { isDurable, isLasting } from './events.js';
import type { Problem } from './events.js';
import { logProblem } from './problems.js';

/** Most events of one kind that are kept until the first listener for them comes. The oldest goes. */
export const UNHEARD_MAX = 256;

/** What it returns is of no interest, but for a promise that is rejected. */
type Listener<E extends EventName> = (event: ClientEvents[E]) => unknown;

/** Events of one kind that nobody has listened for yet. */
interface Unheard {
  events: unknown[];
  dropped: number;
  /** A listener has come, who is about to hear them. */
  due: boolean;
}

/**
 * Who listens for what. What is told only once, such as entries of streams, and what lasts, such as presence, is kept until its
 * first listener comes: an event may be faster than the line of a program that begins to listen.
 */
export class Listeners {
  readonly #listeners = new Map<EventName, Set<Listener<never>>>();
  readonly #unheard = new Map<EventName, Unheard>();
  readonly #heard = new Set<EventName>();
  #over = false;

  /** Adds a listener and returns what removes it. What was kept is heard a moment later, before anything newer. */
  add<E extends EventName>(name: E, listener: Listener<E>): () => void {
    if (this.#over) return () => undefined;
    // A set of entries, so that one function may listen twice.
    const entry: Listener<E> = (event) => listener(event);
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(entry));
    this.#heard.add(name);
    const unheard = this.#unheard.get(name);
    if (unheard !== undefined && !unheard.due) {
      unheard.due = true;
      queueMicrotask(() => {
        this.#catchUp(name, unheard);
      });
    }
    return () => {
      listeners.delete(entry);
    };
  }

  /** Tells all listeners. */
  emit<E extends EventName>(name: E, event: ClientEvents[E]): void {
    if (this.#over) return;
    const unheard = this.#unheard.get(name);
    if (unheard !== undefined || (!this.#heard.has(name) && isLasting(name))) {
      return this.#keep(name, unheard ?? { events: [], dropped: 0, due: false }, event);
    }
    this.#tell(name, event);
  }

  /** Tells of a problem; writes it to the console when nobody listens. */
  problem(problem: Problem): void {
    const listeners = this.#listeners.get('problem');
    if (listeners === undefined || listeners.size === 0) logProblem(problem);
    else this.#tell('problem', problem);
  }

  /** Nobody hears anything any more. */
  end(): void {
    this.#over = true;
    this.#listeners.clear();
    this.#unheard.clear();
  }

  #keep(name: EventName, unheard: Unheard, event: unknown): void {
    this.#unheard.set(name, unheard);
    unheard.events.push(event);
    if (unheard.events.length <= UNHEARD_MAX) return;
    unheard.events.shift();
    unheard.dropped += 1;
  }

  #catchUp(name: EventName, unheard: Unheard): void {
    unheard.due = false;
    if (this.#over) return;
    // Who has gone again at once, as some user interfaces do when they start, has heard nothing.
    if (this.#listeners.get(name)?.size === 0) {
      this.#heard.delete(name);
      return;
    }
    if (unheard.dropped > 0 && isDurable(name)) {
      this.problem({ kind: 'unheard', event: name, dropped: unheard.dropped });
    }
    // A listener may cause more: what it causes comes after what waits.
    for (let event = unheard.events.shift(); event !== undefined; event = unheard.events.shift()) {
      this.#tell(name, event as ClientEvents[typeof name]);
    }
    this.#unheard.delete(name);
  }

  /** What a listener throws keeps nobody from hearing. */
  #tell<E extends EventName>(name: E, event: ClientEvents[E]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        // A listener may also return a promise that is rejected.
        const returned = (listener as Listener<E>)(event);
        if (isThenable(returned)) returned.then(undefined, (error: unknown) => this.#failed(name, error));
      } catch (error) {
        this.#failed(name, error);
      }
    }
  }

  #failed(name: EventName, error: unknown): void {
    const problem: Problem = { kind: 'listener', event: name, error };
    // Whoever cannot hear of problems is not told of this one.
    if (name === 'problem') logProblem(problem);
    else this.problem(problem);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}
