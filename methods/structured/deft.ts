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
import { type DefinedMethod, fn, type LinearCall, type TargetOptions, type Tensor } from "../../core/mod.ts";
import { factor, oneOf, option, probability } from "../../core/options/mod.ts";
import { withHouseholderSigns } from "../../numerics/householder_signs.ts";
import {
  add,
  dropout,
  matmul,
  multiply,
  negate,
  orthogonalRows,
  relu,
  subtract,
  transpose,
} from "../../ops/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { normal, zeros } from "../shared/initial.ts";
import { rankSchema } from "../shared/target_options.ts";

/** Options of DEFT. */
export interface DeftOptions extends TargetOptions {
  /** r, default 8; capped at the layer's number of outputs. */
  readonly rank?: number;
  /** α; s = α / r. Without it s = 1. */
  readonly alpha?: number | undefined;
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
export const deft: DefinedMethod<DeftOptions> = defineLinear<DeftOptions, DeftMatrices>({
  name: "deft",
  summary: "Removes a layer's output in a small subspace, and learns a new one there.",
  facts: { parameters: "r (in + out); PaRa r out", merges: "yes, but not out again" },
  title: "DEFT",
  options: {
    rank: option(rankSchema, "r, the rank of P and R, at most a layer's outputs", 8),
    alpha: option(factor, "α, by which R is multiplied, over r; by default R is as it is"),
    projection: option(oneOf("relu", "qr"), "how Q and K follow from P", "relu"),
    form: option(oneOf("deft", "para"), "with R, or PaRa without it", "deft"),
    dropout: option(probability, "dropout of R's input in training", 0),
    initialization: option(oneOf("identity", "normal"), "how R starts", "identity"),
  },
  embeddings: false,
  params: ({ inFeatures, outFeatures }, { rank, form, initialization }) => {
    const r = Math.min(rank, outFeatures);
    return {
      p: normal([outFeatures, r], 0.02),
      ...form === "deft" && {
        r: initialization === "normal" ? normal([r, inFeatures], 0.02) : zeros([r, inFeatures]),
      },
    };
  },
  start: ({ p }, weight, { form, projection, initialization, ...options }) =>
    form === "para" || initialization === "normal" ? {} : {
      r: multiply(
        matmul(projector(p, projection).k, weight(), { transposeA: true }),
        1 / scaleOf(p, options),
      ),
    },
  change: (matrices, { projection, dropout: rate, ...options }) => {
    const s = scaleOf(matrices.p, options);
    return {
      form: "delta",
      reads: "output",
      delta: fn(matrices, ({ p, r }, call: LinearCall) => {
        const { q, k } = projector(p, projection);
        const product = call.bias === undefined ? call.y : subtract(call.y, call.bias); // W x
        const out = matmul(product, k); // [.., r]
        const drops = call.train && call.key !== undefined && rate > 0;
        const x = drops ? dropout(call.x, rate, call.key!) : call.x;
        const said = r && multiply(matmul(x, r, { transposeB: true }), s); // [.., r]
        return matmul(said === undefined ? negate(out) : subtract(said, out), q, { transposeB: true });
      }),
      weight: fn(matrices, ({ p, r }, { weight }) => {
        const { q, k } = projector(p, projection);
        const out = matmul(k, weight, { transposeA: true }); // [r, in]
        return add(weight, matmul(q, r === undefined ? negate(out) : subtract(multiply(r, s), out)));
      }),
    };
  },
  cli: { rate: 1e-3, flags: ["rank", "alpha", "dropout", "targets"] },
  published: { setting: "r 8 on q and v" },
});

/** s; P has r columns. */
const scaleOf = ({ shape }: Tensor, { alpha }: Pick<DeftOptions, "alpha">): number =>
  alpha === undefined ? 1 : alpha / shape[1]!;

/** Q and K, [out, r] each. */
function projector(p: Tensor, how: "relu" | "qr"): { readonly q: Tensor; readonly k: Tensor } {
  if (how === "relu") return { q: p, k: relu(p) };
  const q = transpose(withHouseholderSigns(orthogonalRows(transpose(p))));
  return { q, k: q };
}
