/** Models: a weight tree, the places it offers, and the architecture that runs it. */
import type { Backend, Tensor } from "../../tensor/mod.ts";
import type { LabelKind, Labels } from "./labels.ts";
import type { Spec } from "../edits/place.ts";
import type { Branch } from "./weights.ts";

/** A model's settings under their Hugging Face names (`config.json`). */
export interface ModelConfig {
  /** The model family, by its name in transformers. */
  readonly model_type: string;
  /** All other settings. */
  readonly [name: string]: unknown;
}

/** The input of a model. Rows are padded to one length on the right or left; the mask is 0 on padding. */
export interface Batch {
  /** [b][t] token ids. */
  readonly inputIds: readonly (readonly number[])[];
  /** [b][t], 1 or 0; default all 1. */
  readonly attentionMask?: readonly (readonly number[])[];
  /** [b][t] positions of a text's own tokens; default 0, 1, 2, …. */
  readonly positionIds?: readonly (readonly number[])[];
  /** [b][t] which of several packed texts a token belongs to; attention stays within a text. */
  readonly segmentIds?: readonly (readonly number[])[];
  /** [b][t] which text of a pair a token belongs to, for models that use it; default 0. */
  readonly tokenTypeIds?: readonly (readonly number[])[];
  /**
   * [b][u] input of the decoder of an encoder-decoder model so far; default: the labels shifted right, as in
   * transformers.
   */
  readonly decoderInputIds?: readonly (readonly number[])[];
  /** [b] the adapter of each row, under `perRow`; null for none. */
  readonly rows?: readonly (string | null)[];
  /**
   * Labels in the form that the model reads, see `LabelKind`. Labels of causal models are shifted inside, as
   * in transformers.
   */
  readonly labels?: Labels;
}

/** Keys and values of earlier tokens, by attention path. Immutable: a pass returns a new cache. */
export interface Cache {
  /** Number of tokens so far. */
  readonly length: number;
  /** Keys and values by the attention's path [b, s, kvHeads, headDim]. */
  readonly entries: Readonly<Record<string, { readonly k: Tensor; readonly v: Tensor }>>;
  /** f32 [b, s] over all cached positions, or undefined when none is padding. */
  readonly mask: Tensor | undefined;
  /** Cache of the first pass over the bare base, when an edit reads its states. */
  readonly prepass?: Cache | undefined;
  /** What the decoder of an encoder-decoder model needs from the encoder besides cached keys and values. */
  readonly memory?: { readonly mask: Tensor | undefined } | undefined;
  /** With per-row adapters: a cache for each group of rows, and nothing in the fields above. */
  readonly rows?: readonly {
    readonly name: string | null;
    readonly rows: readonly number[];
    readonly cache: Cache;
  }[];
}

/** How to run a pass. */
export interface ForwardOptions {
  /** Applies dropout and random routing; needs `key`. Default false. */
  readonly train?: boolean;
  /** Seed or key of the pass's randomness. */
  readonly key?: number | import("../../tensor/mod.ts").Key;
  /** Cache of the tokens to continue after. */
  readonly cache?: Cache;
  /** Return a cache. Default: when one was given. */
  readonly keepCache?: boolean;
  /**
   * Recompute each block in the backward pass instead of keeping its activations (arXiv 1604.06174). Default
   * false.
   */
  readonly checkpointBlocks?: boolean;
  /**
   * Round what meets a matrix in GGUF blocks to eight bits, as llama.cpp does: several times as fast on a CPU, and closer to
   * llama.cpp's scores than exact products are (docs/performance.md). Without effect on other weights, on a GPU and where
   * gradients flow. Default false.
   */
  readonly roundInputs?: boolean;
}

/** The stack's output before the head. */
export interface States {
  /** [b, t, d], after the final norm; [b, d] where the head reads one vector per row. */
  readonly states: Tensor;
  /**
   * [b, n, d] states of the last rows of prompts before the text of a causal model: the last predicts the
   * text's first token. n is 1, or the number of all rows if any of them has a label.
   */
  readonly before?: Tensor;
  /** The cache to continue from; undefined unless requested. */
  readonly cache: Cache | undefined;
}

/** A family of models: its forward pass as pure functions over weight trees. */
export interface Architecture {
  /** The name of the family. */
  readonly name: string;
  /** Runs the blocks. */
  states(model: Model, batch: Batch, options: ForwardOptions): States;
  /** Applies the head to states [..., d] → logits [..., v]. */
  head(model: Model, states: Tensor, options: ForwardOptions): Tensor;
  /** How it reads labels. @throws {TypeError} when it has no head that could be trained on labels. */
  labels(model: Model): LabelKind;
  /**
   * The token with which the decoder of an encoder-decoder model begins; undefined for decoder-only models.
   */
  decoderStart?(model: Model): number;
}

/** Text to token ids and back, as a model's forward pass and generation need it. */
export interface TextCodec {
  /** Token ids of a text, with the special tokens around it by default. */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /** The text of token ids. */
  decode(ids: readonly number[], options?: { readonly skipSpecialTokens?: boolean }): string;
  /** The token that ends a text. */
  readonly eos?: number | undefined;
  /** The padding token. */
  readonly pad?: number | undefined;
  /** The number of ids: the highest one plus one. */
  readonly vocabSize?: number;
  /** The token with this id, as the vocabulary spells it; undefined when there is none. */
  token?(id: number): string | undefined;
}

/**
 * A model on a backend. Immutable: `graft`, `merge` and `quantize` return new ones that share its weights.
 */
export interface Model<Codec extends TextCodec = TextCodec> {
  /** The forward pass. */
  readonly architecture: Architecture;
  /** The checkpoint's `config.json`. */
  readonly config: ModelConfig;
  /** The places it offers. */
  readonly spec: Spec;
  /** The tree of weights and grafted edits. */
  readonly weights: Branch;
  /** Where it computes. */
  readonly backend: Backend;
  /** Text to ids and back. @throws {Error} when the checkpoint had no tokenizer. */
  readonly tokenizer: Codec;
  /** Where it came from, for records: a folder, file or hub id. */
  readonly source?: string;
  /** Frees what the call that created this model allocated; shared weights are kept. */
  dispose(): void;
}
