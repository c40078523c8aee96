/** Shared by decoders with rotary positions and gated feed-forward parts: their sizes and places. */
import type { Architecture, Model, Spec } from "../core/mod.ts";
import { type BlockPlaces, blockPlaces } from "./block_places.ts";
import { classLabels } from "./classes.ts";
import { isHeadless, lastStates, TEXT_HEAD, textClasses } from "./decoder_head.ts";
import { type StackParts, stackStates } from "./stack.ts";
import { vocabularyLogits } from "./vocabulary_logits.ts";
import { typeError } from "../errors/error.ts";

/** Sizes of such a decoder. */
export interface DecoderSizes {
  /** d, the size of a state. */
  readonly width: number;
  /** How many blocks. */
  readonly layers: number;
  /** Number of query heads. */
  readonly heads: number;
  /** Number of key and value heads. */
  readonly keyValueHeads: number;
  /** Features of a head. */
  readonly headDim: number;
  /** Width of the feed-forward part. */
  readonly inner: number;
  /** Rows of the token table. */
  readonly vocabulary: number;
  /** Maximum number of tokens in a text. */
  readonly context: number;
  /** ε of the norms. */
  readonly epsilon: number;
  /** Whether the head is the token table. */
  readonly tied: boolean;
}

/** The differences between families. */
export interface DecoderForm {
  /** The family's name. */
  readonly architecture: string;
  /** Biases of q, k and v, of the attention's output, and of the feed-forward part. Default: none. */
  readonly biases?: { readonly qkv?: boolean; readonly output?: boolean; readonly feedForward?: boolean };
  /** A block's norms. */
  readonly norms: NonNullable<BlockPlaces["norms"]>;
  /** Classes or scores of a whole text, where the head is about that. */
  readonly classes?: number | undefined;
  /** Whether there is no head at all. */
  readonly headless?: boolean;
}

const TABLE = "model.embed_tokens";

/** The places of a decoder. */
export function rotaryDecoderSpec(
  c: DecoderSizes,
  { architecture, biases = {}, norms, classes, headless = false }: DecoderForm,
): Spec {
  const stack = "decoder" as const;
  const { width, inner, layers } = c;
  const [queries, keys] = [c.heads * c.headDim, c.keyValueHeads * c.headDim];
  const { qkv = false, output = false, feedForward = false } = biases;
  const places = blockPlaces({
    ...{ path: "model.layers", stack, layers, width },
    linears: [
      ["self_attn.q_proj", "query", width, queries, qkv],
      ["self_attn.k_proj", "key", width, keys, qkv],
      ["self_attn.v_proj", "value", width, keys, qkv],
      ["self_attn.o_proj", "output", queries, width, output],
      ["mlp.gate_proj", "gate", width, inner, feedForward],
      ["mlp.up_proj", "up", width, inner, feedForward],
      ["mlp.down_proj", "down", inner, width, feedForward],
    ],
    attention: { path: "self_attn", heads: c.heads, keyValueHeads: c.keyValueHeads, headDim: c.headDim },
    sublayers: [["self_attn", "attention"], ["mlp", "feedForward"]],
    norms,
  });
  const { neutral } = norms;
  const last = { kind: "norm" as const, path: "model.norm", stack, width, bias: false };
  return {
    architecture,
    ...places,
    norms: [...places.norms, { ...last, ...neutral === 0 && { neutral } }],
    embeddings: [{ kind: "embedding", path: TABLE, stack, role: "token", rows: c.vocabulary, width }],
    heads: headless ? [] : [{
      kind: "head",
      path: classes === undefined ? "lm_head" : TEXT_HEAD,
      stack,
      inFeatures: width,
      outFeatures: classes ?? c.vocabulary,
      bias: false,
      ...c.tied && classes === undefined && { tiedTo: TABLE },
    }],
    stacks: [{ kind: "stack", entrance: TABLE, path: "model", stack, width, layers }],
  };
}

/** The architecture of a decoder, from the parts of its stack. */
export function rotaryDecoder<C>(name: string, parts: (model: Model) => StackParts<C>): Architecture {
  return {
    name,
    states: (model, batch, options) => {
      const found = stackStates(model, batch, options, parts(model));
      return textClasses(model.config) === undefined ? found : lastStates(found, batch);
    },
    labels: ({ config }) => {
      if (isHeadless(config)) {
        throw typeError(
          "METHOD_DOES_NOT_FIT",
          `Cannot take a loss of ${config.model_type}: it was saved without a head`,
        );
      }
      return textClasses(config) === undefined ? "next" : classLabels(config);
    },
    head: (model, states, options) => {
      if (isHeadless(model.config)) return states;
      const head = textClasses(model.config) === undefined ? "lm_head" : TEXT_HEAD;
      return vocabularyLogits(model, states, options, { head, table: TABLE });
    },
  };
}
