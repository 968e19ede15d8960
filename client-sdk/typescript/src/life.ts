import type { Phase } from './machine/state.js';

/** Where a client is in its life. */
export type Life =
  /** `connect` was never called. */
  | 'new'
  /** `connect` was called; it is not known yet whether there is anything to connect with. */
  | 'starting'
  /** A connection is being made: tokens are read, the link is opened, the server has not welcomed the client. */
  | 'connecting'
  /** Welcomed by the server. */
  | 'online'
  /** No connection, until the next attempt. */
  | 'waiting'
  /** The server wants the client to stay away, for the reason of its close code. */
  | 'stopped'
  /** Closed by the application, for good. */
  | 'closed';

/** What a client can be asked for. */
export type Ask = 'connect' | 'online' | 'call' | 'on' | 'events' | 'input' | 'retryNow' | 'close';

/** What it does then. */
export type Does =
  /** It begins to connect; the promise is fulfilled when it is decided who is signed in. */
  | 'begins'
  /** The promise is fulfilled as soon as it is decided who is signed in. */
  | 'waits'
  /** It is done at once. */
  | 'acts'
  /** Nothing. */
  | 'nothing'
  /** The promise is rejected with `disconnected`, at once. */
  | 'refuses'
  /** The iterator ends, at once. */
  | 'ends';

/**
 * What a client does in each state of its life, for each thing that it can be asked for. A call `waits` for a connection and, if
 * its method needs one, for the player, as long as a sign-in is under way; calls for the moment are refused instead.
 */
export const LIFE: Readonly<Record<Life, Readonly<Record<Ask, Does>>>> = {
  new: {
    connect: 'begins',
    online: 'waits',
    call: 'waits',
    on: 'acts',
    events: 'acts',
    input: 'nothing',
    retryNow: 'nothing',
    close: 'acts',
  },
  starting: {
    connect: 'waits',
    online: 'waits',
    call: 'waits',
    on: 'acts',
    events: 'acts',
    input: 'nothing',
    retryNow: 'nothing',
    close: 'acts',
  },
  connecting: {
    connect: 'waits',
    online: 'waits',
    call: 'waits',
    on: 'acts',
    events: 'acts',
    input: 'nothing',
    retryNow: 'nothing',
    close: 'acts',
  },
  online: {
    connect: 'waits',
    online: 'waits',
    call: 'acts',
    on: 'acts',
    events: 'acts',
    input: 'acts',
    retryNow: 'nothing',
    close: 'acts',
  },
  waiting: {
    connect: 'waits',
    online: 'waits',
    call: 'waits',
    on: 'acts',
    events: 'acts',
    input: 'nothing',
    retryNow: 'acts',
    close: 'acts',
  },
  stopped: {
    connect: 'begins',
    online: 'refuses',
    call: 'refuses',
    on: 'acts',
    events: 'acts',
    input: 'nothing',
    retryNow: 'nothing',
    close: 'acts',
  },
  closed: {
    connect: 'refuses',
    online: 'refuses',
    call: 'refuses',
    on: 'nothing',
    events: 'ends',
    input: 'nothing',
    retryNow: 'nothing',
    close: 'nothing',
  },
};

/** The state that a phase of the machine stands for. */
export function lifeOf(phase: Phase, starting: boolean): Life {
  switch (phase.is) {
    case 'idle':
      return starting ? 'starting' : 'new';
    case 'waiting':
      return 'waiting';
    case 'connecting':
    case 'handshaking':
      return 'connecting';
    case 'open':
      return 'online';
    case 'stopped':
      return starting ? 'starting' : 'stopped';
  }
}
