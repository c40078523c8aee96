/**
 * Weight trees: nested readonly records under the checkpoint's own names. Leaves are tensors of any dtype; a branch may
 * carry the edits grafted at it. A changed tree shares every untouched branch.
 */
import { type Key, nest, Tensor } from "../../tensor/mod.ts";
import type { Edit } from "../edits/edit.ts";
import { rangeError } from "../../errors/error.ts";

/** The key under which a branch holds its edits. A symbol, so that names from files cannot clash with it. */
export const EDITS: unique symbol = Symbol("edits");

/** A branch of a weight tree. */
export interface Branch {
  /** A leaf or a branch by its name. */
  readonly [name: string]: Tensor | Branch;
  /** Edits grafted here, in order. */
  readonly [EDITS]?: readonly Edit[];
}

/**
 * What a weight edit may know about the current pass: a weight is the same for all tokens, so nothing about
 * the batch.
 */
export interface WeightPass {
  /** Whether this is a training pass, with dropout and random choices. */
  readonly train: boolean;
  /** The pass's key; present while training. */
  readonly key?: Key | undefined;
  /** As `ForwardOptions.roundInputs`. */
  readonly roundInputs?: boolean;
}

/**
 * A branch together with its path, and the pass that traverses the tree. Models descend the tree with `into`.
 */
export interface Site {
  /** The branch. */
  readonly branch: Branch;
  /** Its path from the root. */
  readonly path: string;
  /** The current pass; absent outside a pass. */
  readonly pass?: WeightPass;
}

/**
 * The root site of a tree. Outside a pass, weights are as in evaluation.
 *
 * @example
 * ```ts
 * import { reference, rootOf, tensor, weightTree } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const weights = weightTree([["norm.weight", tensor([1], { backend: reference() })]]);
 * assert.deepEqual(rootOf(weights), { branch: weights, path: "" });
 * ```
 */
export function rootOf(weights: Branch, pass?: WeightPass): Site {
  return { branch: weights, path: "", ...pass && { pass } };
}

const join = (path: string, name: string | number): string => path === "" ? String(name) : `${path}.${name}`;

/**
 * The branch below a site.
 *
 * @throws {RangeError} when it is missing.
 * @example
 * ```ts
 * import { into, reference, rootOf, tensor, weightTree } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const weights = weightTree([["model.layers.0.q.weight", tensor([[1]], { backend: reference() })]]);
 * assert.equal(into(rootOf(weights), "model", "layers", 0, "q").path, "model.layers.0.q");
 * assert.throws(() => into(rootOf(weights), "model", "layer"), /no branch "model.layer"/);
 * ```
 */
export function into(site: Site, ...names: readonly (string | number)[]): Site {
  const { pass } = site;
  let { branch, path } = site;
  for (const name of names) {
    const child = branch[name];
    path = join(path, name);
    if (child === undefined || child instanceof Tensor) {
      throw rangeError("NO_SUCH_PLACE", `The weights have no branch "${path}"`);
    }
    branch = child;
  }
  return { branch, path, ...pass && { pass } };
}

/**
 * The leaf or branch at a path, or undefined.
 *
 * @example
 * ```ts
 * import { lookup, reference, tensor, weightTree } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x = tensor([1], { backend: reference() });
 * const weights = weightTree([["model.norm.weight", x]]);
 * assert.equal(lookup(weights, "model.norm.weight"), x);
 * assert.equal(lookup(weights, "model.norm.bias"), undefined);
 * ```
 */
export function lookup(weights: Branch, path: string): Tensor | Branch | undefined {
  let node: Tensor | Branch | undefined = weights;
  for (const name of path === "" ? [] : path.split(".")) {
    if (node === undefined || node instanceof Tensor) return undefined;
    node = Object.hasOwn(node, name) ? node[name] : undefined;
  }
  return node;
}

/**
 * An adapter's parameters for a path of the model.
 *
 * @throws {RangeError} when there are none, as with an adapter made for another model.
 * @example
 * ```ts
 * import { paramsAt, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const l = tensor([1, 2], { backend: reference() });
 * assert.deepEqual(paramsAt({ k_proj: { l } }, "k_proj"), { l });
 * assert.throws(() => paramsAt({ k_proj: { l } }, "v_proj"), /no parameters for "v_proj"/);
 * ```
 */
export function paramsAt(params: Branch, path: string): Tensor | Branch {
  const found = lookup(params, path);
  if (found !== undefined) return found;
  throw rangeError(
    "ADAPTER_MISMATCH",
    `Cannot graft the adapter: it has no parameters for "${path}", so it was made for another model or with other options`,
  );
}

/**
 * The leaves with their paths, in order, without edits.
 *
 * @example
 * ```ts
 * import { reference, tensor, weightLeaves, weightTree } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x = tensor([1], { backend: reference() });
 * assert.deepEqual(weightLeaves(weightTree([["a.weight", x]])), [["a.weight", x]]);
 * ```
 */
export function weightLeaves(weights: Branch): readonly (readonly [path: string, leaf: Tensor])[] {
  const found: (readonly [string, Tensor])[] = [];
  const visit = (branch: Branch, prefix: string): void => {
    for (const [name, child] of Object.entries(branch)) {
      if (child instanceof Tensor) found.push([join(prefix, name), child]);
      else visit(child, join(prefix, name));
    }
  };
  visit(weights, "");
  return found;
}

/**
 * A weight tree from leaves by path.
 *
 * @example
 * ```ts
 * import { lookup, reference, tensor, weightTree } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x = tensor([1], { backend: reference() });
 * assert.equal(lookup(weightTree([["model.norm.weight", x]]), "model.norm.weight"), x);
 * ```
 */
export function weightTree(flat: Iterable<readonly [string, Tensor]>): Branch {
  return nest(flat) as Branch;
}

/**
 * The tree with the branch at a path replaced by `f` of it. Everything else is shared.
 *
 * @example
 * ```ts
 * import { lookup, reference, Tensor, tensor, updateBranch, weightTree } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const [x, y] = [1, 2].map((n) => tensor([n], { backend: reference() })) as [Tensor, Tensor];
 * const weights = weightTree([["a.q.weight", x], ["b.weight", x]]);
 * const next = updateBranch(weights, "a.q", (branch) => ({ ...branch, bias: y }));
 * assert.equal(lookup(next, "a.q.bias"), y);
 * assert.equal(next["b"], weights["b"]);
 * ```
 */
export function updateBranch(weights: Branch, path: string, f: (branch: Branch) => Branch): Branch {
  if (path === "") return f(weights);
  const [name, ...rest] = path.split(".");
  const child = weights[name!];
  if (child === undefined || child instanceof Tensor) {
    throw rangeError("NO_SUCH_PLACE", `The weights have no branch "${path}"`);
  }
  return { ...weights, [name!]: updateBranch(child, rest.join("."), f) };
}

/**
 * The tree with leaves replaced or added (missing branches are created).
 *
 * @example
 * ```ts
 * import { lookup, reference, setLeaves, Tensor, tensor, weightTree } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const [x, y] = [1, 2].map((n) => tensor([n], { backend: reference() })) as [Tensor, Tensor];
 * const weights = weightTree([["a.weight", x], ["b.weight", x]]);
 * const next = setLeaves(weights, [["a.weight", y]]);
 * assert.equal(lookup(next, "a.weight"), y);
 * assert.equal(next["b"], weights["b"]); // shared
 * ```
 */
export function setLeaves(weights: Branch, next: Iterable<readonly [string, Tensor]>): Branch {
  let result = weights;
  for (const [path, leaf] of next) result = setLeaf(result, path.split("."), leaf);
  return result;
}

function setLeaf(branch: Branch, names: readonly string[], leaf: Tensor): Branch {
  const [name, ...rest] = names;
  if (rest.length === 0) return { ...branch, [name!]: leaf };
  const child = branch[name!];
  if (child instanceof Tensor) {
    throw rangeError("METHOD_DOES_NOT_FIT", `"${name}" is a leaf where a branch is needed`);
  }
  return { ...branch, [name!]: setLeaf(child ?? {}, rest, leaf) };
}

/**
 * The edits at a branch, of one kind.
 *
 * @example
 * ```ts
 * import {
 *   adapt, editsAt, freshModel, graft, into, lora, reference, rootOf, smallConfig,
 * } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { weights } = graft(model, adapt(model, lora()));
 * const { branch } = into(rootOf(weights), "model", "layers", 0, "self_attn", "q_proj");
 * assert.equal(editsAt(branch, "linear").length, 1);
 * assert.equal(editsAt(branch, "hidden").length, 0);
 * ```
 */
export function editsAt<K extends Edit["kind"]>(
  branch: Branch,
  kind: K,
): readonly Extract<Edit, { kind: K }>[] {
  return (branch[EDITS] ?? []).filter((edit): edit is Extract<Edit, { kind: K }> => edit.kind === kind);
}

/**
 * All edits of a tree, in order of places.
 *
 * @example
 * ```ts
 * import { adapt, allEdits, freshModel, graft, lora, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.equal(allEdits(model.weights).length, 0);
 * const tuned = graft(model, adapt(model, lora()));
 * assert.ok(allEdits(tuned.weights).every(({ kind }) => kind === "linear"));
 * ```
 */
export function allEdits(weights: Branch): readonly Edit[] {
  const found: Edit[] = [];
  const visit = (branch: Branch): void => {
    if (branch[EDITS] !== undefined) found.push(...branch[EDITS]);
    for (const child of Object.values(branch)) if (!(child instanceof Tensor)) visit(child);
  };
  visit(weights);
  return found;
}

/**
 * The tree without its edits.
 *
 * @example
 * ```ts
 * import {
 *   adapt, allEdits, freshModel, graft, lora, reference, smallConfig, withoutEdits,
 * } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const tuned = graft(model, adapt(model, lora()));
 * assert.equal(allEdits(withoutEdits(tuned.weights)).length, 0);
 * ```
 */
export function withoutEdits(weights: Branch): Branch {
  const result: Record<string, Tensor | Branch> = {};
  let changed = weights[EDITS] !== undefined;
  for (const [name, child] of Object.entries(weights)) {
    result[name] = child instanceof Tensor ? child : withoutEdits(child);
    changed ||= result[name] !== child;
  }
  return changed ? result : weights;
}
