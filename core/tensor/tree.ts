/** Trees of tensors: nested readonly records. Parameters, gradients and optimizer state all have this form. */
import { scope, type Synchronous } from "./scope.ts";
import { copyOf, Tensor } from "./tensor.ts";

/** A nest of records whose leaves are tensors. */
export interface Tree {
  /** A leaf or a branch by its name. */
  readonly [name: string]: Tensor | Tree;
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

/** A tree of copies, which outlives the owner of the first. */
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

/** The leaves of a tree with their paths, in order. */
export function leaves(tree: Tree): readonly (readonly [path: string, leaf: Tensor])[] {
  const found: (readonly [string, Tensor])[] = [];
  mapNest(tree, (leaf, path) => {
    found.push([path, leaf]);
    return leaf;
  }, "");
  return found;
}

/** The leaves of a tree with their paths below a path, as `nest` takes them. */
export function under(path: string, tree: Tree): readonly (readonly [path: string, leaf: Tensor])[] {
  return leaves(tree).map(([name, leaf]) => [`${path}.${name}`, leaf] as const);
}

/** A nested tree from leaves by path. @throws {RangeError} on a name that is both leaf and branch, or `__proto__`. */
export function nest<L>(flat: Iterable<readonly [string, L]>): NestOf<L> {
  const root: Record<string, unknown> = Object.create(null);
  const branches = new Set<unknown>([root]);
  for (const [path, leaf] of flat) {
    const names = path.split(".");
    if (names.includes("__proto__")) {
      throw new RangeError(`Refused the name "${path}": __proto__ is reserved`);
    }
    let branch = root;
    for (const name of names.slice(0, -1)) {
      if (branch[name] === undefined) branches.add(branch[name] = Object.create(null));
      else if (!branches.has(branch[name])) {
        throw new RangeError(`"${path}" passes through a leaf at "${name}"`);
      }
      branch = branch[name] as Record<string, unknown>;
    }
    const last = names[names.length - 1]!;
    if (branch[last] !== undefined) {
      throw new RangeError(`"${path}" names both a leaf and a branch, or stands twice`);
    }
    branch[last] = leaf;
  }
  return root as NestOf<L>;
}

/** A nest of records with leaves L. */
export interface NestOf<L> {
  /** A leaf or a branch by its name. */
  readonly [name: string]: L | NestOf<L>;
}

/** The tracked part of a parameter tree: everything not under `frozen`. */
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

/** `tree` with the leaves that `part` also has replaced by part's. The inverse of `trainable`. */
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
