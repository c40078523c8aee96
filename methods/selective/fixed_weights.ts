/** Weights that an adapter folder contains but never trains: an embedding that was resized or re-initialised. */
import {
  leaves,
  lookup,
  type Method,
  type MethodDefinition,
  type Model,
  nest,
  type Tensor,
  trainableCopy,
  type Tree,
} from "../../core/mod.ts";
import { completed, list, needed, text } from "../../core/options/mod.ts";
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
 * assert.equal(fixedWeights({ parameters: ["model.embed_tokens.weight"] }).name, "fixed-weights");
 * ```
 */
export function fixedWeights(options: FixedWeightsOptions): Method {
  return {
    definition: fixedWeightsDefinition,
    name: "fixed-weights",
    config: { ...options },
    init: () => ({}),
    edits: (params, spec) =>
      leaves((params["frozen"] ?? {}) as Tree).map(([path, value]) => replaceWeight(spec, path, value)),
  };
}

const PATHS = { parameters: needed(list(text), "paths of the weights") };

/** `fixedWeights` in records: the model's own weights say the shapes. */
export const fixedWeightsDefinition: MethodDefinition = {
  name: "fixed-weights",
  summary: "Replaces weights of the base by given ones, and trains none.",
  options: PATHS,
  brought: ({ parameters }) => (parameters as readonly string[]).map((path) => `frozen.${path}`),
  restore: (config) => {
    const options = completed("fixed-weights", config, PATHS);
    return { ...fixedWeights(options), init: ({ model }) => ownWeights(model, options.parameters) };
  },
};

/** The model's own weights under `frozen`. A head may get a matrix of its own in place of the table that it is tied to. */
function ownWeights(model: Model, paths: readonly string[]): Tree {
  return nest(paths.map((path): readonly [string, Tensor] => {
    const tiedTo = model.spec.heads.find((head) => `${head.path}.weight` === path)?.tiedTo;
    const tied = lookup(model.weights, path) === undefined && tiedTo !== undefined;
    return [`frozen.${path}`, trainableCopy(model, tied ? `${tiedTo}.weight` : path)];
  })) as Tree;
}
