/** Which weights LT-SFT may mask, and its masks between its phases. */
import {
  dequantizedShape,
  dispose,
  lookup,
  matchesWhole,
  type Model,
  nameMatches,
  scope,
  size,
  type Spec,
  type Synchronous,
  type Tensor,
  type Tree,
  weightLeaves,
} from "../../core/mod.ts";
import {
  abs,
  add,
  integers,
  largest,
  multiply,
  ones,
  reshape,
  scatterAddRows,
  subtract,
  zeros,
} from "../../ops/mod.ts";
import { classifierLeaves } from "../shared/classifier.ts";
import type { DenseDeltas } from "./dense_deltas.ts";
import type { LeafMask, SparseMask } from "./sparse.ts";
import { rangeError } from "../../errors/error.ts";

/** Which leaves may be masked. */
export interface LtSftLeaves {
  /** Norms. Default "frozen". */
  readonly norms?: "frozen" | "maskable";
  /** Further frozen leaves: names (equal to a path or its end) or a pattern on the whole path. */
  readonly frozen?: readonly string[] | RegExp | undefined;
  /** Whether a head tied to the embedding follows it (default), or is unchanged, as in the authors' code. */
  readonly tiedHead?: "follows" | "stays";
}

/**
 * The leaves of a model that may be masked, and those that are trained as a whole. @throws {RangeError} when
 * `frozen` names none, or all.
 */
export function ltSftLeaves(
  model: Model,
  { norms = "frozen", frozen = [], tiedHead = "follows" }: LtSftLeaves = {},
): DenseDeltas {
  const whole = classifierLeaves(model.spec);
  const all = weightLeaves(model.weights).map(([path]) => path);
  const stray = frozen instanceof RegExp
    ? [String(frozen)].find(() => !all.some((path) => matchesWhole(frozen, path)))
    : frozen.find((name) => !all.some((path) => nameMatches(name, path)));
  if (stray !== undefined) {
    throw rangeError(
      "NO_SUCH_PLACE",
      `Cannot place lt-sft: no weight is called ${
        frozen instanceof RegExp ? stray : `"${stray}"`
      }, which frozen names`,
    );
  }
  const kept = (path: string): boolean =>
    (norms === "frozen" && isNorm(model.spec, path)) ||
    (frozen instanceof RegExp ? matchesWhole(frozen, path) : frozen.some((name) => nameMatches(name, path)));
  const paths = all.filter((path) => !whole.includes(path) && !kept(path));
  if (paths.length === 0) {
    throw rangeError("METHOD_DOES_NOT_FIT", "Cannot place lt-sft: every weight is frozen");
  }
  const tied = model.spec.heads.flatMap((head) => head.tiedTo === undefined ? [] : [`${head.tiedTo}.weight`]);
  return { paths, whole, lookups: tiedHead === "stays" ? paths.filter((path) => tied.includes(path)) : [] };
}

const isNorm = (spec: Spec, path: string): boolean =>
  spec.norms.some((norm) => path === `${norm.path}.weight` || path === `${norm.path}.bias`);

/** Nothing masked yet. */
export function emptyMask(model: Model, { paths, whole, lookups }: DenseDeltas): SparseMask {
  return {
    leaves: paths.map((path) => ({
      path,
      shape: dequantizedShape(model, path),
      indices: new Int32Array(0),
    })),
    whole,
    ...lookups?.length && { lookups },
  };
}

/**
 * The mask with `count` more elements: the unmasked ones that moved farthest. `params` are those of the dense
 * phase.
 *
 * @throws {RangeError} when fewer remain.
 */
export async function widenedMask(mask: SparseMask, params: Tree, count: number): Promise<SparseMask> {
  const scores = scope((): Synchronous<readonly Tensor[]> =>
    mask.leaves.map((leaf) => {
      const moved = abs(lookup(params, `${leaf.path}.delta`) as Tensor);
      const taken = scatteredOnes(leaf, moved);
      // Below every distance, so that they are not selected again.
      return subtract(multiply(moved, subtract(1, taken)), taken);
    })
  );
  const left = mask.leaves.reduce(
    (n, { shape, indices }) => n + size(shape) - indices.length,
    0,
  );
  if (!Number.isInteger(count) || count < 1 || count > left) {
    dispose(scores);
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected to unfreeze from 1 up to ${left} weights but found ${count}`,
    );
  }
  const more = await largest(scores, count, "all");
  dispose(scores);
  return {
    ...mask,
    leaves: mask.leaves.map((leaf, i) => ({
      ...leaf,
      indices: Int32Array.from([...leaf.indices, ...more[i]!]).sort(),
    })),
  };
}

/** 1 at the elements of a mask, 0 elsewhere, like `t`. */
function scatteredOnes({ indices }: LeafMask, t: Tensor): Tensor {
  if (indices.length === 0) return zeros(t.shape, t.backend);
  return reshape(
    scatterAddRows(ones([indices.length], t.backend), integers(indices, t.backend), t.size, []),
    t.shape,
  );
}

/** The dense differences represented by sparse values, from which a further dense phase starts. */
export function denseOf(
  mask: SparseMask,
  params: Tree,
  model: Model,
): readonly (readonly [string, Tensor])[] {
  return [
    ...mask.leaves.map(({ path, indices, shape }) => {
      if (indices.length === 0) return [`${path}.delta`, zeros(shape, model.backend)] as const;
      const values = lookup(params, `${path}.values`) as Tensor;
      const at = lookup(params, `${path}.frozen.indices`) as Tensor;
      return [`${path}.delta`, reshape(scatterAddRows(values, at, size(shape), []), shape)] as const;
    }),
    ...mask.whole.map((path) => [path, add(lookup(params, path) as Tensor, 0)] as const),
  ];
}
