/** The settings of a BERT or RoBERTa `config.json`, and the head that it specifies. */
import type { ModelConfig, Tensor } from "../core/mod.ts";
import { activationOf } from "./activation.ts";
import { classCount } from "./classes.ts";
import { blockCount, flag, optionalNumber, optionalSize, shareOf, size } from "./config.ts";
import { rangeError } from "../errors/error.ts";

/** See the module comment. */
export interface BertConfig {
  /** RoBERTa differs in positions, in names and in its heads. */
  readonly family: "bert" | "roberta";
  /** The head on top. */
  readonly head: BertHead;
  /** Path of embeddings and blocks: "" in a checkpoint without a head. */
  readonly tower: "" | "bert" | "roberta";
  /** d, the size of a state. */
  readonly width: number;
  /** Blocks. */
  readonly layers: number;
  /** Heads of an attention. */
  readonly heads: number;
  /** m, the width of a feed-forward part. */
  readonly inner: number;
  /** Rows of the token table. */
  readonly vocabulary: number;
  /** Rows of the position table. */
  readonly positions: number;
  /** The row of a text's first token. */
  readonly firstPosition: number;
  /** RoBERTa's positions skip this id. */
  readonly pad: number;
  /** Rows of the table of token types. */
  readonly types: number;
  /** Added to a norm's variance. */
  readonly epsilon: number;
  /** σ of a feed-forward part. */
  readonly activation: (x: Tensor) => Tensor;
  /** Classes, where the head has them. */
  readonly classes: number;
  /** Whether the language modelling head uses the embedding's matrix. */
  readonly tied: boolean;
}

/** None, one label per text, one label per token, or the masked word. */
export type BertHead = "none" | "text" | "token" | "mask";

/** @throws {RangeError} when the config specifies something unsupported; the message names it. */
export function bertConfig(config: ModelConfig): BertConfig {
  if (flag(config, "is_decoder", false)) {
    throw rangeError(
      "MODEL_UNSUPPORTED",
      `Cannot run a ${config.model_type} whose config says "is_decoder": true`,
    );
  }
  const kind = config["position_embedding_type"] ?? "absolute";
  if (kind !== "absolute") {
    throw rangeError("MODEL_UNSUPPORTED", `Cannot run position_embedding_type ${JSON.stringify(kind)}`);
  }
  const family = config.model_type === "bert" ? "bert" : "roberta";
  const head = headOf(config);
  shareOf(config, "hidden_size", "num_attention_heads");
  const pad = optionalNumber(config, "pad_token_id") ?? (family === "bert" ? 0 : 1);
  return {
    family,
    head,
    tower: head === "none" ? "" : family,
    width: size(config, "hidden_size"),
    layers: blockCount(config, "num_hidden_layers"),
    heads: size(config, "num_attention_heads"),
    inner: size(config, "intermediate_size"),
    vocabulary: size(config, "vocab_size"),
    positions: size(config, "max_position_embeddings"),
    firstPosition: family === "bert" ? 0 : pad + 1,
    pad,
    types: optionalSize(config, "type_vocab_size") ?? 2,
    epsilon: optionalNumber(config, "layer_norm_eps") ?? 1e-12,
    activation: activationOf("hidden_act", config["hidden_act"] ?? "gelu"),
    classes: classCount(config),
    tied: flag(config, "tie_word_embeddings", true),
  };
}

/** By the class that the checkpoint was saved from; the part before "For" is the model's own name. */
function headOf(config: ModelConfig): BertHead {
  const name = (config["architectures"] as readonly string[] | null | undefined)?.[0];
  if (name === undefined || /^[A-Za-z]+Model$/.test(name)) return "none";
  switch (name.replace(/^.*For/, "")) {
    case "SequenceClassification":
      return "text";
    case "TokenClassification":
      return "token";
    case "MaskedLM":
    case "PreTraining":
      return "mask";
    default:
      throw rangeError(
        "MODEL_UNSUPPORTED",
        `Cannot run ${name}: known heads are ForSequenceClassification, ForTokenClassification and ForMaskedLM; load it ` +
          "with another task",
      );
  }
}
