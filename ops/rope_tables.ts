/** Tables of rotary positions. */
import { allocate, type Backend, type Tensor } from "../core/tensor/mod.ts";

/** How a model stretches its positions beyond what it was trained on. Names as in `config.json`'s `rope_scaling`. */
export type RopeScaling =
  | { readonly type: "none" }
  | { readonly type: "linear"; readonly factor: number }
  /** Llama 3.1: low frequencies are stretched, high ones kept, with a smooth passage between. */
  | {
    readonly type: "llama3";
    readonly factor: number;
    readonly lowFrequencyFactor: number;
    readonly highFrequencyFactor: number;
    readonly originalContext: number;
  };

/**
 * θ^(−2j/d) for j = 0 … d/2 − 1, as f32, after scaling.
 *
 * @example
 * ```ts
 * import { inverseFrequencies } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...inverseFrequencies(4, 10_000, { type: "none" })], [1, Math.fround(0.01)]);
 * ```
 */
export function inverseFrequencies(headDim: number, theta: number, scaling: RopeScaling): Float32Array {
  const plain = Float32Array.from(
    { length: headDim / 2 },
    (_, j) => 1 / Math.fround(theta ** ((2 * j) / headDim)),
  );
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
    default:
      return scaling satisfies never;
  }
}

/**
 * cos and sin [rows, t, d/2] of positions [rows][t].
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
): { readonly cos: Tensor; readonly sin: Tensor } {
  const shape = [positions.length, positions[0]!.length, frequencies.length];
  const angles = Float32Array.from(
    positions.flatMap((row) => row.flatMap((p) => [...frequencies.map((f) => p * f)])),
  );
  const table = (f: (x: number) => number): Tensor => {
    const result = allocate(backend, shape);
    backend.upload(result.raw, new Uint8Array(angles.map(f).buffer));
    return result;
  };
  return { cos: table(Math.cos), sin: table(Math.sin) };
}
