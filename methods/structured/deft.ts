/**
 * DEFT. Kumar et al. 2025, "DEFT: Decompositional Efficient Fine-Tuning for Text-to-Image Models", arXiv
 * 2509.22793; and PaRa, whose projection it adopts, Chen et al. 2024, "PaRa: Personalizing Text-to-Image
 * Diffusion via Parameter Rank Reduction", arXiv 2406.05641.
 *
 *   W' = (I − Q Kᵀ) W + s Q R        P [out, r]   R [r, in]   s = α / r, or 1 without an α
 *   "relu": Q = P, K = max(P, 0)      "qr": Q = K, the orthonormal columns of P
 *
 * The layer's output in a subspace is removed, and R provides a new output in it. R starts at Kᵀ W / s: the
 * model is initially unchanged. PaRa only removes, and changes the model from the start. A rank above the
 * number of outputs is reduced to it, in s too, as in PEFT, which is the paper's authors' code; the signs of
 * Q are those of LAPACK, as there.
 */
import {
  chooseTargets,
  fn,
  fold,
  freshTargets,
  key as keyOf,
  type LinearCall,
  type LinearChange,
  matrixAt,
  type MatrixPlace,
  type Method,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import {
  add,
  dropout,
  matmul,
  multiply,
  negate,
  normal,
  orthogonalRows,
  relu,
  subtract,
  transpose,
} from "../../ops/mod.ts";
import { withHouseholderSigns } from "../../numerics/householder_signs.ts";
import { checkNotEmbedding } from "../shared/not_embedding.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkPositive, checkProbability } from "../shared/option_checks.ts";

/** Options of DEFT. */
export interface DeftOptions extends TargetOptions {
  /** r, default 8; capped at the layer's number of outputs. */
  readonly rank?: number;
  /** α; s = α / r. Without it s = 1. */
  readonly alpha?: number;
  /** How Q and K are computed from P, default "relu". */
  readonly projection?: "relu" | "qr";
  /** "deft" (default), or "para": without R. */
  readonly form?: "deft" | "para";
  /** Probability of dropping an input of R in training, default 0. */
  readonly dropout?: number;
  /** R at Kᵀ W / s ("identity", default), or random with standard deviation 0.02 ("normal"). */
  readonly initialization?: "identity" | "normal";
}

/** One layer's matrices. */
type DeftMatrices = { readonly p: Tensor; readonly r?: Tensor };

/**
 * DEFT as a method. Parameters: `p` [out, r] and, except for PaRa, `r` [r, in] under each layer's path.
 *
 * @throws {RangeError} when the rank is not a positive integer, α is not a finite number, dropout not in [0,
 * 1), a target is an embedding, or targets match nothing.
 * @example
 * ```ts
 * import { deft } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(deft({ rank: 4, projection: "qr", form: "para" }).name, "deft");
 * ```
 */
export function deft(options: DeftOptions = {}): Method {
  const { rank = 8, alpha, dropout = 0, form = "deft", projection = "relu" } = options;
  checkPositive("rank", rank);
  checkProbability("dropout", dropout);
  if (alpha !== undefined && !(Number.isFinite(alpha) && alpha !== 0)) {
    throw new RangeError(`Expected alpha to be a finite number other than 0 but found ${alpha}`);
  }
  return {
    name: "deft",
    config: { ...options },
    init: ({ model, key }) =>
      freshParams(() =>
        freshTargets(model.spec, options).flatMap((place) => {
          checkNotEmbedding("deft", place);
          const { inFeatures, outFeatures } = sizesOf(place);
          const r = deftRank(place, options);
          const seed = fold(keyOf(key), place.path);
          const p = normal(fold(seed, "p"), [outFeatures, r], model.backend, 0.02);
          const start = (): Tensor =>
            options.initialization === "normal"
              ? normal(fold(seed, "r"), [r, inFeatures], model.backend, 0.02)
              : multiply(
                matmul(projector(p, projection).k, matrixAt(model, place), { transposeA: true }),
                1 / scaleOf(place, options),
              );
          return [
            [`${place.path}.p`, p] as const,
            ...form === "para" ? [] : [[`${place.path}.r`, start()] as const],
          ];
        })
      ),
    edits: (params, spec) =>
      chooseTargets(spec, options).map((place) => ({
        kind: "linear",
        path: place.path,
        change: change(paramsAt(params, place.path) as DeftMatrices, place, options),
      })),
  };
}

/**
 * The rank of a layer.
 *
 * @example
 * ```ts
 * import { deftRank, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.equal(deftRank(spec.linears[0]!, { rank: 20 }), 16); // of 16 outputs
 * ```
 */
export function deftRank(place: MatrixPlace, { rank = 8 }: DeftOptions): number {
  return Math.min(rank, sizesOf(place).outFeatures);
}

const scaleOf = (place: MatrixPlace, options: DeftOptions): number =>
  options.alpha === undefined ? 1 : options.alpha / deftRank(place, options);

/** Q and K, [out, r] each. */
function projector(p: Tensor, how: "relu" | "qr"): { readonly q: Tensor; readonly k: Tensor } {
  if (how === "relu") return { q: p, k: relu(p) };
  const q = transpose(withHouseholderSigns(orthogonalRows(transpose(p))));
  return { q, k: q };
}

function change(matrices: DeftMatrices, place: MatrixPlace, options: DeftOptions): LinearChange {
  const { projection = "relu", dropout: rate = 0 } = options;
  const s = scaleOf(place, options);
  return {
    form: "delta",
    reads: "output",
    delta: fn(matrices, ({ p, r }, call: LinearCall) => {
      const { q, k } = projector(p, projection);
      const product = call.bias === undefined ? call.y : subtract(call.y, call.bias); // W x
      const out = matmul(product, k); // [.., r]
      const x = call.train && call.key !== undefined && rate > 0 ? dropout(call.x, rate, call.key) : call.x;
      const said = r && multiply(matmul(x, r, { transposeB: true }), s); // [.., r]
      return matmul(said === undefined ? negate(out) : subtract(said, out), q, { transposeB: true });
    }),
    weight: fn(matrices, ({ p, r }, { weight }) => {
      const { q, k } = projector(p, projection);
      const out = matmul(k, weight, { transposeA: true }); // [r, in]
      return add(weight, matmul(q, r === undefined ? negate(out) : subtract(multiply(r, s), out)));
    }),
  };
}
