/**
 * Sparse updates: a few elements of each leaf are trained.
 *
 *   θ = θ0 + scatter(values, indices)        values [k] trained, starting at zero        indices [k], row-major, fixed
 *
 * Gradients, optimizer state and stored values have one entry per element of the mask; an element outside it
 * cannot change, whatever the optimizer does. Two sparse updates in one composition are added, also at
 * overlapping elements.
 */
import {
  decoded,
  dequantizedShape,
  fn,
  type Json,
  type LinearEdit,
  lookup,
  type Method,
  type MethodDefinition,
  type Model,
  paramsAt,
  placedLeaves,
  places,
  replaceLeaf,
  sameShape,
  type Shape,
  showShape,
  size,
  type Spec,
  tableUpdate,
  Tensor,
  trainableCopy,
  type Tree,
  type WeightEdit,
} from "../../core/mod.ts";
import { abs, add, addAll, integers, multiply, reshape, scatterAddRows, sum, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rangeError } from "../../errors/error.ts";

/** Elements of one leaf. */
export interface LeafMask {
  /** The leaf's path, "model.layers.0.mlp.up_proj.weight". */
  readonly path: string;
  /** Sizes of the axes. */
  readonly shape: Shape;
  /** Row-major indices, ascending. */
  readonly indices: Int32Array;
}

/**
 * Which elements are trained. Belongs to the model that it was made for, and to others with the same shapes.
 */
export interface SparseMask {
  /** The trained elements of each leaf. */
  readonly leaves: readonly LeafMask[];
  /** Leaves that are trained as a whole: a classifier. Their parameters are the weights themselves. */
  readonly whole: readonly string[];
  /**
   * Those of the leaves that are embedding tables whose tied head is unchanged. Default none: the head
   * follows.
   */
  readonly lookups?: readonly string[];
}

/** Options common to sparse methods. */
export interface SparseOptions {
  /** Which elements are trained. */
  readonly mask: SparseMask;
}

/**
 * How many elements a mask allows to change, excluding whole leaves.
 *
 * @example
 * ```ts
 * import { maskSize } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * const indices = Int32Array.of(0, 5);
 * assert.equal(maskSize({ leaves: [{ path: "model.norm.weight", shape: [16], indices }], whole: [] }), 2);
 * ```
 */
export function maskSize(mask: SparseMask): number {
  return mask.leaves.reduce((n, { indices }) => n + indices.length, 0);
}

/**
 * A sparse method of a definition. Parameters: `<leaf>.values` and `<leaf>.frozen.indices`; whole leaves under
 * their own path.
 */
export function sparse(
  definition: MethodDefinition,
  mask: SparseMask,
  config: Readonly<Record<string, Json>> = {},
): Method {
  const { name } = definition;
  check(name, mask);
  const used = mask.leaves.filter(({ indices }) => indices.length > 0);
  return {
    definition,
    name,
    config: {
      ...config,
      elements: Object.fromEntries(used.map(({ path, indices }) => [path, indices.length])),
      shapes: Object.fromEntries(used.map(({ path, shape }) => [path, shape])),
      whole: mask.whole,
      ...mask.lookups?.length && { lookups: mask.lookups },
    },
    init: ({ model }) => {
      checkFits(name, mask, model);
      const here = new Set(placedLeaves(model).map(([path]) => path));
      const own = used.filter(({ path }) => here.has(path));
      const whole = mask.whole.filter((path) => here.has(path));
      if (own.length + whole.length === 0) {
        throw rangeError(
          "INVALID_ARGUMENT",
          `The mask of ${name} has no element at the places it is limited to`,
        );
      }
      return freshParams(() => [
        ...own.flatMap(({ path, indices }) =>
          [
            [`${path}.values`, zeros([indices.length], model.backend)],
            [`${path}.frozen.indices`, integers(indices, model.backend)],
          ] as const
        ),
        ...whole.map((path) => [path, trainableCopy(model, path)] as const),
      ]);
    },
    edits: (params, spec) => [
      ...used.filter(({ path }) => isHere(spec, path, params, `${path}.values`)).map(({ path }) => {
        const values = paramsAt(params, `${path}.values`) as Tensor;
        const indices = paramsAt(params, `${path}.frozen.indices`) as Tensor;
        return mask.lookups?.includes(path)
          ? lookedUp(path, values, indices, mask)
          : scattered(path, values, indices);
      }),
      ...mask.whole.filter((path) => isHere(spec, path, params, path))
        .map((path) => replaceLeaf(path, paramsAt(params, path) as Tensor)),
    ],
  };
}

/**
 * Whether a leaf has parameters, or should have: not where `at` has narrowed the places and thus the mask.
 */
function isHere(spec: Spec, leaf: string, params: Tree, name: string): boolean {
  const place = leaf.slice(0, Math.max(0, leaf.lastIndexOf(".")));
  return lookup(params, name) !== undefined || places(spec).some(({ path }) => path === place);
}

/** λ Σ |values| / N over the elements of the masked leaves: a pull towards θ0. */
export function distance(
  values: readonly Tensor[],
  factor: number,
  elements: number,
): Tensor {
  return multiply(addAll(values.map((v) => sum(abs(v)))), factor / elements);
}

/** A leaf plus values at their positions. Their gradient is gathered from the leaf's. */
export function scattered(path: string, values: Tensor, indices: Tensor): WeightEdit {
  return {
    kind: "weight",
    path,
    changes: values.size,
    map: fn({ values, indices }, ({ values, indices }, { weight }) => {
      const update = scatterAddRows(values, indices, size(weight.shape), []);
      return add(decoded(weight), reshape(update, weight.shape));
    }),
  };
}

/** The same, but affecting only lookups in a table. */
function lookedUp(path: string, values: Tensor, indices: Tensor, { leaves }: SparseMask): LinearEdit {
  const [rows, width] = leaves.find((leaf) => leaf.path === path)!.shape as readonly [number, number];
  const table = (): Tensor => reshape(scatterAddRows(values, indices, rows * width, []), [rows, width]);
  return {
    kind: "linear",
    path: path.replace(/\.weight$/, ""),
    changes: values.size,
    change: { form: "add", map: tableUpdate(rows, width, [values, indices], table) },
  };
}

function check(name: string, { leaves }: SparseMask): void {
  if (leaves.every(({ indices }) => indices.length === 0)) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected the mask of ${name} to hold at least one element but found none`,
    );
  }
  const seen = new Set<string>();
  for (const { path, shape, indices } of leaves) {
    if (seen.has(path)) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected each leaf once in the mask of ${name} but "${path}" is there twice`,
      );
    }
    seen.add(path);
    checkStrictlyIncreasing(
      `indices of the mask of ${name} for "${path}" ${showShape(shape)}`,
      indices,
      size(shape),
    );
  }
}

/** @throws {RangeError} when integers are not strictly increasing within [0, n). */
export function checkStrictlyIncreasing(what: string, integers: ArrayLike<number>, n: number): void {
  for (let i = 0; i < integers.length; i++) {
    const [before, it] = [i === 0 ? -1 : integers[i - 1]!, integers[i]!];
    if (!(Number.isInteger(it) && it > before && it < n)) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected ${what} to rise below ${n} but found ${it}${i === 0 ? "" : ` after ${before}`}`,
      );
    }
  }
}

/** @throws {RangeError} when the mask belongs to another model. */
function checkFits(name: string, mask: SparseMask, model: Model): void {
  const { weights } = model;
  for (const { path, shape } of mask.leaves) {
    const leaf = lookup(weights, path);
    if (!(leaf instanceof Tensor)) {
      throw lacking(name, path);
    }
    const found = dequantizedShape(model, path);
    if (!sameShape(found, shape)) {
      throw rangeError(
        "ADAPTER_MISMATCH",
        `Cannot use the mask of ${name} on this model: ${path}: expected ${showShape(shape)} but found ${
          showShape(found)
        }`,
      );
    }
  }
  for (const path of mask.whole) {
    if (!(lookup(weights, path) instanceof Tensor)) throw lacking(name, path);
  }
}

const lacking = (name: string, path: string): RangeError =>
  rangeError("ADAPTER_MISMATCH", `Cannot use the mask of ${name} on this model: it has no weight "${path}"`);
