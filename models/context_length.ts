/** The context length of a model. */
import type { Model } from "../core/mod.ts";
import { bertConfig } from "./bert_config.ts";
import { optionalNumber } from "./config.ts";

/**
 * Maximum number of tokens in a row, including an adapter's prompts; Infinity where a model has only relative
 * positions (T5).
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { contextLength } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const options = { backend: reference(), key: 0 };
 * assert.equal(contextLength(freshModel(smallConfig("gpt2", { context: 64 }), options)), 64);
 * assert.equal(contextLength(freshModel(smallConfig("t5"), options)), Infinity);
 * ```
 */
export function contextLength({ config }: Model): number {
  switch (config.model_type) {
    case "gpt2":
      return optionalNumber(config, "n_positions") ?? 1024;
    case "bert":
    case "roberta":
    case "xlm-roberta": {
      const { positions, firstPosition } = bertConfig(config);
      return positions - firstPosition;
    }
    case "t5":
    case "mt5":
      return Infinity;
    default:
      return optionalNumber(config, "max_position_embeddings") ?? 2048;
  }
}
