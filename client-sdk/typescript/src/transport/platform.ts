// What is used of a platform's WebTransport.

/** What is used of the reader of a stream. */
export interface Reader {
  read(): Promise<{ done?: boolean | undefined; value?: unknown }>;
}

/** What is used of the writer of a stream. */
export interface Writer {
  readonly desiredSize?: number | null;
  write(chunk: Uint8Array): Promise<unknown>;
  close(): Promise<unknown>;
}

/** What is used of a stream's two halves. */
export interface StreamLike {
  readable: { getReader(): Reader };
  writable: { getWriter(): Writer };
}

/** What is used of the datagrams of a WebTransport. Browsers have different parts of it. */
export interface DatagramsLike {
  readonly maxDatagramSize?: number;
  readonly readable?: { getReader(): Reader };
  readonly writable?: { getWriter(): Writer };
  createWritable?(): { getWriter(): Writer };
  outgoingMaxAge?: number | null;
  outgoingMaxBufferedDatagrams?: number | null;
  outgoingHighWaterMark?: number;
}

/** What is used of a WebTransport. */
export interface WebTransportLike {
  readonly ready: Promise<unknown>;
  readonly closed: Promise<unknown>;
  readonly datagrams?: DatagramsLike;
  createBidirectionalStream(): Promise<StreamLike>;
  close(info?: { closeCode?: number; reason?: string }): void;
}

/** Makes a WebTransport. */
export type WebTransportConstructor = new (
  url: string,
  options?: { serverCertificateHashes?: { algorithm: string; value: Uint8Array<ArrayBuffer> }[] },
) => WebTransportLike;
