/**
 * DiffPruning. Guo, Rush and Kim 2020, "Parameter-Efficient Transfer Learning with Diff Pruning", arXiv 2012.07463, section 3.
 *
 *   θ = θ0 + z ⊙ δ        z = clip(s (r − l) + l, 0, 1)        s = σ(log u − log(1 − u) + α)        u ~ U(10⁻⁴, 1 − 10⁻⁴)
 *   loss + λ Σ σ(α − log(−l / r))        l = −1.5, r = 1.5
 *
 * Structured (default): z is the product of an element's gate and one gate for its whole tensor, and both count in the sum.
 * δ starts at zero and each α at 5, so all gates are open at first. In evaluation u = ½. α has a learning rate of its own.
 *
 * Afterwards `prunedDiff` keeps the largest |z ⊙ δ| of all tensors, and those train on with the mask fixed
 * (`recipes/diff_pruning.ts`). As in the authors' `run_glue_diffpruning.py` the classifier has no gates and trains whole. Their
 * saved model holds the last sample of z; we keep z's value in evaluation, or a sample by key.
 */
import {
  type Adapter,
  decoded,
  fn,
  fold,
  type Json,
  type Key,
  key as keyOf,
  leaves,
  lookup,
  type Method,
  type Model,
  nameMatches,
  nest,
  overlay,
  replaceLeaf,
  scope,
  type Synchronous,
  Tensor,
  trainableCopy,
  type Tree,
  type WeightEdit,
  weightLeaves,
} from "../core/mod.ts";
import {
  abs,
  add,
  addAll,
  full,
  gatherRows,
  integers,
  largest,
  log,
  maximum,
  minimum,
  multiply,
  reshape,
  sigmoid,
  subtract,
  sum,
  uniform,
  zeros,
} from "../ops/mod.ts";
import { classifierLeaves } from "./classifier.ts";
import { freshParams } from "./random_factor.ts";
import { sparse, type SparseMask, type SparseOptions } from "./sparse.ts";

/** Options of DiffPruning. */
export interface DiffPruningOptions {
  /** λ, default 1.25e-7 as for BERT-large. */
  readonly sparsity?: number;
  /** One gate more for each tensor ("tensor", default), or none. */
  readonly structure?: "tensor" | "none";
  /** The gates' learning rate, before the schedule. Default 0.1. */
  readonly gateRate?: number;
  /** α at first, default 5. */
  readonly initialAlpha?: number;
  /**
   * Weights without differences: names, equal to a path or its end. Default none. On a head that is tied to the embedding Adam
   * moves the rows of words that never occur as far as any, so that projection would keep those.
   */
  readonly frozen?: readonly string[];
}

/** How much is kept. */
export interface PrunedDiffOptions {
  /** Share of the gated weights, 0.005 in the paper. */
  readonly ratio: number;
  /** z as in evaluation (default), or a sample by key. */
  readonly gates?: "mean" | Key | number;
}

const [LOW, HIGH] = [-1.5, 1.5];
const EDGE = 1e-4;

/**
 * DiffPruning as a method: its first stage, in which every weight has a difference and a gate. Parameters: `<leaf>.delta` and
 * `<leaf>.alpha` like the leaf, `<leaf>.group` [1]; the classifier's leaves whole.
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
  const { sparsity = 1.25e-7, structure = "tensor", gateRate = 0.1, initialAlpha = 5, frozen } = options;
  for (const [name, value] of Object.entries({ sparsity, gateRate })) {
    if (!(value >= 0)) throw new RangeError(`Expected ${name} to be 0 or more but found ${value}`);
  }
  return {
    name: "diffPruning",
    config: options as unknown as Readonly<Record<string, Json>>,
    init: ({ model }) =>
      freshParams(() => {
        const gate = (shape: readonly number[]): Tensor => full(shape, initialAlpha, model.backend);
        return [
          ...gatedWeights(model, frozen).flatMap(([path, { shape }]) => [
            [`${path}.delta`, zeros(shape, model.backend)] as const,
            [`${path}.alpha`, gate(shape)] as const,
            ...structure === "tensor" ? [[`${path}.group`, gate([1])] as const] : [],
          ]),
          ...classifierLeaves(model.spec).map((path) => [path, trainableCopy(model.weights, path)] as const),
        ];
      }),
    edits: (params) => [
      ...gatedLeaves(params).map(moved),
      ...wholeLeaves(params).map(([path, value]) => replaceLeaf(path, value)),
    ],
    penalty: (params) => {
      const alphas = leaves(params).filter(([path]) => isGate(path)).map(([, alpha]) => alpha);
      const shift = Math.log(-LOW / HIGH);
      return multiply(addAll(alphas.map((alpha) => sum(sigmoid(subtract(alpha, shift))))), sparsity);
    },
    rates: ({ learningRate }) => (path) => isGate(path) ? gateRate / learningRate : 1,
  };
}

/**
 * Which parameters are gates: their gradients are clipped apart from the differences'.
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

/**
 * The method of the last stage: the kept differences train on.
 *
 * @example
 * ```ts
 * import { adapt, count, diffPruningFixed, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const indices = Int32Array.of(0, 5);
 * const mask = { leaves: [{ path: "model.norm.weight", shape: [16], indices }], whole: [] };
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.equal(count(model, adapt(model, diffPruningFixed({ mask }))).trainable, 2);
 * ```
 */
export function diffPruningFixed({ mask }: SparseOptions): Method {
  return sparse("diffPruningFixed", mask);
}

/**
 * The second stage: the largest |z ⊙ δ| of all tensors stay, as an adapter that starts with their values. The authors find the
 * threshold by bisection on [0, 1], count what is over it and zero what is below, so that an element equal to it stays
 * uncounted; here exactly ⌊ratio · N⌋ stay. The caller owns the result.
 *
 * @throws {RangeError} when the ratio is not between 0 and 1, or keeps less than one weight.
 * @example
 * ```ts
 * import {
 *   adapt, count, diffPruning, freshModel, gatedSize, prunedDiff, reference, smallConfig,
 * } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const trained = adapt(model, diffPruning()); // as it stands after the first stage
 * const kept = await prunedDiff(model, trained, { ratio: 0.01 });
 * assert.equal(count(model, kept).trainable, Math.floor(0.01 * gatedSize(model)));
 * ```
 */
export async function prunedDiff(
  model: Model,
  adapter: Adapter,
  options: PrunedDiffOptions,
): Promise<Adapter> {
  const { ratio, gates = "mean" } = options;
  const gatedHere = gatedLeaves(adapter.params);
  const all = gatedHere.reduce((n, { delta }) => n + delta.size, 0);
  const kept = keptCount(all, ratio);
  const key = gates === "mean" ? undefined : keyOf(gates);
  const diffs = scope((): Synchronous<readonly Tensor[]> =>
    gatedHere.map((leaf) => multiply(leaf.delta, gateOf(leaf, key && fold(key, leaf.path))))
  );
  const sizes = scope((): Synchronous<readonly Tensor[]> => diffs.map((d) => abs(d)));
  const indices = await largest(sizes, kept);
  for (const t of sizes) t.storage.free();
  const mask: SparseMask = {
    leaves: gatedHere.map(({ path, delta }, i) => ({ path, shape: delta.shape, indices: indices[i]! })),
    whole: wholeLeaves(adapter.params).map(([path]) => path),
  };
  const method = diffPruningFixed({ mask });
  const params = scope((): Synchronous<Tree> => {
    const started = [
      ...mask.leaves.flatMap(({ path, indices }, i) =>
        indices.length === 0 ? [] : [
          [
            `${path}.values`,
            gatherRows(reshape(diffs[i]!, [diffs[i]!.size]), integers(indices, model.backend)),
          ] as const,
        ]
      ),
      ...wholeLeaves(adapter.params).map(([path, value]) => [path, add(value, 0)] as const),
    ];
    return overlay(method.init({ model, key: 0 }), nest(started) as Tree) as Synchronous<Tree>;
  });
  for (const t of diffs) t.storage.free();
  return { ...adapter.name !== undefined && { name: adapter.name }, method, params };
}

/**
 * How many of the gated weights a ratio keeps.
 *
 * @throws {RangeError} when it is not between 0 and 1, or keeps none.
 * @example
 * ```ts
 * import { keptCount } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * assert.equal(keptCount(1000, 0.005), 5);
 * assert.throws(() => keptCount(1000, 0.0005), RangeError); // none would stay
 * ```
 */
export function keptCount(all: number, ratio: number): number {
  const kept = Math.floor(ratio * all);
  if (!(ratio > 0 && ratio <= 1) || kept < 1) {
    throw new RangeError(
      `Expected a ratio up to 1 that keeps at least one of ${all} weights but found ${ratio}`,
    );
  }
  return kept;
}

/** The weights with gates. @throws {RangeError} when none are left, or a name matches none. */
function gatedWeights({ spec, weights }: Model, frozen: readonly string[] = []): readonly WeightLeaf[] {
  const all = weightLeaves(weights);
  const stray = frozen.find((name) => !all.some(([path]) => nameMatches(name, path)));
  if (stray !== undefined) {
    throw new RangeError(`Cannot place diffPruning: no weight is called "${stray}", which frozen names`);
  }
  const whole = classifierLeaves(spec);
  const gated = all.filter(([path]) =>
    !whole.includes(path) && !frozen.some((name) => nameMatches(name, path))
  );
  if (gated.length === 0) throw new RangeError("Cannot place diffPruning: frozen leaves no weight");
  return gated;
}

type WeightLeaf = ReturnType<typeof weightLeaves>[number];

/**
 * How many weights of a model have gates, when those that `frozen` names have none.
 *
 * @throws {RangeError} as `diffPruning` does.
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
interface GatedLeaf {
  readonly path: string;
  readonly delta: Tensor;
  readonly alpha: Tensor;
  readonly group: Tensor | undefined;
}

function gatedLeaves(params: Tree): readonly GatedLeaf[] {
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

function wholeLeaves(params: Tree): readonly (readonly [path: string, value: Tensor])[] {
  return leaves(params).filter(([path]) => !/\.(delta|alpha|group)$/.test(path));
}

/** z of a leaf: a sample by key, or as in evaluation. */
function gateOf({ alpha, group }: Pick<GatedLeaf, "alpha" | "group">, key: Key | undefined): Tensor {
  const element = hardConcrete(alpha, key && fold(key, "element"));
  return group === undefined ? element : multiply(element, hardConcrete(group, key && fold(key, "group")));
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
