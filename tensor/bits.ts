/** Conversion between an f32 and the 32-bit word with its bits, for kernels that take words. */

/** The bits of an f32 as a 32-bit word. */
export function bitsOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}

/** The f32 with a word's bits. */
export function floatOf(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0]!;
}
