/**
 * OFT. Qiu et al. 2023, "Controlling Text-to-Image Diffusion by Orthogonal Finetuning", arXiv 2306.07280; the input-centric
 * form and the series are those of OFTv2, Qiu et al. 2025, arXiv 2506.19847.
 *
 *   y = W diag(R_1, …, R_n)ᵀ x + b        R_i [c, c] orthogonal, from a skew Q_i by Cayley's transform        n c = in
 *
 * The parameters are the upper triangles of the Q_i, zero initially: the model is unchanged. `constraint` is
 * COFT's ε: after each step every Q_i is pulled back to ‖Q_i‖ ≤ ε / √n. As in PEFT, which rotates x in row
 * form, row x_i becomes x_i R_i.
 */
import {
  blockDiagonal,
  freshTargets,
  type LinearChange,
  mapTree,
  type MatrixPlace,
  type Method,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { divide, less, multiply, select, sqrt, sumOfSquares, transpose, zeros } from "../../ops/mod.ts";
import { cayley, cayleyNeumann, skewFromUpper } from "../../numerics/cayley.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkPositive } from "../shared/option_checks.ts";
import { rotatedPlaces } from "./rotated_places.ts";

/** How an input is divided into pieces: by their size or their number. */
export type Blocks = { readonly size: number } | { readonly count: number };

/** Options of OFT. */
export interface OftOptions extends TargetOptions {
  /** Default pieces of 32. */
  readonly blocks?: Blocks;
  /**
   * Where the size or number does not divide an input: "refuse" (default), or use the "nearest" that does, as
   * in PEFT.
   */
  readonly uneven?: "refuse" | "nearest";
  /** One rotation for all pieces of a layer, or "separate" ones (default). */
  readonly sharing?: "separate" | "shared";
  /** "exact", or a number of terms of the series; default 5 terms, as in PEFT. */
  readonly cayley?: "exact" | { readonly terms: number };
  /** ε of COFT; default none. */
  readonly constraint?: number;
}

/**
 * OFT as a method. Parameters: `q` [n, c (c − 1) / 2] under each layer's path ([1, …] when shared). Linear layers only.
 *
 * @throws {RangeError} when blocks do not divide a layer's input, a number is out of range, targets match nothing, or a
 * target is an embedding.
 * @example
 * ```ts
 * import { oft } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(oft({ blocks: { size: 4 }, cayley: "exact" }).name, "oft");
 * ```
 */
export function oft(options: OftOptions = {}): Method {
  const { constraint, cayley: series = { terms: 5 } } = options;
  checkBlocks(options.blocks);
  if (series !== "exact") checkPositive("cayley terms", series.terms);
  if (constraint !== undefined && !(constraint > 0)) {
    throw new RangeError(`Expected constraint to be greater than 0 but found ${constraint}`);
  }
  const method: Method = {
    name: "oft",
    config: { ...options },
    init: ({ model }) =>
      freshParams(() =>
        rotatedPlaces("oft", model.spec, options, freshTargets).map((place) =>
          [`${place.path}.q`, zeros(oftShape(place, options), model.backend)] as const
        )
      ),
    edits: (params, spec) =>
      rotatedPlaces("oft", spec, options).map((place) => ({
        kind: "linear",
        path: place.path,
        change: rotation(place, (paramsAt(params, place.path) as { readonly q: Tensor }).q, options),
      })),
  };
  if (constraint === undefined) return method;
  return { ...method, project: (params) => mapTree(params, (q) => pulledBack(q, constraint)) };
}

/**
 * The shape of a layer's parameters.
 *
 * @throws {RangeError} when the blocks do not divide its input.
 * @example
 * ```ts
 * import { freshModel, oftShape, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * // 4 blocks, 4 · 3 / 2 angles.
 * assert.deepEqual(oftShape(spec.linears[0]!, { blocks: { size: 4 } }), [4, 6]);
 * ```
 */
export function oftShape(place: MatrixPlace, options: OftOptions): readonly [number, number] {
  const { size, count } = piecesOf("oft", place, options.blocks ?? { size: 32 }, options.uneven);
  return [options.sharing === "shared" ? 1 : count, size * (size - 1) / 2];
}

/**
 * How a layer's input is divided.
 *
 * @throws {RangeError} when that leaves a remainder.
 * @example
 * ```ts
 * import { freshModel, piecesOf, reference, size, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.deepEqual(piecesOf("mine", spec.linears[0]!, { count: 2 }), { size: 8, count: 2 });
 * assert.throws(() => piecesOf("mine", spec.linears[0]!, { size: 5 }), /is no multiple of the block size 5/);
 * ```
 */
export function piecesOf(
  method: string,
  place: MatrixPlace,
  blocks: Blocks,
  uneven: "refuse" | "nearest" = "refuse",
): { readonly size: number; readonly count: number } {
  const { inFeatures } = sizesOf(place);
  const given = "size" in blocks ? blocks.size : blocks.count;
  const n = inFeatures % given === 0 || uneven === "refuse" ? given : nearestDivisor(inFeatures, given);
  if (inFeatures % n !== 0) {
    throw new RangeError(
      `Cannot put ${method} on "${place.path}": its input of ${inFeatures} is no multiple of the block ${
        "size" in blocks ? "size" : "count"
      } ${given}`,
    );
  }
  return "size" in blocks ? { size: n, count: inFeatures / n } : { size: inFeatures / n, count: n };
}

/** Of two equally near divisors, the lower one. */
function nearestDivisor(n: number, wanted: number): number {
  for (let d = 0; d < n; d++) {
    for (const candidate of [wanted - d, wanted + d]) {
      if (candidate >= 1 && candidate <= n && n % candidate === 0) return candidate;
    }
  }
  return n;
}

/**
 * Refuses invalid block sizes.
 *
 * @throws {RangeError} when the size or the number is not a positive integer.
 * @example
 * ```ts
 * import { checkBlocks } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * checkBlocks({ size: 4 });
 * assert.throws(() => checkBlocks({ count: 0 }), RangeError);
 * ```
 */
export function checkBlocks(blocks: Blocks = { size: 1 }): void {
  checkPositive(
    "size" in blocks ? "blocks.size" : "blocks.count",
    "size" in blocks ? blocks.size : blocks.count,
  );
}

function rotation(place: MatrixPlace, q: Tensor, options: OftOptions): LinearChange {
  const { inFeatures } = sizesOf(place);
  const { size } = piecesOf("oft", place, options.blocks ?? { size: 32 }, options.uneven);
  const { cayley: series = { terms: 5 } } = options;
  const r = (): Tensor => {
    const skew = skewFromUpper(q, size); // [n, c, c]
    return series === "exact" ? cayley(skew) : cayleyNeumann(skew, series.terms);
  };
  const map = blockDiagonal(() => transpose(r()), q, size, inFeatures);
  return {
    form: "input",
    map,
    ...series === "exact" && { inverse: blockDiagonal(r, q, size, inFeatures) },
  };
}

/**
 * Each row of triangles shrunk to ‖Q‖ ≤ ε / √rows; ‖Q‖² is twice the sum of its upper triangle's squares.
 * Points on the sphere within rounding are left as they are, so pulling back twice changes nothing.
 */
function pulledBack(q: Tensor, constraint: number): Tensor {
  const limit = constraint / Math.sqrt(q.shape[0]!);
  const norm = sqrt(multiply(sumOfSquares(q, { axis: 1, keepAxes: true }), 2));
  return select(less(limit * (1 + 1e-6), norm), multiply(q, divide(limit, norm)), q);
}
