/**
 * Places: what a model offers to adapters. A method looks at places only, never at a model's code; a path is the
 * checkpoint's own name of a module ("model.layers.0.self_attn.q_proj").
 */

/** Which tower of the network: a decoder-only model has one stack, "decoder"; BERT has "encoder"; T5 both. */
export type Stack = "encoder" | "decoder";

/** What all places have. `layer` is absent outside the blocks. */
export interface PlaceBase {
  readonly path: string;
  readonly stack: Stack;
  readonly layer?: number;
}

/** A linear layer y = W x + b. */
export interface LinearPlace extends PlaceBase {
  readonly kind: "linear";
  readonly role: "query" | "key" | "value" | "output" | "qkv" | "gate" | "up" | "down" | "other";
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** The matrix is stored [in, out] (GPT-2's Conv1D). */
  readonly transposed: boolean;
  readonly bias: boolean;
}

/** An attention, where prefixes go. */
export interface AttentionPlace extends PlaceBase {
  readonly kind: "attention";
  readonly role: "self" | "cross";
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
}

/** The output of an attention or feed-forward part, before it is added to the residual. */
export interface SublayerPlace extends PlaceBase {
  readonly kind: "sublayer";
  readonly role: "attention" | "cross" | "feedForward";
  readonly width: number;
}

/** A whole block's output. */
export interface BlockPlace extends PlaceBase {
  readonly kind: "block";
  readonly width: number;
}

/** A normalisation's weight (and bias). */
export interface NormPlace extends PlaceBase {
  readonly kind: "norm";
  readonly width: number;
  readonly bias: boolean;
}

/** A table of rows looked up by id. */
export interface EmbeddingPlace extends PlaceBase {
  readonly kind: "embedding";
  readonly role: "token" | "position" | "type";
  readonly rows: number;
  readonly width: number;
}

/** The output layer. When `tiedTo` is set its matrix is that embedding's. */
export interface HeadPlace extends PlaceBase {
  readonly kind: "head";
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly bias: boolean;
  readonly tiedTo?: string;
}

/** A stack's entrance, where prompts go, and exit, where a side network joins. */
export interface StackPlace extends PlaceBase {
  readonly kind: "stack";
  /** The site of the embedded input, for hidden edits there. */
  readonly entrance: string;
  readonly width: number;
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
  readonly architecture: string;
  readonly linears: readonly LinearPlace[];
  readonly attentions: readonly AttentionPlace[];
  readonly sublayers: readonly SublayerPlace[];
  readonly blocks: readonly BlockPlace[];
  readonly norms: readonly NormPlace[];
  readonly embeddings: readonly EmbeddingPlace[];
  readonly heads: readonly HeadPlace[];
  readonly stacks: readonly StackPlace[];
}

/** The spec with only the places that satisfy a predicate. */
export function narrow(spec: Spec, predicate: (place: Place) => boolean): Spec {
  return {
    architecture: spec.architecture,
    linears: spec.linears.filter(predicate),
    attentions: spec.attentions.filter(predicate),
    sublayers: spec.sublayers.filter(predicate),
    blocks: spec.blocks.filter(predicate),
    norms: spec.norms.filter(predicate),
    embeddings: spec.embeddings.filter(predicate),
    heads: spec.heads.filter(predicate),
    stacks: spec.stacks.filter(predicate),
  };
}

/** All places of a spec. */
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

/** The stack of a model that has one. @throws {RangeError} when it has none or several; the message names the method. */
export function onlyStack(spec: Spec, method: string): StackPlace {
  const [stack, ...more] = spec.stacks;
  if (stack === undefined || more.length > 0) {
    throw new RangeError(
      `Cannot place ${method} on ${spec.architecture}: it needs a model with one stack but found ${spec.stacks.length}`,
    );
  }
  return stack;
}

/**
 * Predicate: blocks `from` up to `to` (exclusive; default all after). In a model with two stacks say which.
 *
 * @example
 * ```ts
 * import { layers } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.equal(layers(0, 2)({ kind: "block", path: "h.1", stack: "decoder", layer: 1, width: 8 }), true);
 * ```
 */
export function layers(from: number, to: number = Infinity, stack?: Stack): (place: Place) => boolean {
  return (place) =>
    place.layer !== undefined && place.layer >= from && place.layer < to &&
    (stack === undefined || place.stack === stack);
}
