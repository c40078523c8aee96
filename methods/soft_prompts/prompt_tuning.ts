/**
 * Prompt tuning. Lester, Al-Rfou and Constant 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning",
 * arXiv 2104.08691.
 *
 *   X' = [P; E(x)]      P [n, d] trained, E(x) the embedded text [t, d]
 *
 * In a model with two stacks the encoder reads the prompt. Mask and positions grow by n; the prompt has no
 * loss, but in a causal model its last row predicts the text's first token, which counts where it has a label
 * (as in PEFT). With `where` the rows are placed within the text instead, as in P-tuning.
 */
import { type DefinedMethod, defineMethod, fn, fold, key as keyOf } from "../../core/mod.ts";
import { option } from "../../core/options/mod.ts";
import { rowsSetting } from "../shared/model_sizes.ts";
import { encoderSchema, lengthOption, startOption, whereOption } from "./prompt_options.ts";
import type { PromptEncoder } from "./prompt_encoder.ts";
import {
  type PromptParams,
  type PromptPosition,
  promptStack,
  type PromptStart,
  promptStart,
} from "./prompt_rows.ts";
import { freshParams } from "../shared/initial_factors.ts";

/** Options of prompt tuning. */
export interface PromptTuningOptions {
  /** n, default 20; the paper's is 100. */
  readonly length?: number;
  /** Default uniform in ±0.5. */
  readonly start?: PromptStart;
  /** Default "front". */
  readonly where?: PromptPosition;
  /** The network that generated the rows in P-tuning, for the record: PEFT folders keep it. */
  readonly madeBy?: PromptEncoder | undefined;
}

/**
 * Prompt tuning as a method. Parameters: `rows` [n, d].
 *
 * @throws {RangeError} when the length is not a positive integer; at init, when a start names unknown token
 * ids.
 * @example
 * ```ts
 * import { promptTuning } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const method = promptTuning({ length: 8, start: { from: "vocabulary" } });
 * assert.equal(method.name, "prompt-tuning");
 * ```
 */
export const promptTuning: DefinedMethod<PromptTuningOptions, PromptParams> = defineMethod<
  PromptTuningOptions,
  PromptParams
>({
  name: "prompt-tuning",
  summary: "Puts trained rows before the embedded text.",
  facts: { "parameters kept": "n d", "parameters trained": "n d" },
  aliases: ["prompt"],
  title: "prompt tuning",
  options: {
    length: lengthOption(20),
    start: startOption,
    where: whereOption,
    madeBy: option(encoderSchema, "the network that generated the rows, for the record"),
  },
  create: ({ length, start, where }) => ({
    init: ({ model, key }) =>
      freshParams(() => [
        ["rows", promptStart(model, fold(keyOf(key), "rows"), length, start, "prompt-tuning")],
      ]) as PromptParams,
    edits: ({ rows }, spec) => [{
      kind: "prompt",
      path: promptStack(spec, "prompt-tuning").path,
      length,
      where,
      rows: fn({ rows }, ({ rows }) => rows),
    }],
  }),
  cli: { rate: 3e-2, flags: ["length"] },
  survey: {
    kinds: "A",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "Extra input",
    trainable: "0.1",
    changed: "0.1",
    differs:
      "100 rows are 0.07 % of BERT-base's numbers and 0.03 % of T5-base's; the share falls as the model grows",
  },
  published: rowsSetting(100),
});

/**
 * A text with slots for prompts: a number means that many slots, a list gives ids of the text or of anchors,
 * which stay ordinary tokens.
 *
 * @param token The id of the slots: one that the text itself does not use.
 * @example
 * ```ts
 * import { withSlots } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual(withSlots([2, [7, 8], 1, [9]], 0), [0, 0, 7, 8, 0, 9]);
 * ```
 */
export function withSlots(parts: readonly (number | readonly number[])[], token: number): readonly number[] {
  return parts.flatMap((part) => typeof part === "number" ? new Array<number>(part).fill(token) : part);
}
