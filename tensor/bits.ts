/** An f32 as the word that holds it, for kernels that take words, and back. */

/** The bits of an f32 as a word. */
export function bitsOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}

/** The f32 of a word's bits. */
export function floatOf(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0]!;
}
