/**
 * out = a · bᵀ for b in GGUF blocks, a rounded to eight bits first, as llama.cpp does. A block of a row of a, as long as b's blocks,
 * becomes scale · n with whole n of at most 127 (q8_0, q8_1 or, of 256, q8_K). Sums of n · code are whole numbers; what is
 * f32 is rounded after every operation, block after block: the bits are those of every backend.
 *
 * | b | a block adds |
 * |---|---|
 * | q4_0, q5_0, q8_0 | (d · scale) · Σ n (code − centre) |
 * | q4_1, q5_1 | (d · scale) · Σ n code, then m · f16(scale · Σ n) |
 * | q4_k, q5_k | (d · scale) · Σ n code s, then −(m · scale) · Σ n minimum; s and minimum of the group |
 * | q6_k | (d · scale) · Σ n (code − 32) s |
 */
import type { Operand } from "../../tensor/backend.ts";
import { ggufBlock, type GgufType } from "../../tensor/dtype.ts";
import { encodeF16, f16Value, roundEven } from "./codecs/half.ts";
import { ggufCodes } from "./codecs/gguf_codes.ts";
import { bytesOf, floats, numbers } from "./storage.ts";

const f = Math.fround;

/** A block of a row, rounded. */
interface RoundedBlock {
  readonly scale: number;
  readonly whole: Int8Array;
  /** f16(scale · Σ n). */
  readonly total: number;
}

/** See the module comment. a [m, k], b [n, k]. */
export function matmulRounded(a: Operand, b: Operand, out: Operand): void {
  const [m, k] = a.shape as [number, number];
  const n = b.shape[0]!;
  const dtype = b.dtype as GgufType;
  const { elements, bytes } = ggufBlock(dtype);
  const blocks = k / elements;
  const [x, y, to] = [numbers(a), bytesOf(b), floats(out)];
  const rows = Array.from(
    { length: m * blocks },
    (_, i) => rounded(Float32Array.from(x.subarray(i * elements, (i + 1) * elements))),
  );
  for (let j = 0; j < n; j++) {
    const codes = Array.from(
      { length: blocks },
      (_, i) => ggufCodes(dtype, y.subarray((j * blocks + i) * bytes, (j * blocks + i + 1) * bytes)),
    );
    for (let i = 0; i < m; i++) {
      let sum = 0;
      for (let block = 0; block < blocks; block++) {
        const { scale, whole, total } = rows[i * blocks + block]!;
        const { d, m: shift, scaled, minima } = codes[block]!;
        let [products, shifts] = [0, 0];
        for (let q = 0; q < elements; q++) {
          products += whole[q]! * scaled[q]!;
          if (minima) shifts += whole[q]! * minima[q]!;
        }
        sum = f(sum + f(f(d * scale) * f(products)));
        if (shift === undefined) continue;
        sum = minima ? f(sum - f(f(shift * scale) * f(shifts))) : f(sum + f(shift * total));
      }
      to[i * n + j] = sum;
    }
  }
}

/** The largest number of a block becomes 127 or −127. */
function rounded(x: Float32Array): RoundedBlock {
  const most = x.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  const inverse = most === 0 ? 0 : f(127 / most);
  const factor = Number.isFinite(inverse) ? inverse : 0;
  const whole = Int8Array.from(x, (v) => roundEven(f(v * factor)));
  const sum = whole.reduce((sum, n) => sum + n, 0);
  const exact = !Number.isFinite(most)
    ? NaN
    : x.length === 32
    ? f(most / 127)
    : factor === 0
    ? 0
    : f(1 / factor);
  return { scale: x.length === 32 ? short(exact) : exact, whole, total: short(f(exact * sum)) };
}

/** As f16 has it; itself where that is beyond f16. */
function short(x: number): number {
  const value = f16Value(encodeF16(Float32Array.of(x))[0]!);
  return Math.abs(value) === Infinity ? x : value;
}
