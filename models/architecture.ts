/** Which architecture runs a config. */
import { type Architecture, checkCounts, MODEL_COUNTS, type ModelConfig, type Spec } from "../core/mod.ts";
import { bert } from "./bert.ts";
import { bertSavedName, bertSpec, bertWeightPath } from "./bert_spec.ts";
import { decoderWeightPath } from "./decoder_head.ts";
import { gemma, gemmaSpec } from "./gemma.ts";
import { gpt2, gpt2Spec, gpt2WeightPath } from "./gpt2.ts";
import { t5, t5TiedScale } from "./t5.ts";
import { t5Spec, t5WeightPath } from "./t5_spec.ts";
import { llama, llamaSpec } from "./llama.ts";
import { rangeError } from "../errors/error.ts";

/** An architecture with the places determined by a config. */
export interface KnownArchitecture {
  /** The forward pass. */
  readonly architecture: Architecture;
  /** The places of the model. */
  readonly spec: Spec;
  /** The tree's path of a checkpoint's tensor; undefined for a stored buffer that is not a weight. */
  weightPath(name: string): string | undefined;
  /** The name of a leaf of the tree in checkpoints of other programs; default: its path. */
  savedName?(path: string): string;
  /**
   * The factor on scores of a head tied to the embedding, which does not apply to an untied head. Default 1.
   */
  readonly tiedScale?: number;
}

/**
 * The architecture of a `config.json`.
 *
 * @throws {RangeError} when its `model_type` is not supported.
 * @example
 * ```ts
 * import { architectureOf } from "@graft/peft/models";
 * import { smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { architecture, spec, weightPath } = architectureOf(smallConfig("gpt2"));
 * assert.equal(architecture.name, "gpt2");
 * assert.equal(spec.blocks.length, 2);
 * assert.equal(weightPath("h.0.ln_1.weight"), "transformer.h.0.ln_1.weight");
 * assert.throws(() => architectureOf({ model_type: "mamba" }), RangeError);
 * ```
 */
export function architectureOf(config: ModelConfig): KnownArchitecture {
  checkCounts(`the config of ${config.model_type}`, config, MODEL_COUNTS);
  switch (config.model_type) {
    case "llama":
    case "mistral":
    case "qwen2":
    case "qwen3":
    case "smollm3":
      return {
        architecture: llama,
        spec: llamaSpec(config),
        weightPath: (name) => decoderWeightPath(config, llamaWeightPath(name)),
      };
    case "gemma":
    case "gemma3_text":
      return {
        architecture: gemma,
        spec: gemmaSpec(config),
        weightPath: (name) => decoderWeightPath(config, name),
      };
    case "gpt2":
      return { architecture: gpt2, spec: gpt2Spec(config), weightPath: gpt2WeightPath };
    case "bert":
    case "roberta":
    case "xlm-roberta":
      return {
        architecture: bert,
        spec: bertSpec(config),
        weightPath: bertWeightPath(config),
        savedName: bertSavedName(config),
      };
    case "t5":
    case "mt5":
      return {
        architecture: t5,
        spec: t5Spec(config),
        weightPath: t5WeightPath,
        tiedScale: t5TiedScale(config),
      };
    default:
      throw rangeError(
        "MODEL_UNSUPPORTED",
        `Cannot run ${
          config.model_type === undefined
            ? "a config without model_type"
            : `model_type "${config.model_type}"`
        }: known are ` +
          "llama, mistral, qwen2, qwen3, smollm3, gemma, gemma3_text, gpt2, bert, roberta, xlm-roberta, t5 and mt5",
      );
  }
}

/** Early Llama checkpoints contain their rotary frequencies, which follow from the config. */
function llamaWeightPath(name: string): string | undefined {
  return name.endsWith(".rotary_emb.inv_freq") ? undefined : name;
}
