/**
 * CPT. Blau, Kimhi, Belinkov, Bronstein and Baskin 2024, "Context-aware Prompt Tuning: Advancing In-Context Learning with
 * Adversarial Methods", arXiv 2410.17222.
 *
 *   X' = [E(c) + δ; E(x)]      c a context of examples, n tokens      ‖δ_i‖ ≤ ε_i √(d / 2048)   after each step
 *   loss = mean over the labels of context and text of w · cross-entropy       w = γ^j for the label of the j-th last example,
 *                                                                              1 for the text's own
 *
 * The offsets start at zero, which is in-context learning. Labels in the context have no offsets; their loss
 * trains the other tokens' offsets. Each token has a type 4 e + 1 (input's template), 4 e + 2 (input), 4 e +
 * 3 (output's template) or 4 e + 4 (label) in example e, or 0.
 */
import {
  type DefinedMethod,
  defineMethod,
  fn,
  fold,
  key as keyOf,
  type PromptLabel,
  scope,
  type Synchronous,
  type Tensor,
  tensor,
} from "../../core/mod.ts";
import { bounded, list, needed, option, seed } from "../../core/options/mod.ts";
import { add, divide, multiply, relu, sqrt, subtract, sumOfSquares, zeros } from "../../ops/mod.ts";
import { promptRows, rowsSetting } from "../shared/model_sizes.ts";
import { nonNegative } from "../shared/number_schemas.ts";
import { tokenIds } from "./prompt_options.ts";
import { promptStack, promptStart } from "./prompt_rows.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rangeError } from "../../errors/error.ts";
import { pow } from "../../elementary/power.ts";

/** Options of CPT. */
export interface ContextPromptTuningOptions {
  /** c, the context's token ids. */
  readonly tokens: readonly number[];
  /** A type for each, as above. Default all 1: every token has an offset, and none is a label. */
  readonly types?: readonly number[] | undefined;
  /** ε of inputs, for a width of 2048. Default 0.1. */
  readonly epsilon?: number;
  /** ε of templates. Default 0.1. */
  readonly templateEpsilon?: number;
  /** γ, default 1: all labels have equal weight. */
  readonly decay?: number;
}

/** E(c) [n, d], frozen, and δ [n, d]; without δ a finalized prompt. */
export type ContextPromptParams = { readonly offsets?: Tensor; readonly frozen: { readonly tokens: Tensor } };

/**
 * CPT as a method, for causal models. Parameters: `offsets` [n, d], and `frozen.tokens` [n, d]. `finalize` adds them up.
 *
 * @throws {RangeError} when there are no tokens, types differ from them in number or are not natural numbers,
 * or ε or γ is negative; at init, when an id is unknown.
 * @example
 * ```ts
 * import { adapt, contextPromptTuning, count, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * // One example: "in: 7 8 out: 9", with a label.
 * const method = contextPromptTuning({ tokens: [1, 7, 8, 2, 9], types: [1, 2, 2, 3, 4] });
 * assert.equal(count(model, adapt(model, method)).trainable, 5 * 16);
 * ```
 */
export const contextPromptTuning: DefinedMethod<ContextPromptTuningOptions> = defineMethod<
  ContextPromptTuningOptions
>({
  name: "context-prompt-tuning",
  summary: "Trains small, bounded changes of the embedded tokens of examples in a prompt.",
  facts: { "parameters kept": "n d", "parameters trained": "the same" },
  aliases: ["context-prompt", "cpt"],
  title: "CPT",
  options: {
    tokens: needed(tokenIds, "c, the context's token ids"),
    types: option(list(bounded(seed, "vocabulary")), "a type for each; by default all 1: offsets, no labels"),
    epsilon: option(nonNegative, "ε of inputs, for a width of 2048", 0.1),
    templateEpsilon: option(nonNegative, "ε of templates", 0.1),
    decay: option(nonNegative, "γ, by which labels count less the further back their example is", 1),
  },
  create: (options) => {
    const { tokens, types = tokens.map(() => 1), epsilon, templateEpsilon, decay } = options;
    if (tokens.length === 0) {
      throw rangeError("INVALID_ARGUMENT", "Expected a context of at least one token but found none");
    }
    if (types.length !== tokens.length) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected types to be ${tokens.length}, one for each token, but found [${types}]`,
      );
    }
    const moves = types.map((type) => type % 4 === 0 ? 0 : 1);
    const most = types.map((type) => type % 4 === 2 ? epsilon : type % 4 === 0 ? 0 : templateEpsilon);
    /** E(c) + δ, where labels and tokens without a type are unchanged. */
    const moved = (tokens: Tensor, offsets: Tensor): Tensor =>
      add(tokens, multiply(offsets, column(moves, offsets)));
    return {
      init: ({ model, key }) =>
        freshParams(() => {
          const start = { from: "tokens", rows: tokens.map((id) => [id]) } as const;
          const seed = fold(keyOf(key), "tokens");
          const rows = promptStart(model, seed, tokens.length, start, "context-prompt-tuning");
          return [["offsets", zeros(rows.shape, model.backend)], ["frozen.tokens", rows]];
        }),
      edits: (params, spec) => [{
        kind: "prompt",
        path: promptStack(spec, "context-prompt-tuning").path,
        length: tokens.length,
        labels: contextLabels(tokens, types, decay),
        rows: fn(
          params as ContextPromptParams,
          ({ offsets, frozen }) => offsets === undefined ? frozen.tokens : moved(frozen.tokens, offsets),
        ),
      }],
      project: (params) => {
        const { offsets } = params as ContextPromptParams;
        if (offsets === undefined) return params;
        const bounds = column(most.map((e) => e * Math.sqrt(offsets.shape[1]! / 2048)), offsets); // [n, 1]
        const norms = sqrt(sumOfSquares(offsets, { axis: 1, keepAxes: true }));
        const larger = add(bounds, relu(subtract(norms, bounds)));
        return { ...params, offsets: multiply(offsets, divide(bounds, add(larger, 1e-30))) }; // 0 where both are
      },
      finalize: (params) => {
        const { offsets, frozen } = params as Partial<ContextPromptParams>;
        const method = contextPromptTuning(options);
        if (frozen === undefined || offsets === undefined) return { method, params }; // gradients, or a finalized prompt
        const tokens = scope((): Synchronous<Tensor> => moved(frozen.tokens, offsets));
        return { method, params: { frozen: { tokens } } };
      },
    };
  },
  cli: { rate: 1e-3, flags: [] },
  published: {
    setting: rowsSetting(100, " of a context").setting,
    options: (model) => ({ tokens: Array.from({ length: promptRows(model, 100) }, () => 0) }),
  },
});

/**
 * The context's labels, predicted by the rows before them; those of the last example have the weight γ, of
 * the one before γ².
 */
function contextLabels(
  tokens: readonly number[],
  types: readonly number[],
  decay: number,
): readonly PromptLabel[] {
  const isLabel = (type: number): boolean => type > 0 && type % 4 === 0;
  const examples = [...new Set(types.filter(isLabel))].sort((a, b) => b - a);
  return types.flatMap((type, row) =>
    isLabel(type) ? [{ row, id: tokens[row]!, weight: pow(decay, 1 + examples.indexOf(type)) }] : []
  );
}

/** Values as a column [n, 1], on the backend of a tensor. */
function column(numbers: readonly number[], { backend }: Tensor): Tensor {
  return tensor(Float32Array.from(numbers), { backend, shape: [numbers.length, 1] });
}
