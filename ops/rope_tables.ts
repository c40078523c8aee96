/** Tables of rotary positions. */
import { allocate, type Backend, type Tensor } from "../tensor/mod.ts";
import { log } from "../elementary/exponential.ts";
import { pow } from "../elementary/power.ts";
import { cos, sin } from "../elementary/trigonometry.ts";

/**
 * How a model extends its positions beyond its training context. Names as in `config.json`'s `rope_scaling`.
 */
export type RopeScaling =
  | { readonly type: "none" }
  | { readonly type: "linear"; readonly factor: number }
  /** Llama 3.1: low frequencies are stretched, high ones kept, with a smooth transition between. */
  | {
    readonly type: "llama3";
    readonly factor: number;
    readonly lowFrequencyFactor: number;
    readonly highFrequencyFactor: number;
    readonly originalContext: number;
  }
  /** θ grows with the text's length beyond the original context. */
  | { readonly type: "dynamic"; readonly factor: number; readonly originalContext: number }
  /**
   * YaRN (arXiv 2309.00071, section 3): like llama3, with a transition linear in j, and a temperature on
   * attention.
   */
  | {
    readonly type: "yarn";
    readonly factor: number;
    readonly originalContext: number;
    /** β: frequencies with at least this many rotations within the original context are kept. */
    readonly fast: number;
    /** α: frequencies with at most this many rotations are stretched. */
    readonly slow: number;
    /** Whether the transition begins and ends at an integer j. */
    readonly wholeDimensions: boolean;
    /** Factor on cos and sin, √(1/t): its square is a factor on attention's scores. */
    readonly amplitude: number;
  };

/**
 * θ^(−2j/d) for j = 0 … d/2 − 1, as f32, after scaling.
 *
 * @param length Length of the text in tokens, used by "dynamic" scaling. Default 0: a short text.
 * @example
 * ```ts
 * import { inverseFrequencies } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...inverseFrequencies(4, 10_000, { type: "none" })], [1, Math.fround(0.01)]);
 * ```
 */
export function inverseFrequencies(
  headDim: number,
  theta: number,
  scaling: RopeScaling,
  length: number = 0,
): Float32Array {
  const of = (base: number): Float32Array =>
    Float32Array.from({ length: headDim / 2 }, (_, j) => 1 / Math.fround(pow(base, (2 * j) / headDim)));
  const plain = of(theta);
  switch (scaling.type) {
    case "none":
      return plain;
    case "linear":
      return plain.map((f) => f / scaling.factor);
    case "llama3": {
      const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = scaling;
      return plain.map((f) => {
        const turns = originalContext * f / (2 * Math.PI); // rotations within the original context
        if (turns > high) return f;
        if (turns < low) return f / factor;
        const smooth = (turns - low) / (high - low);
        return (1 - smooth) * (f / factor) + smooth * f;
      });
    }
    case "dynamic": {
      const { factor, originalContext } = scaling;
      const longer = Math.max(length, originalContext) / originalContext;
      return of(theta * pow(factor * longer - (factor - 1), headDim / (headDim - 2)));
    }
    case "yarn": {
      const { factor, originalContext, fast, slow, wholeDimensions } = scaling;
      // The j whose frequency has this many rotations within the original context.
      const at = (turns: number): number =>
        headDim * log(originalContext / (turns * 2 * Math.PI)) / (2 * log(theta));
      const [from, to] = [at(fast), at(slow)];
      const low = Math.max(wholeDimensions ? Math.floor(from) : from, 0);
      const end = Math.min(wholeDimensions ? Math.ceil(to) : to, headDim - 1);
      const high = end === low ? low + 0.001 : end;
      return plain.map((f, j) => {
        const stretched = Math.min(Math.max((j - low) / (high - low), 0), 1);
        return (f / factor) * stretched + f * (1 - stretched);
      });
    }
    default:
      return scaling satisfies never;
  }
}

/**
 * The factor on cos and sin that a scaling specifies.
 *
 * @example
 * ```ts
 * import { amplitudeOf } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.equal(amplitudeOf({ type: "linear", factor: 2 }), 1);
 * ```
 */
export function amplitudeOf(scaling: RopeScaling): number {
  return scaling.type === "yarn" ? scaling.amplitude : 1;
}

/**
 * cos and sin [rows, t, d/2] of positions [rows][t], times an amplitude.
 *
 * @example
 * ```ts
 * import { inverseFrequencies, ropeTables } from "@graft/peft/ops";
 * import { reference } from "@graft/peft/ops/reference";
 * import assert from "node:assert/strict";
 * const { cos, sin } = ropeTables([[0, 1, 2]], inverseFrequencies(4, 10_000, { type: "none" }), reference());
 * assert.deepEqual([cos.shape, sin.shape], [[1, 3, 2], [1, 3, 2]]);
 * ```
 */
export function ropeTables(
  positions: readonly (readonly number[])[],
  frequencies: Float32Array,
  backend: Backend,
  amplitude: number = 1,
): { readonly cos: Tensor; readonly sin: Tensor } {
  const shape = [positions.length, positions[0]!.length, frequencies.length];
  const angles = Float32Array.from(
    positions.flatMap((row) => row.flatMap((p) => [...frequencies.map((f) => p * f)])),
  );
  const table = (f: (x: number) => number): Tensor => {
    const result = allocate(backend, shape);
    backend.upload(result.raw, new Uint8Array(angles.map((angle) => amplitude * f(angle)).buffer));
    return result;
  };
  return { cos: table(cos), sin: table(sin) };
}
