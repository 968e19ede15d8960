import { CallError, faultOf } from './errors.js';
import { Refused } from './machine/calls.js';
import { Misfit } from './wire/shape.js';

/** What kept a call from being made, as its caller is told. */
export function asCallError(error: unknown): CallError {
  if (error instanceof CallError) return error;
  if (error instanceof Misfit) {
    return new CallError(faultOf('invalid_argument', error.message, error.field), { cause: error });
  }
  if (error instanceof Refused) {
    const code = {
      queue_full: 'overloaded',
      stopped: 'disconnected',
      too_long: 'invalid_argument',
      key: 'invalid_argument',
    } as const;
    return new CallError(faultOf(code[error.why], error.message), { cause: error });
  }
  // Something of the application's threw: a getter of the request, or its source of random bytes.
  const message = error instanceof Error ? error.message : String(error);
  return new CallError(faultOf('invalid_argument', `the call could not be made: ${message}`), {
    cause: error,
  });
}
