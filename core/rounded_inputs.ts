/**
 * Inputs rounded as llama.cpp rounds them: it multiplies a matrix stored as q8_0 by inputs that it stores as q8_0 first (8 bits a
 * number, one f16 scale for 32). Here inputs are f32 unless this asks otherwise.
 */
import { castTo, Tensor } from "./tensor/mod.ts";
import { graft } from "./graft.ts";
import type { LinearMap } from "./linear_map.ts";
import type { Method } from "./method.ts";
import type { Model } from "./model.ts";
import { lookup } from "./weights.ts";

/**
 * The model as llama.cpp computes it: what meets a matrix stored as q8_0 is rounded to q8_0. Logits, and greedy text with them, are then
 * those of llama.cpp but for f32's own rounding. For reading, not for training; matrices of other dtypes stay as they are.
 *
 * @throws {TypeError} when it is merged, or trained through: rounding is no linear map.
 * @example
 * ```ts
 * import { forward, freshModel, quantize, read, reference, roundedInputs, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const fresh = freshModel(smallConfig("llama", { width: 32 }), { backend: reference(), key: 0 });
 * const model = quantize(fresh, { dtype: "q8_0" });
 * const logits = async (which: typeof model) => read(forward(which, { inputIds: [[1, 2, 3]] }).logits);
 * assert.notDeepEqual(await logits(roundedInputs(model)), await logits(model));
 * ```
 */
export function roundedInputs<M extends Model>(model: M): M {
  const method: Method = {
    name: "roundedInputs",
    config: {},
    init: () => ({}),
    edits: (_, { linears, heads }) =>
      [...linears, ...heads].flatMap((place) => {
        const matrix = "tiedTo" in place && place.tiedTo !== undefined ? place.tiedTo : place.path;
        const leaf = lookup(model.weights, `${matrix}.weight`);
        if (!(leaf instanceof Tensor) || leaf.dtype !== "q8_0") return [];
        const change = { form: "input", map: rounding(place.inFeatures) } as const;
        return [{ kind: "linear", path: place.path, change } as const];
      }),
  };
  return graft(model, { method, params: {} });
}

function rounding(features: number): LinearMap {
  const unlike = (): never => {
    throw new TypeError("Rounding inputs to q8_0 is no linear map, so no weight holds it");
  };
  return {
    inFeatures: features,
    outFeatures: features,
    tensors: [],
    cost: features,
    apply: (x) => castTo(castTo(x, "q8_0"), "f32"),
    weight: unlike,
    columns: unlike,
  };
}
