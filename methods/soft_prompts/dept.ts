/**
 * DePT. Shi and Lipani 2023, "DePT: Decomposed Prompt Tuning for Parameter-Efficient Fine-tuning", arXiv 2309.05173, section 2.2.
 *
 *   X' = [P; E(x) + σ A B]      P [n, d]   A [s, r]   B [r, d]   σ = α/√r
 *
 * A prompt shorter than prompt tuning's, and a change of the embedded text that depends on where a token stands and not on which
 * it is: row i of A B is added to the text's token i, and nothing after the s-th. P learns fast, A and B slowly. The σ is the
 * authors' code's; the paper has 1. A is uniform in ±1/√r, B zero.
 *
 * The first row meets a text's first token. The authors pad a decoder's texts on the left to s, so that there the last row meets
 * the last token of an example. In a model with two stacks the encoder reads the prompt, and its text alone changes.
 */
import { type DefinedMethod, defineMethod, fn, fold, key as keyOf, type Tensor } from "../../core/mod.ts";
import { number, option, positive } from "../../core/options/mod.ts";
import { matmul, multiply } from "../../ops/mod.ts";
import { kaiming, zeros } from "../shared/initial.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rowsSetting } from "../shared/model_sizes.ts";
import { rankSchema } from "../shared/target_options.ts";
import { lengthOption, rowCount, startOption } from "./prompt_options.ts";
import { promptStack, type PromptStart, promptStart } from "./prompt_rows.ts";

/** Options of DePT. */
export interface DeptOptions {
  /** n, the prompt's rows, default 40. */
  readonly length?: number;
  /** s, how many of a text's tokens change, default 256. */
  readonly maxLength?: number;
  /** r, default 45: with 40 rows and 256 tokens as many numbers as a prompt of 100 rows on T5-base. */
  readonly rank?: number;
  /** α of σ = α/√r, default 8. */
  readonly alpha?: number;
  /** How the prompt starts; default uniform in ±0.5. */
  readonly start?: PromptStart;
  /** The learning rate of A and B, default 5e-4. The prompt's is the run's. */
  readonly lowRankRate?: number;
}

/** rows [n, d], a [s, r], b [r, d]. */
export type DeptParams = { readonly rows: Tensor; readonly a: Tensor; readonly b: Tensor };

/**
 * DePT as a method. Parameters: `rows` [n, d], `a` [s, r] and `b` [r, d].
 *
 * @throws {RangeError} when a size is not a positive integer or the rate is not positive; at init, when a start names unknown
 * token ids.
 * @example
 * ```ts
 * import { adapt, count, dept, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const method = dept({ length: 4, maxLength: 20, rank: 2 });
 * assert.equal(count(model, adapt(model, method)).trainable, 4 * 16 + 2 * (20 + 16));
 * ```
 */
export const dept: DefinedMethod<DeptOptions, DeptParams> = defineMethod<DeptOptions, DeptParams>({
  name: "dept",
  summary: "A short prompt, and a low-rank change of the embedded text by position.",
  facts: { "parameters kept": "n d + r (s + d)", "parameters trained": "the same" },
  aliases: ["decomposed-prompt-tuning"],
  title: "DePT",
  options: {
    length: lengthOption(40),
    maxLength: option(rowCount, "s, how many of a text's tokens change", 256),
    rank: option(rankSchema, "r, the rank of that change", 45),
    alpha: option(number, "α of its scale α/√r", 8),
    start: startOption,
    lowRankRate: option(positive, "the learning rate of the change; the prompt's is the run's", 5e-4),
  },
  create: ({ length, maxLength, rank, alpha, start, lowRankRate }) => ({
    init: ({ model, key }) =>
      freshParams(() => {
        const { width } = promptStack(model.spec, "dept");
        const seed = (name: string) => fold(keyOf(key), name);
        return [
          ["rows", promptStart(model, seed("rows"), length, start, "dept")],
          ["a", kaiming([maxLength, rank]).make(seed("a"), model.backend)],
          ["b", zeros([rank, width]).make(seed("b"), model.backend)],
        ];
      }) as DeptParams,
    edits: ({ rows, a, b }, spec) => {
      const { path } = promptStack(spec, "dept");
      return [
        { kind: "prompt", path, length, rows: fn({ rows }, ({ rows }) => rows) },
        {
          kind: "prompt",
          path,
          length: maxLength,
          where: "onto",
          rows: fn({ a, b }, ({ a, b }) => matmul(a, multiply(b, alpha / Math.sqrt(rank)))),
        },
      ];
    },
    rates: ({ learningRate }) => (path) => path === "rows" ? 1 : lowRankRate / learningRate,
  }),
  cli: { rate: 3e-2, flags: ["length", "rank"] },
  published: rowsSetting(40, ", r 45 over 256 tokens"),
});
