/** Weights that an adapter folder contains but never trains: an embedding that was resized or re-initialised. */
import { leaves, type Method, type Tree } from "../../core/mod.ts";
import { replaceWeight } from "./modules_to_save.ts";

/** The weights' paths, for records. */
export interface FixedWeightsOptions {
  /** Paths of the weights. */
  readonly parameters: readonly string[];
}

/**
 * Fixed weights as a method: they replace the model's own. Parameters are stored under `frozen`, so nothing
 * is trained; they come from a folder, and there are none at `init`.
 *
 * @example
 * ```ts
 * import { fixedWeights } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(fixedWeights({ parameters: ["model.embed_tokens.weight"] }).name, "fixedWeights");
 * ```
 */
export function fixedWeights(options: FixedWeightsOptions): Method {
  return {
    name: "fixedWeights",
    config: { ...options },
    init: () => ({}),
    edits: (params, spec) =>
      leaves((params["frozen"] ?? {}) as Tree).map(([path, value]) => replaceWeight(spec, path, value)),
  };
}
