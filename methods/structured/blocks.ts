/** The pieces of a layer's input that OFT and BOFT rotate. */
import { type MatrixPlace, sizesOf } from "../../core/mod.ts";
import { any, bounded, count, fields, type OptionSchema } from "../../core/options/mod.ts";
import { rangeError } from "../../errors/error.ts";

/** How an input is divided into pieces: by their size or their number. */
export type Blocks = { readonly size: number } | { readonly count: number };

/** Blocks as an option. */
export const blocksSchema: OptionSchema<Blocks> = any<
  [{ readonly size: number }, { readonly count: number }]
>(
  fields({ size: bounded(count, "width") }),
  fields({ count: bounded(count, "width") }),
);

/**
 * How a layer's input is divided.
 *
 * @throws {RangeError} when that leaves a remainder.
 * @example
 * ```ts
 * import { freshModel, blocksOf, reference, size, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.deepEqual(blocksOf("mine", spec.linears[0]!, { count: 2 }), { size: 8, count: 2 });
 * assert.throws(() => blocksOf("mine", spec.linears[0]!, { size: 5 }), /is no multiple of the block size 5/);
 * ```
 */
export function blocksOf(
  method: string,
  place: MatrixPlace,
  blocks: Blocks,
  uneven: "refuse" | "nearest" = "refuse",
): { readonly size: number; readonly count: number } {
  const { inFeatures } = sizesOf(place);
  const given = "size" in blocks ? blocks.size : blocks.count;
  const n = inFeatures % given === 0 || uneven === "refuse" ? given : nearestDivisor(inFeatures, given);
  if (inFeatures % n !== 0) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot put ${method} on "${place.path}": its input of ${inFeatures} is no multiple of the block ${
        "size" in blocks ? "size" : "count"
      } ${given}`,
    );
  }
  return "size" in blocks ? { size: n, count: inFeatures / n } : { size: inFeatures / n, count: n };
}

/** Of two equally near divisors, the lower one. */
function nearestDivisor(n: number, wanted: number): number {
  for (let d = 0; d < n; d++) {
    for (const candidate of [wanted - d, wanted + d]) {
      if (candidate >= 1 && candidate <= n && n % candidate === 0) return candidate;
    }
  }
  return n;
}
