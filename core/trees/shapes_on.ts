/** A model's shapes on another backend. */
import { allocate, type Backend } from "../../tensor/mod.ts";
import type { Model } from "./model.ts";
import { newModel } from "./new_model.ts";
import { weightLeaves } from "./weights.ts";

/** The same model on another backend, with shapes and dtypes only. The caller frees its root. */
export function shapesOn({ architecture, spec, config, weights }: Model, backend: Backend): Model {
  return newModel({
    architecture,
    spec,
    config,
    backend,
    weights: weightLeaves(weights).map(([path, leaf]) =>
      [path, allocate(backend, leaf.shape, leaf.dtype)] as const
    ),
  });
}
