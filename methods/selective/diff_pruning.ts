/**
 * DiffPruning. Guo, Rush and Kim 2020, "Parameter-Efficient Transfer Learning with Diff Pruning", arXiv 2012.07463, section 3.
 *
 *   θ = θ0 + z ⊙ δ        z = clip(s (r − l) + l, 0, 1)        s = σ(log u − log(1 − u) + α)        u ~ U(10⁻⁴, 1 − 10⁻⁴)
 *   loss + λ Σ σ(α − log(−l / r))        l = −1.5, r = 1.5
 *
 * Structured (default): z is the product of an element's gate and one gate for its whole tensor g. The
 * paper's expected number of remaining differences counts an element where both are open: `penalty:
 * "product"`. The released script adds up all gates of both kinds: "sum", the default:
 *
 *   product   Σ_g σ(α_g − log(−l / r)) Σ_{i in g} σ(α_i − log(−l / r))        sum   Σ_g σ(α_g − …) + Σ_i σ(α_i − …)
 *
 * δ starts at zero and each α at 5, so all gates are open initially. In evaluation u = ½. α has a separate
 * learning rate.
 *
 * Afterwards `prunedDiff` keeps the largest |z ⊙ δ| of all tensors, which are trained further with a fixed
 * mask (`pruned_diff.ts`, `recipes/diff_pruning.ts`). As in the authors' `run_glue_diffpruning.py`, the
 * classifier has no gates and is trained as a whole. Their saved model uses the last sample of z; here it is
 * z's value in evaluation, or a sample by key.
 */
import {
  decoded,
  dequantizedShape,
  fn,
  fold,
  type Key,
  leaves,
  lookup,
  type Method,
  type Model,
  nameMatches,
  type PlacedLeaf,
  placedLeaves,
  replaceLeaf,
  Tensor,
  trainableCopy,
  type Tree,
  type WeightEdit,
  weightLeaves,
} from "../../core/mod.ts";
import {
  add,
  addAll,
  full,
  log,
  maximum,
  minimum,
  multiply,
  sigmoid,
  subtract,
  sum,
  uniform,
  zeros,
} from "../../ops/mod.ts";
import { classifierLeaves } from "../shared/classifier.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkFinite } from "../shared/option_checks.ts";

/** Options of DiffPruning. */
export interface DiffPruningOptions {
  /** λ, default 1.25e-7 as for BERT-large. */
  readonly sparsity?: number;
  /** One additional gate per tensor ("tensor", default), or none. */
  readonly structure?: "tensor" | "none";
  /**
   * What λ multiplies: with structured gates the product of the element's and the tensor's, summed over the
   * elements ("product", the paper's expected L0), or the sum of all gates ("sum", default, as released).
   * Without structure they are the same.
   */
  readonly penalty?: "sum" | "product";
  /** The gates' learning rate, before the schedule. Default 0.1. */
  readonly gateRate?: number;
  /** Initial α, default 5. */
  readonly initialAlpha?: number;
  /**
   * Weights without differences: names, equal to a path or its end. Default none. Consider excluding a head
   * tied to the embedding: Adam moves the rows of tokens that never occur as far as any others, so that
   * projection would keep those.
   */
  readonly frozen?: readonly string[];
}

const [LOW, HIGH] = [-1.5, 1.5];
const EDGE = 1e-4;

/**
 * DiffPruning as a method: its first stage, in which every weight has a difference and a gate. Parameters:
 * `<leaf>.delta` and `<leaf>.alpha` like the leaf, `<leaf>.group` [1]; the classifier's leaves as a whole.
 *
 * @throws {RangeError} when an option is out of range.
 * @example
 * ```ts
 * import { diffPruning } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(diffPruning({ sparsity: 1e-6 }).name, "diffPruning");
 * ```
 */
export function diffPruning(options: DiffPruningOptions = {}): Method {
  const { sparsity = 1.25e-7, structure = "tensor", penalty = "sum", gateRate = 0.1, ...rest } = options;
  const { initialAlpha = 5, frozen } = rest;
  for (const [name, value] of Object.entries({ sparsity, gateRate })) {
    if (!(value >= 0)) throw new RangeError(`Expected ${name} to be 0 or more but found ${value}`);
  }
  checkFinite("initialAlpha", initialAlpha);
  if (structure !== "tensor" && structure !== "none") {
    throw new RangeError(`Expected structure to be tensor or none but found "${structure satisfies never}"`);
  }
  if (penalty !== "sum" && penalty !== "product") {
    throw new RangeError(`Expected penalty to be sum or product but found "${penalty satisfies never}"`);
  }
  return {
    name: "diffPruning",
    config: { ...options },
    init: ({ model }) =>
      freshParams(() => {
        const gate = (shape: readonly number[]): Tensor => full(shape, initialAlpha, model.backend);
        return [
          ...gatedWeights(model, frozen).map(([path]) => [path, dequantizedShape(model, path)] as const)
            .flatMap((
              [path, shape],
            ) => [
              [`${path}.delta`, zeros(shape, model.backend)] as const,
              [`${path}.alpha`, gate(shape)] as const,
              ...structure === "tensor" ? [[`${path}.group`, gate([1])] as const] : [],
            ]),
          ...classifierLeaves(model.spec).map((path) => [path, trainableCopy(model, path)] as const),
        ];
      }),
    edits: (params) => [
      ...gatedLeaves(params).map(moved),
      ...wholeLeaves(params).map(([path, value]) => replaceLeaf(path, value)),
    ],
    penalty: (params) => {
      const terms = gatedLeaves(params).flatMap(({ alpha, group }) => {
        const elements = openGates(alpha);
        if (group === undefined) return [elements];
        return penalty === "sum" ? [elements, openGates(group)] : [multiply(elements, openGates(group))];
      });
      return multiply(addAll(terms), sparsity);
    },
    rates: ({ learningRate }) => (path) => isGate(path) ? gateRate / learningRate : 1,
  };
}

/**
 * Whether a parameter is a gate: gradients of gates are clipped separately from those of differences.
 *
 * @example
 * ```ts
 * import { isGate } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * assert.ok(isGate("model.norm.weight.alpha") && !isGate("model.norm.weight.delta"));
 * ```
 */
export function isGate(path: string): boolean {
  return path.endsWith(".alpha") || path.endsWith(".group");
}

/** The weights with gates. @throws {RangeError} when none are left, or a name matches none. */
function gatedWeights(model: Model, frozen: readonly string[] = []): readonly PlacedLeaf[] {
  const { spec, weights } = model;
  const all = weightLeaves(weights);
  const stray = frozen.find((name) => !all.some(([path]) => nameMatches(name, path)));
  if (stray !== undefined) {
    throw new RangeError(`Cannot place diffPruning: no weight is called "${stray}", which frozen names`);
  }
  const whole = classifierLeaves(spec);
  const gated = placedLeaves(model).filter(([path]) =>
    !whole.includes(path) && !frozen.some((name) => nameMatches(name, path))
  );
  if (gated.length === 0) throw new RangeError("Cannot place diffPruning: frozen leaves no weight");
  return gated;
}

/**
 * How many weights of a model have gates when those named by `frozen` have none.
 *
 * @throws {RangeError} as `diffPruning`.
 *
 * @example
 * ```ts
 * import { adapt, count, freshModel, gatedSize, lora, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { base } = count(model, adapt(model, lora()));
 * assert.equal(gatedSize(model), base); // no classifier, so every weight has a gate
 * ```
 */
export function gatedSize(model: Model, frozen?: readonly string[]): number {
  return gatedWeights(model, frozen).reduce((n, [, leaf]) => n + leaf.size, 0);
}

/** A leaf's parameters. */
export interface GatedLeaf {
  readonly path: string;
  readonly delta: Tensor;
  readonly alpha: Tensor;
  readonly group: Tensor | undefined;
}

/** The leaves with gates among the parameters. */
export function gatedLeaves(params: Tree): readonly GatedLeaf[] {
  return leaves(params).filter(([path]) => path.endsWith(".delta")).map(([name, delta]) => {
    const path = name.slice(0, -".delta".length);
    const group = lookup(params, `${path}.group`);
    return {
      path,
      delta,
      alpha: lookup(params, `${path}.alpha`) as Tensor,
      group: group instanceof Tensor ? group : undefined,
    };
  });
}

/** The leaves that are trained as a whole, the classifier's. */
export function wholeLeaves(params: Tree): readonly (readonly [path: string, value: Tensor])[] {
  return leaves(params).filter(([path]) => !/\.(delta|alpha|group)$/.test(path));
}

/** z of a leaf: a sample by key, or as in evaluation. */
export function gateOf({ alpha, group }: Pick<GatedLeaf, "alpha" | "group">, key: Key | undefined): Tensor {
  const element = hardConcrete(alpha, key && fold(key, "element"));
  return group === undefined ? element : multiply(element, hardConcrete(group, key && fold(key, "group")));
}

/** The expected number of gates that are not closed: Σ σ(α − log(−l / r)), []. */
function openGates(alpha: Tensor): Tensor {
  return sum(sigmoid(subtract(alpha, Math.log(-LOW / HIGH))));
}

function hardConcrete(alpha: Tensor, key: Key | undefined): Tensor {
  const s = sigmoid(key === undefined ? alpha : add(alpha, logit(key, alpha)));
  return minimum(maximum(add(multiply(s, HIGH - LOW), LOW), 0), 1);
}

/** log u − log(1 − u) for u like `t`. */
function logit(key: Key, t: Tensor): Tensor {
  const u = uniform(key, t.shape, t.backend, EDGE, 1 - EDGE);
  return subtract(log(u), log(subtract(1, u)));
}

function moved({ path, delta, alpha, group }: GatedLeaf): WeightEdit {
  return {
    kind: "weight",
    path,
    map: fn({ delta, alpha, ...group && { group } }, ({ delta, alpha, group }, { weight, train, key }) => {
      const z = gateOf({ alpha, group }, train ? key : undefined);
      return add(decoded(weight), multiply(delta, z));
    }),
  };
}
