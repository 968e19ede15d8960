/** What a transport tells its user. Nothing is told after `closed`. */
export interface TransportEvents {
  /** The link is open: messages may be sent. */
  opened(): void;
  /** A whole message came. */
  received(message: Uint8Array): void;
  /** A datagram came, where the link has them. It may have come before, and overtake others and messages. */
  receivedDatagram?(datagram: Uint8Array): void;
  /** The link is gone, or could not be opened; with the server's close code if there was one, and why, for people to read. */
  closed(code: number | undefined, why?: string): void;
}

/** One connection that is being opened or is open. */
export interface Link {
  /** Sends a whole message. Called only between `opened` and `closed`. */
  send(message: Uint8Array): void;
  /**
   * Sends a datagram, which may get lost; one for which there is no room now is dropped. False: the link carries none, or none of
   * this length, and it has to go as a message. A transport without datagrams does not have this. Called only between `opened` and
   * `closed`.
   */
  sendDatagram?(datagram: Uint8Array): boolean;
  /** Closes the link, or stops opening it. `closed` need not follow. */
  close(code: number): void;
}

/** Opens connections that carry whole binary messages, in order and once. */
export interface Transport {
  /** Fulfilled when links can be opened; rejected, with the reason, when they never can. */
  ready?(): Promise<void>;
  /** Begins to open a link. What fails is told by `closed`, never thrown, and nothing is told before this has returned. */
  open(url: string, events: TransportEvents): Link;
}
