/**
 * The code tables that bitsandbytes stores with its weights (`quant_map`, `nested_quant_map`), as f32 values.
 * Our dtypes fix these tables, so a file with other ones cannot be read as nf4 or fp4.
 */
import { pow } from "../elementary/power.ts";

/** NF4: quantiles of the normal distribution, index = code (QLoRA, arXiv 2305.14314, appendix E). */
export const NF4_MAP: readonly number[] = [
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
];

/** FP4: sign, two bits of exponent and one of mantissa, divided by 12; codes 8 to 15 are 0 to 7 negated. */
export const FP4_MAP: readonly number[] = [0, 0.0625, 8, 12, 4, 6, 2, 3, 0, -0.0625, -8, -12, -4, -6, -2, -3]
  .map((n) => Math.fround(n / 12));

/**
 * The signed dynamic map of 256 values (arXiv 2110.02861): for each decade 10^(i-6), i = 0 … 6, the 2^i midpoints of
 * 2^i equal parts of [0.1, 1], with both signs; 0; 1. Steps are rounded to f32 where torch rounds.
 */
export function dynamicMap(): readonly number[] {
  const f = Math.fround;
  const values = [0, 1];
  for (let i = 0; i < 7; i++) {
    const parts = 2 ** i;
    const start = f(0.1);
    const step = f(f(1 - start) / parts);
    // torch.linspace computes its second half from the end, and rounds product and sum together.
    const edge = (k: number) => k < (parts + 1) / 2 ? f(start + step * k) : f(1 - step * (parts - k));
    for (let k = 0; k < parts; k++) {
      const middle = f(f(edge(k) + edge(k + 1)) / 2);
      const value = f(f(pow(10, i - 6)) * middle);
      values.push(value, -value);
    }
  }
  return values.sort((a, b) => a - b);
}
