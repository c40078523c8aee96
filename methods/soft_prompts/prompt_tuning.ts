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
import { fn, fold, key as keyOf, type Method } from "../../core/mod.ts";
import type { PromptEncoder } from "./prompt_encoder.ts";
import {
  checkPromptStart,
  type PromptParams,
  type PromptPosition,
  promptStack,
  type PromptStart,
  promptStart,
} from "./prompt_rows.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkPositive } from "../shared/option_checks.ts";

/** Options of prompt tuning. */
export interface PromptTuningOptions {
  /** n, default 20; the paper's is 100. */
  readonly length?: number;
  /** Default uniform in ±0.5. */
  readonly start?: PromptStart;
  /** Default "front". */
  readonly where?: PromptPosition;
  /** The network that generated the rows in P-tuning, for the record: PEFT folders keep it. */
  readonly madeBy?: PromptEncoder;
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
 * assert.equal(method.name, "promptTuning");
 * ```
 */
export function promptTuning(options: PromptTuningOptions = {}): Method<PromptParams> {
  const { length = 20, start = { from: "uniform" }, where = "front", madeBy } = options;
  checkPositive("length", length);
  checkPromptStart(start);
  return {
    name: "promptTuning",
    config: {
      length,
      start,
      where,
      ...madeBy && { madeBy },
    },
    init: ({ model, key }) =>
      freshParams(() => [
        ["rows", promptStart(model, fold(keyOf(key), "rows"), length, start, "promptTuning")],
      ]) as PromptParams,
    edits: ({ rows }, spec) => [{
      kind: "prompt",
      path: promptStack(spec, "promptTuning").path,
      length,
      where,
      rows: fn({ rows }, ({ rows }) => rows),
    }],
  };
}

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
