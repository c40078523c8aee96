/**
 * Uni-LoRA. Li, Ye, Zhang and others 2025, "Uni-LoRA: One Vector is All You Need", arXiv 2506.00799, section 3.
 *
 *   y = W x + b + B A x        vec(A_1), vec(B_1), vec(A_2), … = P θ        A [r, in]   B [out, r]   θ [d]
 *
 * Each of the D rows of P has one nonzero entry, 1/√n_j in a randomly drawn column j, where n_j is the number
 * of rows with column j: so P is an isometry. Columns are drawn independently for each row ("uniform"), as in
 * the paper, or by shuffling all columns in equal numbers ("balanced"), as in PEFT. The draws match NumPy's
 * for the seed. θ starts uniform: the model changes slightly at initialization.
 */
import {
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  fold,
  freshTargets,
  key as keyOf,
  type LinearMap,
  madeLowRank,
  type MatrixPlace,
  sizesOf,
  type Spec,
  type TargetOptions,
  type Tensor,
  tensor,
} from "../../core/mod.ts";
import {
  bounded,
  count,
  number,
  oneOf,
  option,
  probability,
  seed as seedSchema,
} from "../../core/options/mod.ts";
import { gatherRows, multiply, normal, uniform } from "../../ops/mod.ts";
import { numpyBelow, numpyChoice, numpyShuffle, pcg64 } from "../../numerics/numpy_random.ts";
import { TARGETS } from "../shared/target_options.ts";
import { freshParams } from "../shared/initial_factors.ts";

/** Options of Uni-LoRA. */
export interface UniLoraOptions extends TargetOptions {
  /** r, default 4. */
  readonly rank?: number;
  /** d, default 256. */
  readonly dimension?: number;
  /**
   * How rows of P get their columns: independently ("uniform", default) or in equal numbers ("balanced", as
   * in PEFT).
   */
  readonly assignment?: "uniform" | "balanced";
  /** Seed of P, default 42. */
  readonly projectionSeed?: number;
  /** θ uniform within `bound` ("uniform", default) or N(0, 1). */
  readonly initialization?: "uniform" | "normal";
  /** Bound of θ's uniform initialization, default 0.02. */
  readonly bound?: number;
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
}

/** P: the column of each row, and the value in each column. */
interface Projection {
  readonly columns: Int32Array;
  readonly scales: Float32Array;
}

/**
 * Uni-LoRA as a method. Parameters: `theta` [d] for the whole model.
 *
 * @throws {RangeError} when a number is not a positive integer, dropout is not in [0, 1), or targets match
 * nothing.
 * @example
 * ```ts
 * import { uniLora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(uniLora({ dimension: 5000 }).name, "uni-lora");
 * ```
 */
export const uniLora: DefinedMethod<UniLoraOptions> = defineMethod<UniLoraOptions>({
  name: "uni-lora",
  summary: "Computes all of LoRA's factors from one short trained vector, by a fixed projection.",
  facts: { parameters: "d for the whole model", merges: "yes" },
  title: "Uni-LoRA",
  options: {
    ...TARGETS,
    rank: option(bounded(count, "drawnRank"), "r, the rank of an update", 4),
    dimension: option(bounded(count, "entries"), "d, how many numbers train in all", 256),
    assignment: option(
      oneOf("uniform", "balanced"),
      "how rows of P get their columns: each by itself, or in equal numbers",
      "uniform",
    ),
    projectionSeed: option(seedSchema, "the seed of P", 42),
    initialization: option(oneOf("uniform", "normal"), "how θ starts", "uniform"),
    bound: option(number, "bound of θ's uniform start", 0.02),
    dropout: option(probability, "dropout of the branch's input in training", 0),
  },
  create: (options) => {
    const { rank, dimension, bound, projectionSeed: seed } = options;
    const drawn = new WeakMap<Spec, Projection>(); // P is determined by the model's sizes
    const projectionOf = (spec: Spec, places: readonly MatrixPlace[]): Projection => {
      const found = drawn.get(spec) ??
        projection(
          places.reduce((n, place) => n + entriesOf(place, rank), 0),
          dimension,
          seed,
          options.assignment,
        );
      drawn.set(spec, found);
      return found;
    };
    return {
      init: ({ model: { spec, backend }, key }) =>
        freshParams(() => {
          freshTargets(spec, options);
          const seed = fold(keyOf(key), "theta");
          const theta = options.initialization === "normal"
            ? normal(seed, [dimension], backend)
            : uniform(seed, [dimension], backend, -bound, bound);
          return [["theta", theta] as const];
        }),
      edits: (params, spec) => {
        const theta = params["theta"] as Tensor;
        const places = chooseTargets(spec, options);
        const p = projectionOf(spec, places);
        let from = 0;
        return places.map((place) => {
          const map = factors(place, theta, rank, p, from);
          from += entriesOf(place, rank);
          return {
            kind: "linear",
            path: place.path,
            change: { form: "add", map, ...options.dropout && { dropout: options.dropout } },
          };
        });
      },
    };
  },
  cli: {
    rate: 5e-3,
    flags: ["rank", "dimension", "dropout", "targets"],
    options: () => ({ assignment: "balanced" }),
  },
  published: { setting: "256 numbers for r 4 on q and v" },
});

const entriesOf = (place: MatrixPlace, rank: number): number =>
  rank * (sizesOf(place).inFeatures + sizesOf(place).outFeatures);

/** The layer whose entries begin at row `from` of P: A, then B. */
function factors(place: MatrixPlace, theta: Tensor, rank: number, p: Projection, from: number): LinearMap {
  const { inFeatures, outFeatures } = sizesOf(place);
  const { backend } = theta;
  const middle = from + rank * inFeatures;
  return madeLowRank({ inFeatures, outFeatures, rank }, [theta], () => {
    const scaled = multiply(theta, tensor(p.scales, { backend, shape: theta.shape }));
    const taken = (start: number, shape: readonly [number, number]): Tensor => {
      const columns = p.columns.subarray(start, start + shape[0] * shape[1]);
      return gatherRows(scaled, tensor(columns, { backend, shape, dtype: "i32" }));
    };
    return { a: taken(from, [rank, inFeatures]), b: taken(middle, [outFeatures, rank]) };
  });
}

function projection(
  rows: number,
  d: number,
  seed: number,
  assignment: UniLoraOptions["assignment"] = "uniform",
): Projection {
  const next = pcg64(seed);
  const columns = new Int32Array(rows);
  if (assignment === "uniform") { for (let i = 0; i < rows; i++) columns[i] = numpyBelow(next, d); }
  else {
    const each = Math.floor(rows / d);
    for (let i = 0; i < each * d; i++) columns[i] = Math.floor(i / each);
    if (rows % d > 0) columns.set(numpyChoice(next, d, rows % d), each * d);
    numpyShuffle(next, columns);
  }
  const counts = new Float32Array(d);
  for (const column of columns) counts[column]!++;
  return { columns, scales: counts.map((n) => n === 0 ? 0 : 1 / Math.sqrt(n)) };
}
