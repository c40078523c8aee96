/** Words for one submission: written on the host, sent in one piece before the commands that read them. */

/** A buffer of words with its host copy. */
export interface Ring {
  readonly buffer: GPUBuffer;
  readonly words: Uint32Array<ArrayBuffer>;
  /** The same bytes as f32. */
  readonly floats: Float32Array<ArrayBuffer>;
  fits(words: number): boolean;
  /** Reserves words; returns the index of the first. */
  take(words: number): number;
  /** Sends the reserved words, and starts over. */
  send(): void;
}

/** A ring of `length` words whose pieces start at multiples of `alignment` bytes. */
export function ring(device: GPUDevice, length: number, usage: number, alignment: number): Ring {
  const buffer = device.createBuffer({ size: 4 * length, usage: usage | GPUBufferUsage.COPY_DST });
  const words = new Uint32Array(length);
  const step = alignment / 4;
  let used = 0;
  return {
    buffer,
    words,
    floats: new Float32Array(words.buffer),
    fits: (n) => used + n <= length,
    take(n): number {
      const at = used;
      used += Math.ceil(n / step) * step;
      return at;
    },
    send(): void {
      if (used > 0) device.queue.writeBuffer(buffer, 0, words, 0, Math.min(used, length));
      used = 0;
    },
  };
}
