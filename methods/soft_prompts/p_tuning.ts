/**
 * P-tuning. Liu, Zheng, Du, Ding, Qian, Yang and Tang 2021, "GPT Understands, Too", arXiv 2103.10385.
 *
 *   x = template([P₀ … Pᵢ], text, anchors, …)      P = encoder(e)      e [n, d]
 *
 * The rows are placed at slots anywhere in the input, or before it as in PEFT; anchors are ordinary tokens of
 * the template. The encoder is dropped after training. The authors' few-shot setting trains the language
 * model as well, at a lower rate: compose with `fullFineTune` for that.
 */
import {
  type DefinedMethod,
  defineMethod,
  fn,
  fold,
  key as keyOf,
  scope,
  type Synchronous,
} from "../../core/mod.ts";
import { option } from "../../core/options/mod.ts";
import { rowsSetting } from "../shared/model_sizes.ts";
import { encoderSchema, lengthOption, whereOption } from "./prompt_options.ts";
import { encodedRows, freshEncoder, type PromptEncoder, type PromptEncoderParams } from "./prompt_encoder.ts";
import { type PromptParams, type PromptPosition, promptStack } from "./prompt_rows.ts";
import { promptTuning } from "./prompt_tuning.ts";

/** Options of P-tuning. */
export interface PTuningOptions {
  /** n, default 9, the authors' template of three, three and three. */
  readonly length?: number;
  /** Where the rows are placed, default "front"; for slots, create the texts with `withSlots`. */
  readonly where?: PromptPosition;
  /** Default the authors' BiLSTM. */
  readonly encoder?: PromptEncoder;
}

/**
 * P-tuning as a method. Parameters: `tokens` [n, d], `mlp.0.weight`, `mlp.0.bias`, … and with an LSTM
 * `lstm.<layer>.<forward or backward>.<input or hidden>.<weight or bias>`. `finalize` evaluates the encoder
 * once and returns prompt tuning.
 *
 * @throws {RangeError} when a size is not a positive integer.
 * @example
 * ```ts
 * import { pTuning, withSlots } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const slot = 0;
 * const method = pTuning({ length: 3, where: { token: slot }, encoder: { kind: "mlp" } });
 * const ids = withSlots([2, [17, 4], 1], slot); // two rows, a text, one row
 * assert.deepEqual([method.name, ids.length], ["p-tuning", 5]);
 * ```
 */
export const pTuning: DefinedMethod<PTuningOptions, PromptEncoderParams> = defineMethod<
  PTuningOptions,
  PromptEncoderParams
>({
  name: "p-tuning",
  summary: "Trains prompt rows through a small encoder that makes them.",
  facts: { "parameters kept": "n d", "parameters trained": "and the encoder" },
  title: "P-tuning",
  options: {
    length: lengthOption(9),
    where: whereOption,
    encoder: option(encoderSchema, "the network that generates the rows in training", { kind: "lstm" }),
  },
  create: ({ length, where, encoder }) => ({
    init: ({ model, key }) =>
      scope((): Synchronous<PromptEncoderParams> => {
        const { width } = promptStack(model.spec, "p-tuning");
        return freshEncoder(encoder, fold(keyOf(key), "encoder"), length, width, model.backend);
      }),
    edits: (params, spec) => [{
      kind: "prompt",
      path: promptStack(spec, "p-tuning").path,
      length,
      where,
      rows: fn(params, (params, { train, key }) => encodedRows(encoder, params, train ? key : undefined)),
    }],
    finalize: (params) => ({
      method: promptTuning({ length, where, madeBy: encoder }),
      params: scope((): Synchronous<PromptParams> => ({ rows: encodedRows(encoder, params) })),
    }),
  }),
  cli: { rate: 1e-3, flags: ["length"] },
  published: rowsSetting(9, " through an encoder"),
});
