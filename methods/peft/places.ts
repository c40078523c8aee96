/** The layers of a model as PEFT sees them. */
import { isQuantized, lookup, type MatrixPlace, type Model, type Spec, Tensor } from "../../core/mod.ts";

/** Every layer that can have a matrix update. */
export function matrixPlaces(spec: Spec): readonly MatrixPlace[] {
  return [...spec.linears, ...spec.embeddings, ...spec.heads];
}

/** Layers as seen by PEFT: a quantized matrix is that of a Linear, also in GPT-2. */
export function placesInPeft(places: readonly MatrixPlace[], { weights }: Model): readonly MatrixPlace[] {
  return places.map((place) => {
    if (place.kind !== "linear" || !place.transposed) return place;
    const leaf = lookup(weights, `${place.path}.weight`);
    return leaf instanceof Tensor && isQuantized(leaf.dtype) ? { ...place, transposed: false } : place;
  });
}

/** Embeddings and the heads tied to them. */
export const tiedPairs = (spec: Spec): readonly (readonly [embedding: string, head: string])[] =>
  spec.heads.flatMap(({ path, tiedTo }) => tiedTo === undefined ? [] : [[tiedTo, path] as const]);
