/** Differences of whole leaves, θ = θ0 + δ with δ from zero: full fine-tuning that remembers where it came from. */
import {
  decoded,
  fn,
  type Json,
  lookup,
  type Method,
  replaceLeaf,
  Tensor,
  trainableCopy,
  type WeightEdit,
} from "../core/mod.ts";
import { add, zeros } from "../ops/mod.ts";
import { freshParams } from "./random_factor.ts";

/** Which leaves. */
export interface DenseDeltas {
  /** Paths of the leaves that have a δ. */
  readonly paths: readonly string[];
  /** Leaves that train as they are. */
  readonly whole: readonly string[];
}

/** A method of a name. Parameters: `<leaf>.delta`, and whole leaves under their own path. */
export function denseDeltas(
  name: string,
  { paths, whole }: DenseDeltas,
  config: Readonly<Record<string, Json>> = {},
): Method {
  return {
    name,
    config: { ...config, paths, whole },
    init: ({ model }) =>
      freshParams(() => [
        ...paths.map((path) => {
          const leaf = lookup(model.weights, path);
          if (!(leaf instanceof Tensor)) {
            throw new RangeError(`Cannot place ${name}: there is no weight "${path}"`);
          }
          return [`${path}.delta`, zeros(leaf.shape, model.backend)] as const;
        }),
        ...whole.map((path) => [path, trainableCopy(model.weights, path)] as const),
      ]),
    edits: (params) => [
      ...paths.map((path): WeightEdit => ({
        kind: "weight",
        path,
        map: fn(
          { delta: lookup(params, `${path}.delta`) as Tensor },
          ({ delta }, { weight }) => add(decoded(weight), delta),
        ),
      })),
      ...whole.map((path) => replaceLeaf(path, lookup(params, path) as Tensor)),
    ],
  };
}
