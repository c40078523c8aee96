/**
 * Full fine-tuning, and training any chosen part of the weights: θ itself is changed. The reference against
 * which the other methods are measured.
 */
import {
  checkOnce,
  isQuantized,
  type Json,
  leaves,
  matchesWhole,
  type Method,
  nameMatches,
  nest,
  type PlacedLeaf,
  placedLeaves,
  replaceLeaf,
  trainableCopy,
  type Tree,
  weightLeaves,
} from "../../core/mod.ts";

/** Which leaves are trained: names or a pattern for the whole path of the leaf ("model.norm.weight"). */
export interface OnlyOptions {
  /** Which weights are trained: ends of their paths, or a pattern for the whole path. */
  readonly parameters: readonly string[] | RegExp;
}

/**
 * Trains every weight. Parameters are f32 copies under the checkpoint's own names; tied weights only once.
 *
 * @example
 * ```ts
 * import { fullFineTune } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(fullFineTune().name, "fullFineTune");
 * ```
 */
export function fullFineTune(): Method {
  return { ...training("fullFineTune", () => true), config: {} };
}

/**
 * Trains the weights that names (equal to a path or its end) or a pattern choose.
 *
 * @throws {RangeError} at init, when a name or the pattern matches nothing, or two names the same weight.
 * @example
 * ```ts
 * import { adapt, count, freshModel, only, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { trainable } = count(model, adapt(model, only({ parameters: ["norm.weight"] })));
 * assert.equal(trainable, 16);
 * ```
 */
export function only(options: OnlyOptions): Method {
  const { parameters } = options;
  const chosen = (path: string): boolean =>
    parameters instanceof RegExp
      ? matchesWhole(parameters, path)
      : parameters.some((name) => nameMatches(name, path));
  const config: Readonly<Record<string, Json>> = {
    parameters: parameters instanceof RegExp ? parameters.source : parameters,
  };
  const method = training("only", chosen);
  const init: Method["init"] = (context) => {
    const paths = pathsOf(weightLeaves(context.model.weights), () => true);
    const wanted: Iterable<readonly [string, (path: string) => boolean]> = parameters instanceof RegExp
      ? [[String(parameters), chosen]]
      : parameters.map((name) => [`"${name}"`, (path) => nameMatches(name, path)] as const);
    for (const [what, matches] of wanted) {
      if (!paths.some(matches)) throw new RangeError(`${what} of only matches no weight of the model`);
    }
    if (!(parameters instanceof RegExp)) checkOnce("parameters of only", "a weight", parameters, paths);
    return method.init(context);
  };
  return { ...method, init, config };
}

function training(name: string, chosen: (path: string) => boolean): Omit<Method, "config"> {
  return {
    name,
    init: ({ model }) => {
      const paths = pathsOf(placedLeaves(model), chosen);
      if (paths.length === 0) {
        throw new RangeError(`No weight of the model matches the parameters of ${name}`);
      }
      return nest(paths.map((path) => [path, trainableCopy(model, path)] as const)) as Tree;
    },
    edits: (params) => leaves(params).map(([path, value]) => replaceLeaf(path, value)),
  };
}

function pathsOf(all: readonly PlacedLeaf[], chosen: (path: string) => boolean): readonly string[] {
  return all
    .filter(([path, leaf]) =>
      chosen(path) && (isQuantized(leaf.dtype) || ["f32", "f16", "bf16"].includes(leaf.dtype))
    )
    .map(([path]) => path);
}
