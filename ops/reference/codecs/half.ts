/**
 * Sixteen-bit floats: f16 (1 sign, 5 exponent, 10 fraction bits; IEEE 754 binary16) and bf16 (the upper half of an
 * f32). Encoding rounds to nearest, ties to even; values past the largest f16 become infinite; NaN stays a quiet NaN.
 */

/** The value of 16 bits of f16. */
export function f16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** f16 bits to f32 values. */
export function decodeF16(bits: Uint16Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(bits, f16Value);
}

/** f32 values to f16 bits. */
export function encodeF16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = wordsOf(values);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const sign = (words[i]! >>> 16) & 0x8000;
    const magnitude = words[i]! & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) out[i] = sign | 0x7E00;
    else if (magnitude >= 0x47800000) out[i] = sign | 0x7C00; // 2^16 and above
    else if (magnitude < 0x38800000) out[i] = sign | roundEven(Math.abs(values[i]!) * 2 ** 24); // below 2^-14
    else {
      const rebased = magnitude - (112 << 23); // exponent bias 127 becomes 15
      out[i] = sign | ((rebased + 0xFFF + ((rebased >>> 13) & 1)) >>> 13);
    }
  }
  return out;
}

/** bf16 bits to f32 values. */
export function decodeBf16(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return new Float32Array(words.buffer);
}

/** f32 values to bf16 bits. */
export function encodeBf16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = wordsOf(values);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const word = words[i]!;
    out[i] = (word & 0x7FFFFFFF) > 0x7F800000
      ? (word >>> 16) | 0x40
      : (word + 0x7FFF + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}

/** The nearest integer, ties to the even one, as IEEE 754 rounds. */
export function roundEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

const wordsOf = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.length);
