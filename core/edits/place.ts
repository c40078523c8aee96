/**
 * Places: what a model offers to adapters. A method sees only places, never a model's code; a path is the
 * checkpoint's name of a module ("model.layers.0.self_attn.q_proj").
 */
import { rangeError } from "../../errors/error.ts";

/** Which tower of the network: a decoder-only model has one stack, "decoder"; BERT has "encoder"; T5 both. */
export type Stack = "encoder" | "decoder";

/** Fields that all places have. `layer` is absent outside the blocks. */
export interface PlaceBase {
  /** Path of the place, as the checkpoint names it. */
  readonly path: string;
  /** The stack it belongs to. */
  readonly stack: Stack;
  /** The block's number, from 0. */
  readonly layer?: number;
}

/** A linear layer y = W x + b. */
export interface LinearPlace extends PlaceBase {
  /** Discriminant of the union of places. */
  readonly kind: "linear";
  /** Its role in its block. */
  readonly role: "query" | "key" | "value" | "output" | "qkv" | "gate" | "up" | "down" | "other";
  /** n of W [m, n]. */
  readonly inFeatures: number;
  /** m of W [m, n]. */
  readonly outFeatures: number;
  /** The matrix is stored [in, out] (GPT-2's Conv1D). */
  readonly transposed: boolean;
  /** Whether it has a bias. */
  readonly bias: boolean;
}

/** An attention, where prefixes go. */
export interface AttentionPlace extends PlaceBase {
  /** Discriminant of the union of places. */
  readonly kind: "attention";
  /** Whether it attends to its own stack or to the encoder's states. */
  readonly role: "self" | "cross";
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads; fewer with grouped queries. */
  readonly keyValueHeads: number;
  /** Size of each head. */
  readonly headDim: number;
}

/** The output of an attention or feed-forward part, before it is added to the residual. */
export interface SublayerPlace extends PlaceBase {
  /** Discriminant of the union of places. */
  readonly kind: "sublayer";
  /** Which part of the block. */
  readonly role: "attention" | "cross" | "feedForward";
  /** d, the size of a state. */
  readonly width: number;
}

/** A whole block's output. */
export interface BlockPlace extends PlaceBase {
  /** Discriminant of the union of places. */
  readonly kind: "block";
  /**
   * In a model built from another model's layers, some of them replicated: the index, in that model, of the
   * block whose weights this block has.
   */
  readonly of?: number;
  /** d, the size of a state. */
  readonly width: number;
}

/** A normalisation's weight (and bias). */
export interface NormPlace extends PlaceBase {
  /** Discriminant of the union of places. */
  readonly kind: "norm";
  /** What it normalises: a state (default), or a head's queries or keys. */
  readonly over?: "head";
  /**
   * Position of a norm outside the blocks: after the last block (default), after the embeddings, or within
   * the head.
   */
  readonly position?: "end" | "entrance" | "head";
  /**
   * The weight at which the norm scales by one and at which a new norm starts: 1 (default), or 0 where the
   * model adds one to the weight.
   */
  readonly neutral?: 0;
  /** Their size. */
  readonly width: number;
  /** Whether it has a bias. */
  readonly bias: boolean;
}

/** A table of rows looked up by id. */
export interface EmbeddingPlace extends PlaceBase {
  /** Discriminant of the union of places. */
  readonly kind: "embedding";
  /** What its rows represent. */
  readonly role: "token" | "position" | "type";
  /** How many rows. */
  readonly rows: number;
  /** d, the size of a state. */
  readonly width: number;
}

/** The output layer. When `tiedTo` is set its matrix is that embedding's. */
export interface HeadPlace extends PlaceBase {
  /** Discriminant of the union of places. */
  readonly kind: "head";
  /** n of W [m, n]. */
  readonly inFeatures: number;
  /** m of W [m, n]. */
  readonly outFeatures: number;
  /** Whether it has a bias. */
  readonly bias: boolean;
  /** Path of the embedding whose matrix it uses. */
  readonly tiedTo?: string;
}

/** A stack's entrance, where prompts are inserted, and exit, where a side network joins. */
export interface StackPlace extends PlaceBase {
  /** Discriminant of the union of places. */
  readonly kind: "stack";
  /** The site of the embedded input, for hidden edits there. */
  readonly entrance: string;
  /** d, the size of a state. */
  readonly width: number;
  /** How many blocks. */
  readonly layers: number;
}

/** Any place. */
export type Place =
  | LinearPlace
  | AttentionPlace
  | SublayerPlace
  | BlockPlace
  | NormPlace
  | EmbeddingPlace
  | HeadPlace
  | StackPlace;

/** The places of a model. */
export interface Spec {
  /** The family's name. */
  readonly architecture: string;
  /** Linear layers, in the order of the pass. */
  readonly linears: readonly LinearPlace[];
  /** Attentions. */
  readonly attentions: readonly AttentionPlace[];
  /** Parts of blocks. */
  readonly sublayers: readonly SublayerPlace[];
  /** Blocks. */
  readonly blocks: readonly BlockPlace[];
  /** Norms. */
  readonly norms: readonly NormPlace[];
  /** Tables. */
  readonly embeddings: readonly EmbeddingPlace[];
  /** Output layers. */
  readonly heads: readonly HeadPlace[];
  /** Stacks: one, or the encoder and the decoder. */
  readonly stacks: readonly StackPlace[];
}

/**
 * All places of a spec.
 *
 * @example
 * ```ts
 * import { freshModel, places, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const kinds = new Set(places(spec).map(({ kind }) => kind));
 * assert.ok(kinds.has("linear") && kinds.has("attention") && kinds.has("stack"));
 * ```
 */
export function places(spec: Spec): readonly Place[] {
  return [
    ...spec.linears,
    ...spec.attentions,
    ...spec.sublayers,
    ...spec.blocks,
    ...spec.norms,
    ...spec.embeddings,
    ...spec.heads,
    ...spec.stacks,
  ];
}

/**
 * The only stack of a model.
 *
 * @throws {RangeError} when it has none or several; the message names the method.
 * @example
 * ```ts
 * import { freshModel, onlyStack, reference, smallConfig } from "@graft/peft";
 * import { place } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const llama = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.equal(onlyStack(llama.spec, "mine").layers, 2);
 * const t5 = freshModel(smallConfig("t5"), { backend: reference(), key: 0 });
 * assert.throws(() => onlyStack(t5.spec, "mine"), /Cannot place mine on t5/);
 * ```
 */
export function onlyStack(spec: Spec, method: string): StackPlace {
  const [stack, ...more] = spec.stacks;
  if (stack === undefined || more.length > 0) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot place ${method} on ${spec.architecture}: it needs a model with one stack but found ${spec.stacks.length}`,
    );
  }
  return stack;
}
