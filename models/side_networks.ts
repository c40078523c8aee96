/** Side networks of a stack: they read its states after chosen blocks and run their own blocks. */
import {
  type Branch,
  callAt,
  castWeight,
  detach,
  editsAt,
  isQuantized,
  isStoredTransposed,
  lookup,
  type Model,
  type Pass,
  rootOf,
  type SideEdit,
  type Site,
  Tensor,
  type Tree,
} from "../core/mod.ts";
import { rangeError } from "../errors/error.ts";

/** Runs a block of the n-th side network, with the given shared weights of its blocks, if any. */
export type SideBlock = (site: Site, y: Tensor, n: number, shared: Tree | undefined) => Tensor;

/** What side networks need from the stack. */
export interface SideParts {
  /** Runs their blocks. */
  readonly block: SideBlock;
  /** Applies the last norm with their weights, to the text alone. */
  readonly finish: (root: Site, y: Tensor) => Tensor;
  /** How many blocks can be tapped. */
  readonly layers: number;
}

/** Runs side networks, which replace the stack's states by their own or add memories. */
export function runSideNetworks(
  pass: Pass,
  model: Model,
  stack: Site,
  finished: Tensor,
  { block, finish, layers }: SideParts,
): { readonly states: Tensor; readonly memories: readonly Tensor[] } {
  const edits = editsAt(stack.branch, "side");
  const ran = (gives: "states" | "memory") => edits.filter((edit) => (edit.gives ?? "states") === gives);
  const run = (edit: SideEdit, i: number, states: Tensor): Tensor =>
    edit.run.run({
      ...callAt(pass, edit.path),
      states,
      tap: (layer) => {
        const tap = pass.taps!.get(layer);
        if (tap === undefined) {
          throw rangeError("METHOD_DOES_NOT_FIT", `Cannot tap block ${layer}: the stack has ${layers}`);
        }
        return tap;
      },
      weight: (path) => {
        const leaf = weightAt(model.weights, path);
        const transposed = isQuantized(leaf.dtype) && isStoredTransposed(model.spec, path);
        return transposed ? castWeight(leaf, "f32", true) : detach(leaf);
      },
      block: (weights: Tree, y, name, shared) =>
        block({ branch: weights, path: `${edit.path}.side.${i}.${name}` }, y, i, shared),
      finish: (weights: Tree, y) => finish(rootOf(weights), y),
    });
  return {
    states: ran("states").reduce((states, edit, i) => run(edit, i, states), finished),
    memories: ran("memory").map((edit, i) => run(edit, i, finished)),
  };
}

function weightAt(base: Branch, path: string): Tensor {
  const leaf = lookup(base, path);
  if (leaf instanceof Tensor) return leaf;
  throw rangeError("METHOD_DOES_NOT_FIT", `The weights have no "${path}"`);
}
