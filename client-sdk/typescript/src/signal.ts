import { CallError, faultOf } from './errors.js';
import { attempt } from './foreign.js';
import type { AbortSignalLike } from './options.js';

/** An AbortSignal of the application's. What it throws when it is let go of is told, and stops nothing. */
export class Signal {
  readonly #signal: AbortSignalLike;
  readonly #failed: (error: unknown) => void;
  #listener: (() => void) | undefined;

  private constructor(signal: AbortSignalLike, failed: (error: unknown) => void) {
    this.#signal = signal;
    this.#failed = failed;
  }

  /** Throws CallError for what is none. */
  static of(signal: AbortSignalLike | undefined, failed: (error: unknown) => void): Signal | undefined {
    if (signal === undefined) return undefined;
    try {
      const { addEventListener, removeEventListener } = (signal as Partial<AbortSignalLike> | null) ?? {};
      if (typeof addEventListener === 'function' && typeof removeEventListener === 'function') {
        return new Signal(signal, failed);
      }
    } catch (error) {
      throw noSignal(error);
    }
    throw noSignal(undefined);
  }

  /** Whether it has been given. Throws CallError when it does not say. */
  get isAborted(): boolean {
    try {
      return this.#signal.aborted;
    } catch (error) {
      throw noSignal(error);
    }
  }

  /** Calls the listener when it is given, which may be at once. Throws CallError when it takes no listener. */
  listen(listener: () => void): void {
    this.#listener = listener;
    try {
      this.#signal.addEventListener('abort', listener, { once: true });
    } catch (error) {
      throw noSignal(error);
    }
  }

  /** Listens no more. */
  ignore(): void {
    const listener = this.#listener;
    this.#listener = undefined;
    if (listener === undefined) return;
    attempt(() => {
      this.#signal.removeEventListener('abort', listener);
    }, this.#failed);
  }

  /** What a call ends with that it gives up. */
  cancelled(): CallError {
    return new CallError(faultOf('cancelled'), { cause: attempt(() => this.#signal.reason, this.#failed) });
  }
}

function noSignal(cause: unknown): CallError {
  return new CallError(faultOf('invalid_argument', 'has to be an AbortSignal', 'signal'), { cause });
}
