/**
 * MiSS. Kang and Yin 2024, "MiSS: Balancing LoRA Performance and Efficiency with Simple Shard Sharing", arXiv 2409.15371
 * (first published as Bone).
 *
 *   y = W x + b + Dᵀ Σ_j dropout(x)_j        D [r, out]   x_j: the pieces of x of length r (the last may be short)
 *
 * "mini" shares D's columns too: D = [E, E, …] with E [r, m]. "bat" involves W: every block W_ij [r, r] of W
 * becomes W_ij + W_ij B_i + B_i with one B_i [r, r] for each row of blocks. D, E and B start at zero: the
 * model is initially unchanged.
 */
import {
  chooseTargets,
  type DefinedMethod,
  fn,
  type Model,
  repeatedBlocks,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { oneOf, option, probability } from "../../core/options/mod.ts";
import { add, matmul, permute, reshape } from "../../ops/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { zeros } from "../shared/initial.ts";
import { smallestInput } from "../shared/model_sizes.ts";
import { rankSchema } from "../shared/target_options.ts";
import { rangeError } from "../../errors/error.ts";

const sizeOf = ({ spec }: Model): number => Math.min(64, smallestInput(chooseTargets(spec, {})));

/** Options of every form. */
export interface MissCommon extends TargetOptions {
  /** r: the length of a piece of the input, default 64. */
  readonly rank?: number;
}

/** Options of MiSS, by form. */
export type MissOptions =
  & MissCommon
  & (
    | { readonly form?: "standard"; readonly dropout?: number }
    /** `miniRank` is m, which must divide the outputs. */
    | { readonly form: "mini"; readonly miniRank: number; readonly dropout?: number }
    /** Both sizes must be multiples of r. */
    | { readonly form: "bat" }
  );

/** Every option, whatever the form. */
interface MissFields extends MissCommon {
  readonly form?: "standard" | "mini" | "bat";
  readonly miniRank?: number | undefined;
  readonly dropout?: number;
}

/**
 * MiSS as a method. Parameters: `block` under each layer's path, [r, out], [r, m] or [out / r, r, r].
 *
 * @throws {RangeError} when the rank is out of range for a layer, sizes do not divide, or targets match nothing.
 * @example
 * ```ts
 * import { miss } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(miss({ rank: 16, form: "mini", miniRank: 4 }).name, "miss");
 * ```
 */
export const miss: DefinedMethod<MissOptions> = defineLinear<MissFields, { readonly block: Tensor }>({
  name: "miss",
  summary: "Sums pieces of the input and maps them by one small trained matrix.",
  facts: { parameters: "r out", merges: "yes" },
  aliases: ["bone"],
  title: "MiSS",
  options: {
    rank: option(rankSchema, "r, the length of a piece of the input", 64),
    form: option(
      oneOf("standard", "mini", "bat"),
      "with one D, with its columns shared, or with W",
      "standard",
    ),
    miniRank: option(rankSchema, "m, how many columns E has, for the form mini"),
    dropout: option(probability, "dropout of the branch's input in training, except in the form bat", 0),
  },
  check: ({ form, miniRank }) => {
    if (form === "mini" && miniRank === undefined) {
      throw rangeError("INVALID_ARGUMENT", 'Expected a miniRank with form "mini" of miss');
    }
    if (form !== "mini" && miniRank !== undefined) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Cannot use miniRank with form "${form}" of miss: set it to "mini"`,
      );
    }
  },
  params: ({ path, inFeatures, outFeatures }, { rank: r, form, miniRank: m }) => {
    const refuse = (why: string): never => {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot put MiSS of rank ${r} on "${path}" [${outFeatures}, ${inFeatures}]: ${why}`,
      );
    };
    if (r > inFeatures) refuse("the rank exceeds the input");
    if (form === "bat") {
      if (inFeatures % r !== 0 || outFeatures % r !== 0) refuse('"bat" needs multiples of the rank');
      return { block: zeros([outFeatures / r, r, r]) };
    }
    if (form === "mini" && outFeatures % m! !== 0) refuse(`miniRank ${m} does not divide the output`);
    return { block: zeros([r, form === "mini" ? m! : outFeatures]) };
  },
  change: ({ block }, { form, dropout }, { inFeatures, outFeatures }) =>
    form === "bat"
      ? {
        form: "delta",
        reads: "input",
        delta: fn(
          { block },
          ({ block }, { x, weight }) => matmul(x, blockUpdate(weight(), block), { transposeB: true }),
        ),
        weight: fn({ block }, ({ block }, { weight }) => add(weight, blockUpdate(weight, block))),
      }
      : {
        form: "add",
        map: repeatedBlocks(block, inFeatures, outFeatures / block.shape[1]!),
        ...dropout > 0 && { dropout },
      },
  cli: {
    rate: 5e-4,
    flags: ["rank", "targets"],
    // Pieces of 64 inputs, as in PEFT, where the layers are that wide.
    options: ({ rank }, _, places) => ({ rank: rank ?? Math.min(64, smallestInput(places)) }),
  },
  published: {
    setting: (model) => `r ${sizeOf(model)} on q and v`,
    options: (model) => ({ rank: sizeOf(model) }),
  },
});

/** W_ij B_i + B_i for all blocks of W [out, in] and B [out / r, r, r]. */
function blockUpdate(w: Tensor, b: Tensor): Tensor {
  const [out, input] = [w.shape[0]!, w.shape[1]!];
  const [rows, r] = [b.shape[0]!, b.shape[1]!];
  const columns = input / r;
  const blocks = reshape(permute(reshape(w, [rows, r, columns, r]), [0, 2, 1, 3]), [rows, columns * r, r]);
  const product = reshape(matmul(blocks, b), [rows, columns, r, r]);
  const update = add(product, reshape(b, [rows, 1, r, r]));
  return reshape(permute(update, [0, 2, 1, 3]), [out, input]);
}
