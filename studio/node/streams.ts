/** Standard outputs of a program in a tab: lines that somebody may listen to. */

/** The outputs by number. */
export type OutputNumber = 1 | 2;

class StandardStreams {
  readonly #listeners = new Set<(stream: OutputNumber, text: string) => void>();
  readonly #decoders = { 1: new TextDecoder(), 2: new TextDecoder() };

  /** Calls `heard` with what is written, until the returned function is called. */
  listen(heard: (stream: OutputNumber, text: string) => void): () => void {
    this.#listeners.add(heard);
    return () => void this.#listeners.delete(heard);
  }

  /** Writes. */
  write(stream: OutputNumber, bytes: Uint8Array): void {
    const text = this.#decoders[stream].decode(bytes, { stream: true });
    for (const heard of this.#listeners) heard(stream, text);
  }
}

/** The tab's own. */
export const standardStreams: StandardStreams = new StandardStreams();
