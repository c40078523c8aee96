/**
 * Intrinsic SAID. Aghajanyan, Zettlemoyer and Gupta 2020, "Intrinsic Dimensionality Explains the Effectiveness of Language
 * Model Fine-Tuning", arXiv 2012.13255, section 3; the subspace idea is Li et al. 2018, arXiv 1804.08838.
 *
 *   θ_i = θ_i0 + λ_i P_i v        v [d − m] shared by all tensors i = 1 … m        P_i: a Fastfood transform of tensor i's own
 *
 * v starts at zero and each λ at one. Signs, permutations and normals come from a seed at every use, so a seed and the
 * vector are the whole checkpoint. Without λ ("none", the paper's DID) v has d numbers. The released backward pass divides
 * every Hadamard transform by √K where the forward does not; these are the true gradients, K times larger, so learning rates
 * of that code do not carry over.
 */
import {
  checkOnce,
  decoded,
  fn,
  fold,
  type Json,
  key as keyOf,
  lookup,
  matchesWhole,
  type Method,
  nameMatches,
  seededFastfood,
  size,
  type Spec,
  Tensor,
  type WeightEdit,
} from "../../core/mod.ts";
import { add, multiply, ones, reshape, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkPositive } from "../shared/option_checks.ts";

/** Options of Intrinsic SAID. */
export interface IntrinsicSaidOptions {
  /** d, all trained numbers together. */
  readonly dimension: number;
  /** Which weights move: names (equal to a path or its end) or a pattern on the whole path; default all. */
  readonly parameters?: readonly string[] | RegExp;
  /** One λ a tensor ("each", default: SAID) or none (DID). */
  readonly scales?: "each" | "none";
  /** Seed of the projections, default 0. */
  readonly seed?: number;
  /**
   * Blocks of the transform: one over the whole tensor ("tensor", default, as released: D log D) or blocks as long as v
   * ("vector": D log d, and permutations of d instead of D numbers).
   */
  readonly blocks?: "tensor" | "vector";
}

/**
 * Intrinsic SAID as a method. Parameters: `v`, and one `scales.<path of the leaf>` [1] a tensor.
 *
 * @throws {RangeError} when d is no positive integer; at init, when it leaves nothing beside the scales, the parameters or one
 * of their names match nothing, or two names the same weight.
 * @example
 * ```ts
 * import { intrinsicSaid } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(intrinsicSaid({ dimension: 200 }).name, "intrinsicSaid");
 * ```
 */
export function intrinsicSaid(options: IntrinsicSaidOptions): Method {
  checkPositive("dimension", options.dimension);
  const { seed = 0 } = options;
  if (!Number.isInteger(seed) || seed < 0) {
    throw new RangeError(`Expected seed to be a non-negative integer but found ${seed}`);
  }
  const scaled = (options.scales ?? "each") === "each";
  const { parameters } = options;
  return {
    name: "intrinsicSaid",
    config: {
      ...options as unknown as Readonly<Record<string, Json>>,
      ...parameters instanceof RegExp && { parameters: parameters.source },
    },
    init: ({ model }) => {
      const paths = saidPaths(model.spec, options);
      if (parameters !== undefined && !(parameters instanceof RegExp)) {
        const stray = parameters.find((name) => !paths.some((path) => nameMatches(name, path)));
        if (stray !== undefined) {
          throw new RangeError(`"${stray}" of intrinsicSaid matches no weight of the model`);
        }
        checkOnce("parameters of intrinsicSaid", "a weight", parameters, paths);
      }
      const all = paths.reduce((n, path) => {
        const leaf = lookup(model.weights, path); // a model of shapes may have none
        return n + (leaf instanceof Tensor ? leaf.size : Infinity);
      }, 0);
      if (options.dimension > all) {
        throw new RangeError(
          `Expected a dimension up to the ${all} weights that move but found ${options.dimension}`,
        );
      }
      const d = options.dimension - (scaled ? paths.length : 0);
      if (d < 1) {
        throw new RangeError(
          `Expected a dimension above the ${paths.length} scales of the tensors but found ${options.dimension}`,
        );
      }
      return freshParams(() => [
        ["v", zeros([d], model.backend)],
        ...scaled ? paths.map((path) => [`scales.${path}`, ones([1], model.backend)] as const) : [],
      ]);
    },
    edits: (params, spec) =>
      saidPaths(spec, options).map((path) =>
        moved(path, params["v"] as Tensor, lookup(params, `scales.${path}`) as Tensor | undefined, options)
      ),
  };
}

/**
 * The leaves that move, in the model's order.
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
  const paths = leafPaths(spec).filter(chosen);
  if (paths.length === 0) {
    throw new RangeError("No weight of the model matches the parameters of intrinsicSaid");
  }
  return paths;
}

/** Every weight and bias that the places speak of; a tied head has no own. */
function leafPaths(spec: Spec): readonly string[] {
  const withBias = (path: string, bias: boolean): readonly string[] =>
    bias ? [`${path}.weight`, `${path}.bias`] : [`${path}.weight`];
  return [
    ...spec.embeddings.map(({ path }) => `${path}.weight`),
    ...spec.linears.flatMap(({ path, bias }) => withBias(path, bias)),
    ...spec.norms.flatMap(({ path, bias }) => withBias(path, bias)),
    ...spec.heads.flatMap(({ path, bias, tiedTo }) =>
      tiedTo === undefined ? withBias(path, bias) : bias ? [`${path}.bias`] : []
    ),
  ];
}

function moved(
  path: string,
  v: Tensor,
  scale: Tensor | undefined,
  { seed = 0, blocks = "tensor" }: IntrinsicSaidOptions,
): WeightEdit {
  return {
    kind: "weight",
    path,
    map: fn({ v, ...scale && { scale } }, ({ v, scale }, { weight }) => {
      const n = size(weight.shape);
      const block = 2 ** Math.ceil(Math.log2(blocks === "tensor" ? n : v.size));
      // λ P v = P (λ v), where λ meets d numbers instead of the weight's.
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
