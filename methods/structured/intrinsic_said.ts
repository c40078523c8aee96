/**
 * Intrinsic SAID. Aghajanyan, Zettlemoyer and Gupta 2020, "Intrinsic Dimensionality Explains the Effectiveness of Language
 * Model Fine-Tuning", arXiv 2012.13255, section 3; the subspace idea is Li et al. 2018, arXiv 1804.08838.
 *
 *   θ_i = θ_i0 + λ P_i v        v [d − m] shared by all tensors i        P_i: a Fastfood transform of tensor i's own
 *
 * m is the number of λ. The paper has one for each layer (`scales: "layer"`); with more, its smallest
 * dimensions, such as 207 for RoBERTa-large, would leave nothing for v. The released code has one for each
 * tensor ("each", the default). Layers are the blocks of a stack; everything before a stack's blocks counts
 * as one more, and everything after them, including the head, as another.
 *
 * v starts at zero and each λ at one. Signs, permutations and normals are regenerated from a seed at every
 * use, so a seed and the vector are the whole checkpoint. Without λ ("none", the paper's DID) v has d
 * entries. The released backward pass divides every Hadamard transform by √K although the forward pass does
 * not; the gradients here are the true ones, K times larger, so learning rates of that code do not carry
 * over.
 */
import {
  checkOnce,
  decoded,
  type DefinedMethod,
  defineMethod,
  fn,
  fold,
  key as keyOf,
  lookup,
  matchesWhole,
  type Model,
  nameMatches,
  seededFastfood,
  size,
  type Spec,
  Tensor,
  type WeightEdit,
} from "../../core/mod.ts";
import {
  bounded,
  count,
  type Filled,
  oneOf,
  option,
  optionsFromJson,
  places,
  seed,
} from "../../core/options/mod.ts";
import { add, multiply, ones, reshape, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rangeError } from "../../errors/error.ts";
import { saidLeaves } from "./said_leaves.ts";
import { log2 } from "../../elementary/exponential.ts";

/** Options of Intrinsic SAID. */
export interface IntrinsicSaidOptions {
  /** d, the total number of trained parameters, default 1000. */
  readonly dimension?: number;
  /**
   * Which weights are changed: names (equal to a path or its end) or a pattern for the whole path; default
   * all.
   */
  readonly parameters?: readonly string[] | RegExp | undefined;
  /** One λ for each tensor ("each", default, as released), for each layer ("layer", as in the paper), or none (DID). */
  readonly scales?: "each" | "layer" | "none";
  /** Seed of the projections, default 0. */
  readonly seed?: number;
  /**
   * Blocks of the transform: one over the whole tensor ("tensor", default, as released: D log D) or blocks as
   * long as v ("vector": D log d, and permutations of d instead of D elements).
   */
  readonly blocks?: "tensor" | "vector";
}

/**
 * Intrinsic SAID as a method. Parameters: `v`, and for each tensor one `scales.<path of the leaf>` [1], or for each layer one
 * `scales.<stack>.<number of the block>`, `scales.<stack>.entrance` or `scales.<stack>.end`.
 *
 * @throws {RangeError} when d is not a positive integer; at init, when it leaves nothing for v besides the
 * scales, the parameters or one of their names match nothing, or two names the same weight.
 * @example
 * ```ts
 * import { intrinsicSaid } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(intrinsicSaid({ dimension: 200 }).name, "intrinsic-said");
 * ```
 */
export const intrinsicSaid: DefinedMethod<IntrinsicSaidOptions> = defineMethod<IntrinsicSaidOptions>({
  name: "intrinsic-said",
  summary: "Trains all weights through a random projection of one short vector.",
  facts: { parameters: "d in all, with a λ for each tensor or layer", merges: "yes; changes every weight" },
  aliases: ["said"],
  title: "Intrinsic SAID",
  options: {
    dimension: option(bounded(count, "entries"), "d, the number of trained parameters", 1000),
    parameters: option(places, "which weights are changed, by names or a pattern; by default all"),
    scales: option(
      oneOf("each", "layer", "none"),
      "a λ for each tensor, for each layer, or none",
      "each",
    ),
    seed: option(seed, "the seed of the projections", 0),
    blocks: option(
      oneOf("tensor", "vector"),
      "blocks of the transform as long as a tensor, or as the vector",
      "tensor",
    ),
  },
  create: (options) => ({
    init: ({ model: { spec, weights, backend } }) => {
      const scales = saidScales(spec, options);
      const d = checkDimension(spec, weights, options) - scales.length;
      return freshParams(() => [
        ["v", zeros([d], backend)],
        ...scales.map((name) => [`scales.${name}`, ones([1], backend)] as const),
      ]);
    },
    edits: (params, spec) => {
      const nameOf = scaleNames(spec, options);
      return saidPaths(spec, options).map((path) => {
        const name = nameOf(path);
        const scale = name === undefined ? undefined : lookup(params, `scales.${name}`) as Tensor;
        return moved(path, params["v"] as Tensor, scale, options);
      });
    },
  }),
  // Version 1 has a pattern's source.
  restore: (config) => {
    const { parameters, ...options } = optionsFromJson(config);
    const pattern = typeof parameters === "string" ? new RegExp(parameters) : parameters;
    return intrinsicSaid({ ...options, parameters: pattern as IntrinsicSaidOptions["parameters"] });
  },
  cli: {
    rate: 1e-3,
    flags: ["dimension", "targets"],
    options: ({ targets }) => ({ parameters: targets }),
  },
  survey: {
    kinds: "R",
    storage: "no",
    memory: "no",
    backward: "no",
    overhead: "No overhead",
    trainable: "0.001 - 0.1",
    changed: "~0.1 or 100",
    differs: "a seed and the vector are the whole checkpoint; what is large is the change of the weights",
  },
  published: { setting: "d 20,000", options: () => ({ dimension: 20_000, blocks: "vector" }) },
});

/** d. @throws {RangeError} when the model does not have the parameters, or d is too large or too small for them. */
function checkDimension(
  spec: Spec,
  weights: Model["weights"],
  options: Filled<IntrinsicSaidOptions>,
): number {
  const { dimension, parameters } = options;
  const paths = saidPaths(spec, options);
  if (parameters !== undefined && !(parameters instanceof RegExp)) {
    const stray = parameters.find((name) => !paths.some((path) => nameMatches(name, path)));
    if (stray !== undefined) {
      throw rangeError("NO_SUCH_PLACE", `"${stray}" of intrinsic-said matches no weight of the model`);
    }
    checkOnce("parameters of intrinsic-said", "a weight", parameters, paths);
  }
  const all = paths.reduce((n, path) => {
    const leaf = lookup(weights, path); // a model without data may lack it
    return n + (leaf instanceof Tensor ? leaf.size : Infinity);
  }, 0);
  if (dimension > all) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected a dimension up to the ${all} weights that move but found ${dimension}`,
    );
  }
  const scales = saidScales(spec, options).length;
  if (dimension > scales) return dimension;
  const fewer = options.scales === "layer" ? 0 : saidScales(spec, { ...options, scales: "layer" }).length;
  throw rangeError(
    "INVALID_ARGUMENT",
    `Expected a dimension above the ${scales} scales of the ${
      options.scales === "layer" ? "layers" : "tensors"
    } but found ${dimension}` +
      (fewer > 0 && fewer < dimension ? `; with scales "layer" there are ${fewer}` : ""),
  );
}

/**
 * The leaves that are changed, in the model's order.
 *
 * @throws {RangeError} when the parameters match nothing.
 * @example
 * ```ts
 * import { freshModel, reference, saidPaths, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.deepEqual(saidPaths(spec, { parameters: ["model.norm.weight"] }), ["model.norm.weight"]);
 * assert.ok(saidPaths(spec, {}).length > spec.linears.length); // every weight
 * ```
 */
export function saidPaths(
  spec: Spec,
  { parameters }: Pick<IntrinsicSaidOptions, "parameters">,
): readonly string[] {
  const chosen = (path: string): boolean =>
    parameters === undefined ||
    (parameters instanceof RegExp
      ? matchesWhole(parameters, path)
      : parameters.some((name) => nameMatches(name, path)));
  const paths = saidLeaves(spec).map(({ path }) => path).filter(chosen);
  if (paths.length === 0) {
    throw rangeError("NO_SUCH_PLACE", "No weight of the model matches the parameters of intrinsic-said");
  }
  return paths;
}

/**
 * The scales' names, `<path of the leaf>` or `<stack>.<layer>`, in the order of the leaves; none without scales.
 *
 * @throws {RangeError} when the parameters match nothing.
 * @example
 * ```ts
 * import { freshModel, reference, saidScales, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("gpt2", { layers: 2 }), { backend: reference(), key: 0 });
 * const names = ["decoder.entrance", "decoder.0", "decoder.1", "decoder.end"];
 * assert.deepEqual(saidScales(spec, { scales: "layer" }), names);
 * ```
 */
export function saidScales(
  spec: Spec,
  options: Pick<IntrinsicSaidOptions, "parameters" | "scales">,
): readonly string[] {
  const nameOf = scaleNames(spec, options);
  return [...new Set(saidPaths(spec, options).flatMap((path) => nameOf(path) ?? []))];
}

/** A leaf's scale by name; undefined where there is none. */
function scaleNames(
  spec: Spec,
  { scales = "each" }: Pick<IntrinsicSaidOptions, "scales">,
): (path: string) => string | undefined {
  switch (scales) {
    case "each":
      return (path) => path;
    case "layer": {
      const layers = new Map(saidLeaves(spec).map(({ path, layer }) => [path, layer]));
      return (path) => layers.get(path);
    }
    case "none":
      return () => undefined;
    default:
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected scales to be each, layer or none but found "${scales satisfies never}"`,
      );
  }
}

function moved(
  path: string,
  v: Tensor,
  scale: Tensor | undefined,
  { seed, blocks }: Filled<IntrinsicSaidOptions>,
): WeightEdit {
  return {
    kind: "weight",
    path,
    map: fn({ v, ...scale && { scale } }, ({ v, scale }, { weight }) => {
      const n = size(weight.shape);
      const block = 2 ** Math.ceil(log2(blocks === "tensor" ? n : v.size));
      // λ P v = P (λ v): this way λ multiplies d elements instead of all the weight's.
      const step = seededFastfood(
        scale === undefined ? v : multiply(v, scale),
        fold(keyOf(seed), path),
        n,
        block,
      );
      return add(decoded(weight), reshape(step, weight.shape));
    }),
  };
}
