/** The gates of DiffPruning: which weights have one, its value, and how many are open. */
import {
  fold,
  type Key,
  leaves,
  lookup,
  type Model,
  nameMatches,
  type PlacedLeaf,
  placedLeaves,
  Tensor,
  type Tree,
  weightLeaves,
} from "../../core/mod.ts";
import { add, log, maximum, minimum, multiply, sigmoid, subtract, sum, uniform } from "../../ops/mod.ts";
import { classifierLeaves } from "../shared/classifier.ts";
import { rangeError } from "../../errors/error.ts";
import { log as logarithm } from "../../elementary/exponential.ts";

const [LOW, HIGH] = [-1.5, 1.5];
const EDGE = 1e-4;

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
export function gatedWeights(model: Model, frozen: readonly string[] = []): readonly PlacedLeaf[] {
  const { spec, weights } = model;
  const all = weightLeaves(weights);
  const stray = frozen.find((name) => !all.some(([path]) => nameMatches(name, path)));
  if (stray !== undefined) {
    throw rangeError(
      "NO_SUCH_PLACE",
      `Cannot place diff-pruning: no weight is called "${stray}", which frozen names`,
    );
  }
  const whole = classifierLeaves(spec);
  const gated = placedLeaves(model).filter(([path]) =>
    !whole.includes(path) && !frozen.some((name) => nameMatches(name, path))
  );
  if (gated.length === 0) {
    throw rangeError("METHOD_DOES_NOT_FIT", "Cannot place diff-pruning: frozen leaves no weight");
  }
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
export function openGates(alpha: Tensor): Tensor {
  return sum(sigmoid(subtract(alpha, logarithm(-LOW / HIGH))));
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
