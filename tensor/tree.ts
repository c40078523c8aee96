/** Trees of tensors: nested readonly records. Parameters, gradients and optimizer state all have this form. */
import { copyOf } from "./create.ts";
import { scope, type Synchronous } from "./scope.ts";
import { Tensor } from "./tensor.ts";
import { rangeError } from "../errors/error.ts";

/** Nested records whose leaves are tensors. */
export interface Tree {
  /** A leaf or a branch by its name. */
  readonly [name: string]: Tensor | Tree;
  /** On the root of a tree of gradients: see `areGradients`. */
  readonly [GRADIENTS]?: true;
}

/** Marks the root of a tree of gradients. A symbol, so that names of parameters cannot clash with it. */
export const GRADIENTS: unique symbol = Symbol("gradients");

/**
 * Whether a tree, or a branch of it, is what `valueAndGrad` or `lossAndGrad` gave. It has no frozen leaves, and what a method
 * makes of parameters (a rotation, the rows of a network) it cannot make of gradients. A copy is not known as such.
 *
 * @example
 * ```ts
 * import { areGradients, reference, type Tensor, tensor, valueAndGrad } from "@graft/peft";
 * import { sum } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const params = { x: tensor([1, 2], { backend: reference() }) };
 * const { gradients } = valueAndGrad(({ x }: { x: Tensor }) => sum(x))(params);
 * assert.deepEqual([areGradients(params), areGradients(gradients)], [false, true]);
 * ```
 */
export function areGradients(tree: Tree): boolean {
  return tree[GRADIENTS] === true ||
    Object.values(tree).some((child) => !(child instanceof Tensor) && areGradients(child));
}

/** Parameters under this key are stored with an adapter but never trained. */
export const FROZEN = "frozen";

/**
 * A tree with `f` applied to each leaf; `f` also gets the leaf's path ("layers.0.a").
 *
 * @example
 * ```ts
 * import { mapTree } from "@graft/peft/core";
 * import { reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const tree = { a: tensor([1], { backend: reference() }) };
 * const paths: string[] = [];
 * mapTree(tree, (leaf, path) => (paths.push(path), leaf));
 * assert.deepEqual(paths, ["a"]);
 * ```
 */
export function mapTree<T extends Tree>(tree: T, f: (leaf: Tensor, path: string) => Tensor): T {
  return mapNest(tree, f, "") as T;
}

/**
 * A copy of the tree, which outlives the owner of the original.
 *
 * @example
 * ```ts
 * import { copyTree, dispose, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const tree = { a: { weight: tensor([1, 2], { backend: reference() }) } };
 * const copy = copyTree(tree);
 * dispose(tree);
 * assert.deepEqual([...await read(copy.a.weight)], [1, 2]);
 * ```
 */
export function copyTree<T extends Tree>(tree: T): T {
  return scope((): Synchronous<T> => mapTree(tree, copyOf) as Synchronous<T>);
}

function mapNest(tree: Tree, f: (leaf: Tensor, path: string) => Tensor, prefix: string): Tree {
  const result: Record<string, Tensor | Tree> = {};
  for (const [name, child] of Object.entries(tree)) {
    const path = prefix === "" ? name : `${prefix}.${name}`;
    result[name] = child instanceof Tensor ? f(child, path) : mapNest(child, f, path);
  }
  return result;
}

/**
 * The leaves of a tree with their paths, in order.
 *
 * @example
 * ```ts
 * import { leaves, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x = tensor([1], { backend: reference() });
 * assert.deepEqual(leaves({ layers: { 0: { a: x } } }), [["layers.0.a", x]]);
 * ```
 */
export function leaves(tree: Tree): readonly (readonly [path: string, leaf: Tensor])[] {
  const found: (readonly [string, Tensor])[] = [];
  mapNest(tree, (leaf, path) => {
    found.push([path, leaf]);
    return leaf;
  }, "");
  return found;
}

/**
 * The leaves of a tree with their paths below a path, as `nest` takes them.
 *
 * @example
 * ```ts
 * import { reference, tensor, under } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x = tensor([1], { backend: reference() });
 * assert.deepEqual(under("model", { norm: { weight: x } }), [["model.norm.weight", x]]);
 * ```
 */
export function under(path: string, tree: Tree): readonly (readonly [path: string, leaf: Tensor])[] {
  return leaves(tree).map(([name, leaf]) => [`${path}.${name}`, leaf] as const);
}

/**
 * A nested tree from leaves by path.
 *
 * @throws {RangeError} on a name that is both leaf and branch, or `__proto__`.
 * @example
 * ```ts
 * import { nest } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const tree = nest([["q.a", 1], ["q.b", 2]]);
 * assert.equal(JSON.stringify(tree), '{"q":{"a":1,"b":2}}');
 * assert.throws(() => nest([["q", 1], ["q.b", 2]]), RangeError);
 * ```
 */
export function nest<L>(flat: Iterable<readonly [string, L]>): NestOf<L> {
  const root: Record<string, unknown> = Object.create(null);
  const branches = new Set<unknown>([root]);
  for (const [path, leaf] of flat) {
    const names = path.split(".");
    if (names.includes("__proto__")) {
      throw rangeError("INVALID_ARGUMENT", `Refused the name "${path}": __proto__ is reserved`);
    }
    let branch = root;
    for (const name of names.slice(0, -1)) {
      if (branch[name] === undefined) branches.add(branch[name] = Object.create(null));
      else if (!branches.has(branch[name])) {
        throw rangeError("INVALID_ARGUMENT", `"${path}" passes through a leaf at "${name}"`);
      }
      branch = branch[name] as Record<string, unknown>;
    }
    const last = names[names.length - 1]!;
    if (branch[last] !== undefined) {
      throw rangeError("INVALID_ARGUMENT", `"${path}" names both a leaf and a branch, or stands twice`);
    }
    branch[last] = leaf;
  }
  return root as NestOf<L>;
}

/** Nested records with leaves L. */
export interface NestOf<L> {
  /** A leaf or a branch by its name. */
  readonly [name: string]: L | NestOf<L>;
}

/**
 * The tracked part of a parameter tree: everything not under `frozen`.
 *
 * @example
 * ```ts
 * import { reference, tensor, Tensor, trainable } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const [a, b] = [1, 2].map((n) => tensor([n], { backend: reference() })) as [Tensor, Tensor];
 * assert.deepEqual(trainable({ lora: a, frozen: { basis: b } }), { lora: a });
 * ```
 */
export function trainable<T extends Tree>(tree: T): Tree {
  const result: Record<string, Tensor | Tree> = {};
  for (const [name, child] of Object.entries(tree)) {
    if (name === FROZEN) continue;
    if (child instanceof Tensor) result[name] = child;
    else {
      const inner = trainable(child);
      if (Object.keys(inner).length > 0) result[name] = inner;
    }
  }
  return result;
}

/**
 * `tree` with the leaves that `part` also has replaced by part's. The inverse of `trainable`.
 *
 * @example
 * ```ts
 * import { overlay, reference, tensor, Tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const [a, b, c] = [1, 2, 3].map((n) => tensor([n], { backend: reference() })) as [Tensor, Tensor, Tensor];
 * const tree = { lora: a, frozen: { basis: b } };
 * assert.deepEqual(overlay(tree, { lora: c }), { lora: c, frozen: { basis: b } });
 * ```
 */
export function overlay<T extends Tree>(tree: T, part: Tree): T {
  const result: Record<string, Tensor | Tree> = { ...tree };
  for (const [name, child] of Object.entries(part)) {
    const old = tree[name];
    result[name] = child instanceof Tensor || old === undefined || old instanceof Tensor
      ? child
      : overlay(old, child);
  }
  return result as T;
}
