/** How much a model can read. */
import type { Model } from "../core/mod.ts";
import { bertConfig } from "./bert_config.ts";
import { optionalNumber } from "./config.ts";

/** Most tokens in a row, prompts of an adapter included; Infinity where a model knows distances only (T5). */
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
