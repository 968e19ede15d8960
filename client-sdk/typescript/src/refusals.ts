import { CallError, faultOf } from './errors.js';
import { isA } from './foreign.js';
import { Refused } from './machine/calls.js';
import { SHAPES } from './generated/shapes.js';
import type { MethodName } from './machine/pending.js';
import { isObject } from './names.js';
import { reasonOf } from './problems.js';
import { checkShape, Misfit } from './wire/shape.js';

/**
 * Throws unless it is a request of this method. Fields that the method does not have are let through, for a newer server may have them;
 * they are named when another one is missing.
 */
export function checkRequest(method: MethodName, request: unknown): void {
  if (request === undefined || request === null) {
    const example = Object.keys(SHAPES[method] ?? {}).join(', ');
    const what = example === '' ? '{}' : `{ ${example} }`;
    throw new CallError(
      faultOf('invalid_argument', `call('${method}', request): a request is missing, such as ${what}`),
    );
  }
  const unknown = unknownField(method, request);
  try {
    checkShape(method, request);
  } catch (error) {
    if (!(error instanceof Misfit) || unknown === undefined || error.expected !== 'a value') throw error;
    throw new CallError(
      faultOf('invalid_argument', `is missing; there is no field ${unknown}`, error.field),
      { cause: error },
    );
  }
}

/** The first field of a request that its method does not have. */
function unknownField(method: MethodName, request: unknown): string | undefined {
  const known = SHAPES[method] ?? {};
  if (!isObject(request)) return undefined;
  return Object.keys(request).find((name) => !Object.hasOwn(known, name));
}

/** What kept a call from being made, as its caller is told. */
export function asCallError(error: unknown): CallError {
  if (isA(error, CallError)) return error;
  if (isA(error, Misfit)) {
    return new CallError(faultOf('invalid_argument', `expected ${error.expected}`, error.field), {
      cause: error,
    });
  }
  if (isA(error, Refused)) {
    const code = {
      queue_full: 'overloaded',
      stopped: 'disconnected',
      too_long: 'invalid_argument',
      key: 'invalid_argument',
    } as const;
    return new CallError(faultOf(code[error.why], error.message), { cause: error });
  }
  // Something of the application's threw: a getter of the request, or its source of random bytes.
  return new CallError(faultOf('invalid_argument', `the call could not be made: ${reasonOf(error)}`), {
    cause: error,
  });
}
