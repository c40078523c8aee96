/**
 * GraLoRA. Jung et al. 2025, "GraLoRA: Granular Low-Rank Adaptation for Parameter-Efficient Fine-Tuning", arXiv 2505.20355.
 *
 *   y = W x + b + s G dropout(x)        G_jn = B_jn A_nj for blocks j, n of k × k        A_nj [r/k, in/k]   B_jn [out/k, r/k]
 *
 * s = α/r. As many parameters and multiply-adds as LoRA of rank r, and a rank of up to k r. The hybrid form
 * adds a LoRA of rank h, s = α/(r + h):  y = … + s B' A' dropout(x). A is uniform in ±1/√(in/k) (A' in
 * ±1/√in), B and B' are zero, so the model is initially unchanged.
 */
import {
  type DefinedMethod,
  granular,
  lowRank,
  sumOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import {
  bounded,
  count,
  number,
  oneOf,
  option,
  probability,
  seed as natural,
} from "../../core/options/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { type Initial, uniform, zeros } from "../shared/initial.ts";
import { rankSchema } from "../shared/target_options.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of GraLoRA. */
export interface GraloraOptions extends TargetOptions {
  /** r, default 32; a multiple of k. */
  readonly rank?: number;
  /** k, default 2; both sizes of a layer must be multiples of it. The authors use 4 from rank 64 on. */
  readonly blocks?: number;
  /** h, default 0: no additional LoRA. */
  readonly hybridRank?: number;
  /** α, default twice the rank. */
  readonly alpha?: number | undefined;
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
  /** B zero ("default") or random ("none", for tests). */
  readonly initialization?: "default" | "none";
}

/** One layer's: a [k, in/k, r], b [k, r, out/k]; hybrid, generalA [h, in] and generalB [out, h]. */
export type GraloraParams = {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly generalA?: Tensor;
  readonly generalB?: Tensor;
};

/**
 * GraLoRA as a method. Parameters under each layer's path: `a`, `b`, and with a hybrid rank `generalA`, `generalB`.
 *
 * @throws {RangeError} when a rank is out of range or not a multiple of the blocks, dropout is not in [0, 1),
 * sizes do not divide, or targets match nothing.
 * @example
 * ```ts
 * import { gralora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(gralora({ rank: 64, blocks: 4 }).name, "gralora");
 * ```
 */
export const gralora: DefinedMethod<GraloraOptions> = defineLinear<GraloraOptions, GraloraParams>({
  name: "gralora",
  summary: "LoRA on each block of a weight that is cut into a grid.",
  facts: { parameters: "r (in + out); hybrid (r + h) (in + out)", merges: "yes" },
  title: "GraLoRA",
  options: {
    rank: option(rankSchema, "r, a multiple of k", 32),
    blocks: option(bounded(count, "width"), "k, into how many blocks each side of a matrix is divided", 2),
    hybridRank: option(bounded(natural, "rank"), "h, the rank of a LoRA beside the blocks", 0),
    alpha: option(number, "α, by which the update is multiplied, over r + h; by default twice r"),
    dropout: option(probability, "dropout of the branch's input in training", 0),
    initialization: option(oneOf("default", "none"), "B zero, or random for tests", "default"),
  },
  follows: ({ rank, alpha = 2 * rank }) => ({ alpha }),
  check: ({ rank, blocks }) => {
    if (rank % blocks !== 0) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected rank to be a multiple of the ${blocks} blocks but found ${rank}`,
      );
    }
  },
  params: ({ path, inFeatures, outFeatures }, { rank: r, blocks: k, hybridRank: h, initialization }) => {
    if (inFeatures % k !== 0 || outFeatures % k !== 0) {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot put gralora of ${k} by ${k} blocks on "${path}" [${outFeatures}, ${inFeatures}]: sizes must be multiples of ${k}`,
      );
    }
    /** PyTorch's default for this number of inputs. */
    const drawn = (shape: readonly number[], inputs: number): Initial =>
      uniform(shape, -1 / Math.sqrt(inputs), 1 / Math.sqrt(inputs));
    const second = initialization === "none" ? drawn : zeros;
    return {
      a: drawn([k, inFeatures / k, r], inFeatures / k),
      b: second([k, r, outFeatures / k], r),
      ...h > 0 && {
        generalA: drawn([h, inFeatures], inFeatures),
        generalB: second([outFeatures, h], h),
      },
    };
  },
  map: ({ a, b, generalA, generalB }, { alpha, rank, hybridRank }) => {
    const scale = alpha! / (rank + hybridRank);
    const blocks = granular(a, b, scale);
    return generalA && generalB ? sumOf([blocks, lowRank(generalA, generalB, scale)]) : blocks;
  },
  cli: {
    rate: 5e-4,
    flags: ["rank", "alpha", "dropout", "targets"],
    options: ({ rank = 8 }) => ({ rank }),
  },
  published: { setting: "r 8, 2 by 2 blocks on q and v", options: () => ({ rank: 8 }) },
});
