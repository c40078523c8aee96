/**
 * Inputs rounded as llama.cpp rounds them: it multiplies a matrix stored as q8_0 by inputs that it stores as q8_0 first (8 bits per
 * number, one f16 scale for 32). Here inputs are f32 unless this asks otherwise.
 */
import { castTo, graft, type LinearMap, lookup, type Method, type Model, Tensor } from "../../core/mod.ts";

/**
 * The model as llama.cpp computes it: what meets a matrix stored as q8_0 is rounded to q8_0. Logits of models of a few layers are then
 * those of llama.cpp but for f32's own rounding. Through the thirty of SmolLM2 it brings them no closer; a number between two codes
 * that goes the other way somewhere would explain it, which was not looked into. For reading, not for training; other dtypes stay as they are.
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
