/**
 * Weight trees: nested readonly records under the checkpoint's own names. Leaves are tensors of any dtype; a branch may
 * carry the edits grafted at it. A changed tree shares every untouched branch.
 */
import { allocate, type Key, nest, Tensor } from "./tensor/mod.ts";
import type { Edit } from "./edit.ts";

/** The key under which a branch holds its edits. A symbol, so that names from files cannot clash with it. */
export const EDITS: unique symbol = Symbol("edits");

/** A branch of a weight tree. */
export interface Branch {
  /** A leaf or a branch by its name. */
  readonly [name: string]: Tensor | Branch;
  /** What was grafted here, in order. */
  readonly [EDITS]?: readonly Edit[];
}

/** What a weight edit may know of the running pass: a weight is one for all tokens, so nothing of the batch. */
export interface WeightPass {
  /** A training pass, with dropout and random choices. */
  readonly train: boolean;
  /** The pass's key; present while training. */
  readonly key?: Key | undefined;
}

/** A branch together with its path, and the pass that walks there. Models walk down the tree with `into`. */
export interface Site {
  /** The branch. */
  readonly branch: Branch;
  /** Its path from the root. */
  readonly path: string;
  /** The pass that walks; absent outside one. */
  readonly pass?: WeightPass;
}

/** The root site of a tree. Outside a pass, weights are as in evaluation. */
export function rootOf(weights: Branch, pass?: WeightPass): Site {
  return { branch: weights, path: "", ...pass && { pass } };
}

const join = (path: string, name: string | number): string => path === "" ? String(name) : `${path}.${name}`;

/** The branch below a site. @throws {RangeError} when it is missing. */
export function into(site: Site, ...names: readonly (string | number)[]): Site {
  const { pass } = site;
  let { branch, path } = site;
  for (const name of names) {
    const child = branch[name];
    path = join(path, name);
    if (child === undefined || child instanceof Tensor) {
      throw new RangeError(`The weights have no branch "${path}"`);
    }
    branch = child;
  }
  return { branch, path, ...pass && { pass } };
}

/** The leaf or branch at a path, or undefined. */
export function lookup(weights: Branch, path: string): Tensor | Branch | undefined {
  let node: Tensor | Branch | undefined = weights;
  for (const name of path === "" ? [] : path.split(".")) {
    if (node === undefined || node instanceof Tensor) return undefined;
    node = Object.hasOwn(node, name) ? node[name] : undefined;
  }
  return node;
}

/** The leaves with their paths, in order. Edits are not leaves. */
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

/** A weight tree from leaves by path. */
export function weightTree(flat: Iterable<readonly [string, Tensor]>): Branch {
  return nest(flat) as Branch;
}

/** The tree with the branch at a path replaced by `f` of it. Everything else is shared. */
export function updateBranch(weights: Branch, path: string, f: (branch: Branch) => Branch): Branch {
  if (path === "") return f(weights);
  const [name, ...rest] = path.split(".");
  const child = weights[name!];
  if (child === undefined || child instanceof Tensor) {
    throw new RangeError(`The weights have no branch "${path}"`);
  }
  return { ...weights, [name!]: updateBranch(child, rest.join("."), f) };
}

/** The tree with leaves replaced or added (missing branches are made). */
export function setLeaves(weights: Branch, next: Iterable<readonly [string, Tensor]>): Branch {
  let result = weights;
  for (const [path, leaf] of next) result = setLeaf(result, path.split("."), leaf);
  return result;
}

function setLeaf(branch: Branch, names: readonly string[], leaf: Tensor): Branch {
  const [name, ...rest] = names;
  if (rest.length === 0) return { ...branch, [name!]: leaf };
  const child = branch[name!];
  if (child instanceof Tensor) throw new RangeError(`"${name}" is a leaf where a branch is needed`);
  return { ...branch, [name!]: setLeaf(child ?? {}, rest, leaf) };
}

/** The edits at a branch, of one kind. */
export function editsAt<K extends Edit["kind"]>(
  branch: Branch,
  kind: K,
): readonly Extract<Edit, { kind: K }>[] {
  return (branch[EDITS] ?? []).filter((edit): edit is Extract<Edit, { kind: K }> => edit.kind === kind);
}

/** All edits of a tree, in order of places. */
export function allEdits(weights: Branch): readonly Edit[] {
  const below = Object.values(weights).flatMap((child) => child instanceof Tensor ? [] : allEdits(child));
  return [...weights[EDITS] ?? [], ...below];
}

/** The tree without its edits. */
export function withoutEdits(weights: Branch): Branch {
  const result: Record<string, Tensor | Branch> = {};
  let changed = weights[EDITS] !== undefined;
  for (const [name, child] of Object.entries(weights)) {
    result[name] = child instanceof Tensor ? child : withoutEdits(child);
    changed ||= result[name] !== child;
  }
  return changed ? result : weights;
}

/** A leaf's numbers as a new f32 tensor, for methods that train a weight itself. @throws {RangeError} when missing. */
export function trainableCopy(weights: Branch, path: string): Tensor {
  const leaf = lookup(weights, path);
  if (!(leaf instanceof Tensor)) throw new RangeError(`The weights have no "${path}"`);
  const copy = allocate(leaf.backend, leaf.shape);
  leaf.backend.cast(leaf, copy);
  return copy;
}
