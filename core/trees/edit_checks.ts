/**
 * Checks that edits fit a model, with errors that name the place where they do not: an adapter may belong to
 * another model.
 */
import { type Branch, lookup } from "./weights.ts";
import { isQuantized, leaves, Tensor, type Tree } from "../../tensor/mod.ts";
import type { Edit, LinearChange } from "../edits/edit.ts";
import type { Spec } from "../edits/place.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * The path of the branch at which an edit is grafted; for a leaf, the branch that holds it.
 *
 * @throws {RangeError} when the model has no such place; `what` is the start of the message.
 */
export function branchOf(weights: Branch, edit: Edit, what: string): string {
  const node = lookup(weights, edit.path);
  if (edit.kind === "weight") {
    const parent = parentOf(edit.path);
    if (node instanceof Tensor) return parent;
    if (edit.adds !== undefined && node === undefined && isBranch(lookup(weights, parent))) return parent;
  } else if (isBranch(node)) return edit.path;
  throw rangeError("METHOD_DOES_NOT_FIT", `${what}: the model has no ${edit.kind} place "${edit.path}"`);
}

/** @throws {RangeError} when an edit's sizes differ from those of the block's linear layer. */
export function checkSizes(edits: readonly Edit[], { linears }: Spec, what: string): void {
  const places = new Map(linears.map((place) => [place.path, place]));
  for (const edit of edits) {
    const place = edit.kind === "linear" ? places.get(edit.path) : undefined;
    if (edit.kind !== "linear" || place === undefined) continue;
    const { inFeatures, outFeatures: all } = place;
    const outFeatures = edit.out === undefined ? all : edit.out[1] - edit.out[0];
    const { inputs, outputs } = sizesIn(edit.change);
    const fits = (inputs ?? inFeatures) === inFeatures && (outputs ?? outFeatures) === outFeatures;
    if (!fits) {
      throw rangeError(
        "ADAPTER_MISMATCH",
        `${what}: the adapter has [${outputs ?? "any"}, ${
          inputs ?? "any"
        }] for "${edit.path}" but the layer is ` +
          `[${outFeatures}, ${inFeatures}], so it was made for another model`,
      );
    }
  }
}

/** The number of the block that a path is in, below a list's path or the end of one; 0 where there is none. */
function numberIn(list: string, path: string): number {
  const [, ...after] = `.${path}.`.split(`.${list}.`);
  return Number(after.map((rest) => /^(\d+)\./.exec(rest)?.[1]).find((digits) => digits !== undefined) ?? 0);
}

/**
 * @throws {RangeError} when an adapter has parameters for blocks that the model lacks, as an adapter of a
 * deeper model.
 */
export function checkDepth(params: Tree, { blocks }: Spec, what: string): void {
  const lists = Map.groupBy(blocks, ({ path, layer }) => path.slice(0, -`.${layer}`.length));
  for (const [list, own] of lists) {
    const count = 1 + Math.max(...own.map(({ layer = 0 }) => layer)); // a narrowed model may lack some blocks
    const beyond = leaves(params).find(([path]) => numberIn(list, path) >= count);
    if (beyond !== undefined) {
      throw rangeError(
        "ADAPTER_MISMATCH",
        `${what}: the adapter has "${
          beyond[0]
        }" but the model has ${count} blocks at "${list}", so it was made for another model`,
      );
    }
  }
}

/** How many inputs and outputs a change has; undefined where it fits any number. */
function sizesIn(change: LinearChange): { readonly inputs?: number; readonly outputs?: number } {
  switch (change.form) {
    case "add":
      return { inputs: change.map.inFeatures, outputs: change.map.outFeatures };
    case "bias":
      return { outputs: change.bias.size };
    case "scale":
      return {
        ...change.in !== undefined && change.in.size !== 1 && { inputs: change.in.size },
        ...change.out !== undefined && change.out.size !== 1 && { outputs: change.out.size },
      };
    case "input":
      return { inputs: change.map.inFeatures };
    case "output":
      return { outputs: change.map.outFeatures };
    case "delta":
      return {};
    default:
      return change satisfies never;
  }
}

/** Runs the computation of edits at a place; adds the place's name to size errors. */
export function atPlace<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof RangeError) || error.message.includes(`"${path}"`)) throw error;
    throw rangeError("METHOD_DOES_NOT_FIT", `${error.message}; at "${path}"`, { cause: error });
  }
}

/**
 * @throws {RangeError} when an edit changes a weight's shape. Quantized weights are [out, in], whatever the
 * layout of the plain weight.
 */
export function checkShape(path: string, found: Tensor, leaf: Tensor): void {
  if (isQuantized(found.dtype)) return;
  if (found.shape.length === leaf.shape.length && found.shape.every((n, i) => n === leaf.shape[i])) return;
  throw rangeError(
    "ADAPTER_MISMATCH",
    `The adapter has [${found.shape}] for "${path}" but the weight is [${leaf.shape}], so it was made for another model`,
  );
}

const isBranch = (node: Tensor | Branch | undefined): boolean =>
  node !== undefined && !(node instanceof Tensor);

/** The path of the branch that a leaf is on; "" at the root. */
export const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf(".")));
