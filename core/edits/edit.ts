/**
 * Edits: where an adapter changes a model, and how. A small closed union, and the only interface between
 * methods and models. Every function in an edit is an `Fn`: a pure function together with the parameters it
 * uses, so that scopes, printing, counting and device transfer see every tensor.
 */
import type { Key, Tensor, Tree } from "../../tensor/mod.ts";
import { add } from "../../ops/mod.ts";
import type { LinearMap } from "../linear_maps/linear_map.ts";
import type { Stack } from "./place.ts";

/** A pure function with its parameters exposed. */
export interface Fn<Call, Result> {
  /** Tensors, or records of tensors. */
  readonly params: unknown;
  /** The function, with its parameters filled in. */
  run(call: Call): Result;
}

/**
 * An `Fn` from parameters and a function of (params, call).
 *
 * @example
 * ```ts
 * import { fn } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const scaled = fn({ factor: 3 }, ({ factor }, call: { x: number }) => factor * call.x);
 * assert.equal(scaled.run({ x: 2 }), 6);
 * assert.deepEqual(scaled.params, { factor: 3 }); // seen by whatever walks an edit's tensors
 * ```
 */
export function fn<P, Call, Result>(params: P, run: (params: P, call: Call) => Result): Fn<Call, Result> {
  return { params, run: (call) => run(params, call) };
}

/** What every edit may know about the current forward pass. */
export interface PassCall {
  /** Whether this is a training pass, with dropout and random choices. */
  readonly train: boolean;
  /** The pass's key folded with the place; present while training. */
  readonly key?: Key | undefined;
  /** "prompt" reads a text, "decode" continues it with a cache, "train" computes a loss. */
  readonly phase: "train" | "prompt" | "decode";
  /** i32 [b, t]. */
  readonly ids: Tensor;
  /** f32 [b, s], 0 on padding. */
  readonly mask: Tensor | undefined;
  /**
   * f32 [b, t], 1 on prompt tokens and 0 on tokens to be generated, where labels distinguish them: when
   * training a causal model, the prompt is the tokens before the first label. undefined when all tokens count
   * as prompt.
   */
  readonly given?: Tensor | undefined;
  /** Values computed earlier in this pass (or in its prepass) by name. */
  signal(name: string): Tensor;
}

/** What an edit sees at a linear layer. */
export interface LinearCall extends PassCall {
  /** Input [..., in]. */
  readonly x: Tensor;
  /** Output so far [..., out]. */
  readonly y: Tensor;
  /** What the layer so far computes for another input [..., in], bias included. */
  apply(x: Tensor): Tensor;
  /** The matrix so far, [out, in] f32, untracked when the base is frozen. */
  weight(): Tensor;
  /** The bias so far. */
  readonly bias: Tensor | undefined;
}

/** For the weight form of an edit: the matrix [out, in] (or any leaf) and bias so far. */
export interface WeightCall {
  /** [out, in] so far, or the leaf. */
  readonly weight: Tensor;
  /** [out] so far, where there is one. */
  readonly bias?: Tensor | undefined;
  /** Whether this is a training pass; absent in evaluation and when merging. */
  readonly train?: boolean;
  /** The pass's key folded with the leaf's path; present while training. */
  readonly key?: Key | undefined;
}

/** What an edit sees at the output of a sublayer, block or embedding. */
export interface HiddenCall extends PassCall {
  /** The part's input [b, t, d]. */
  readonly x: Tensor;
  /** Its output so far [b, t, d]. */
  readonly y: Tensor;
  /** What will be added to y: the residual stream. */
  readonly skip: Tensor | undefined;
  /** The LayerNorm that follows the addition in a post-norm block; the identity in a pre-norm block. */
  norm(t: Tensor): Tensor;
}

/** What an edit sees at an attention. */
export interface AttentionCall extends PassCall {
  /** The attention's input [b, t, d]. */
  readonly x: Tensor;
  /**
   * Keys and values [b, n, kvHeads, headDim] that the attention's own layers, with the edits at them, compute
   * from other states [b, n, d], without positions.
   */
  project(states: Tensor): PrefixRows;
}

/** Rows that a prefix puts before keys and values: [n, kvHeads, headDim] or with a batch axis in front. */
export interface PrefixRows {
  /**
   * [heads] or [1]. Rows with gates have a separate softmax, whose result is multiplied by each head's gate
   * and added to the attention's output. Without gates they share the text's softmax.
   */
  readonly gate?: Tensor;
  /** [n, kvHeads, headDim], or [b, n, kvHeads, headDim]. */
  readonly k: Tensor;
  /** As k. */
  readonly v: Tensor;
}

/** What a side network sees at a stack's exit. */
export interface SideCall extends PassCall {
  /**
   * What the head would read: the stack's states after its last norm [b, t, d], with the gradient graph of
   * earlier edits.
   */
  readonly states: Tensor;
  /** A block's output [b, t, d], untracked; −1 is the embedding. */
  tap(layer: number): Tensor;
  /**
   * A weight of the base by its path, as stored (dequantized if it is a quantized matrix that its block would
   * read transposed), untracked. @throws {RangeError} when there is none.
   */
  weight(path: string): Tensor;
  /**
   * Runs a block of this architecture with other (smaller) weights, named as in a block of the model
   * ("self_attn.q_proj.weight"). `name` identifies the side network's block in the cache. Weights that the
   * blocks of a stack share (T5's relative positions) are read from `shared`, under the model's names;
   * default: the base's.
   */
  block(weights: Tree, x: Tensor, name: string, shared?: Tree): Tensor;
  /** Runs the stack's last norm with other weights, named as in the model ("model.norm.weight"). */
  finish(weights: Tree, x: Tensor): Tensor;
}

/**
 * What a prepass edit sees: the result of a first, untracked pass over the bare base (without this model's
 * edits, in evaluation mode), or the input of a block.
 */
export interface PrepassCall extends PassCall {
  /** What the head would read [b, t, d], or the block's input; with a cache, of the new tokens. */
  readonly states: Tensor;
}

/** What a linear edit does to y = W x + b. Later edits at a place see the result of earlier ones. */
export type LinearChange =
  /** y += map(dropout(x)); the map gives ΔW when merging. */
  | { readonly form: "add"; readonly map: LinearMap; readonly dropout?: number }
  /** y += factor · bias. */
  | { readonly form: "bias"; readonly bias: Tensor; readonly factor?: number }
  /**
   * y = out ⊙ (W (in ⊙ x) + b); `out` has the length of the edited range. With a factor f each scale s counts as
   * 1 + f (s − 1).
   */
  | { readonly form: "scale"; readonly in?: Tensor; readonly out?: Tensor; readonly factor?: number }
  /**
   * y = W (map x) + b, with a square map: the rotations of OFT, BOFT and HRA. `inverse`, where known, is used
   * to unmerge. `dropped` gives the random map of a training pass with a key.
   */
  | {
    readonly form: "input";
    readonly map: LinearMap;
    readonly inverse?: LinearMap;
    readonly dropped?: Fn<PassCall, LinearMap>;
  }
  /**
   * y = map(W x + b), with a square map of the outputs: RoAd's. `inverse`, where known, is used to unmerge.
   */
  | { readonly form: "output"; readonly map: LinearMap; readonly inverse?: LinearMap }
  /**
   * y += delta(call); `weight` maps the matrix if the edit can be merged, and `bias` the bias, if the edit
   * changes one. With a range of outputs, they see only that range's y, rows and bias. An embedding is looked
   * up through `weight`.
   */
  | {
    readonly form: "delta";
    readonly delta: Fn<LinearCall, Tensor>;
    readonly weight?: Fn<WeightCall, Tensor>;
    readonly bias?: Fn<WeightCall, Tensor>;
    readonly reads: "input" | "output";
  };

/** Changes a linear layer (or an embedding, whose input is one-hot). `out` limits it to a range of output features. */
export interface LinearEdit {
  /** Discriminant of the union of edits. */
  readonly kind: "linear";
  /** Path of the place, as the checkpoint names it. */
  readonly path: string;
  /** Outputs from and up to (exclusive); default all. */
  readonly out?: readonly [from: number, to: number];
  /** The change of y. */
  readonly change: LinearChange;
  /** How many of the matrix's elements may change; default all (of the range). */
  readonly changes?: number;
}

/** Adds `delta` to a hidden state. */
export interface HiddenEdit {
  /** Discriminant of the union of edits. */
  readonly kind: "hidden";
  /** Path of the place, as the checkpoint names it. */
  readonly path: string;
  /** What is added [b, t, d]. */
  readonly delta: Fn<HiddenCall, Tensor>;
  /** What `delta` reads, and so does a gate on this edit. */
  readonly reads: HiddenReading;
  /** Whether it treats each token by itself, so that a text may be read in chunks. Default false. */
  readonly eachToken?: boolean;
}

/** What a hidden edit reads: the part's input or output, the sum with the residual after the norm that follows, or the residual. */
export type HiddenReading = "input" | "output" | "normed" | "residual";

/** Replaces a weight by another tensor. */
export interface WeightEdit {
  /** Discriminant of the union of edits. */
  readonly kind: "weight";
  /** The leaf's path. */
  readonly path: string;
  /** Computes the replacement, of the leaf's shape. */
  readonly map: Fn<WeightCall, Tensor>;
  /** How many of its elements may change; default all. */
  readonly changes?: number;
  /**
   * The leaf's shape where the checkpoint may lack it: the bias of a layer without one. Such a leaf starts at
   * zero.
   */
  readonly adds?: readonly number[];
}

/** Puts rows before the keys and values of an attention. */
export interface PrefixEdit {
  /** Discriminant of the union of edits. */
  readonly kind: "prefix";
  /** Path of the place, as the checkpoint names it. */
  readonly path: string;
  /** Keys and values to put in front. */
  readonly rows: Fn<AttentionCall, PrefixRows>;
  /**
   * Number of positions that the prefix occupies: the text starts after them. The rows themselves are not
   * rotated (RoPE). Where prefixes are passed as past keys and values (the authors' code, PEFT) it is the
   * number of rows, else 0.
   */
  readonly positions: number;
  /**
   * Where scores depend on distances: "true" (default) leaves distances within the text as they are; "pushed"
   * counts the rows among the keys but not the queries, so that every distance grows by their number, as in
   * AdapterHub's T5.
   */
  readonly distances?: "true" | "pushed";
  /** Whether its rows are the same for every text, so that a text may be read in chunks. Default false. */
  readonly eachToken?: boolean;
}

/** A row of a prompt that represents a token which the row before it must predict. */
export interface PromptLabel {
  /** Which row, from 0. The very first row is not predicted and has no loss. */
  readonly row: number;
  /** The token. */
  readonly id: number;
  /** Weight of its loss relative to that of a token of the text. */
  readonly weight: number;
}

/** Puts rows [n, d] before or among the embedded tokens of a stack, or adds them to these. */
export interface PromptEdit {
  /** Discriminant of the union of edits. */
  readonly kind: "prompt";
  /** Path of the place, as the checkpoint names it. */
  readonly path: string;
  /** The rows [n, d]. */
  readonly rows: Fn<PassCall, Tensor>;
  /** n, the number of rows. */
  readonly length: number;
  /**
   * Before the text ("front", default); before the text or after its first token where it enters the blocks,
   * without positions and the embeddings' norm (AdapterHub's BERT); in place of the n tokens with a given
   * id, which every text must contain; or added to the text's own first n tokens ("onto"), which takes no room.
   */
  readonly where?: "front" | "entered" | "afterFirst" | "onto" | { readonly token: number };
  /**
   * For a causal model's prompt before the text: tokens that the rows must predict themselves, in the loss.
   */
  readonly labels?: readonly PromptLabel[];
}

/**
 * A network alongside the stack that reads its states and computes what the head reads instead of them, [b,
 * t, d].
 */
export interface SideEdit {
  /** Discriminant of the union of edits. */
  readonly kind: "side";
  /** Path of the place, as the checkpoint names it. */
  readonly path: string;
  /** The stack whose states it reads. */
  readonly stack: Stack;
  /** What the head reads [b, t, d], or the memory [b, s, n]. */
  readonly run: Fn<SideCall, Tensor>;
  /**
   * "states" (default) replaces the stack's output. "memory" leaves the output alone: the side networks of
   * the stack that reads this one's states (the decoder) read the result instead, the n-th side network the
   * n-th memory.
   */
  readonly gives?: "states" | "memory";
}

/**
 * A value that later places read by `name`. At a stack's path it is computed once, after an untracked first
 * pass over the base. At a block's path it is computed from the block's own input, `states`, for places in
 * that block.
 */
export interface PrepassEdit {
  /** Discriminant of the union of edits. */
  readonly kind: "prepass";
  /** Path of the place, as the checkpoint names it. */
  readonly path: string;
  /** The name under which later places read the value. */
  readonly name: string;
  /** The value. */
  readonly run: Fn<PrepassCall, Tensor>;
}

/** Any edit; with `row`, only for the rows of a batch that name this adapter (see `perRow`). */
export type Edit =
  & (LinearEdit | HiddenEdit | WeightEdit | PrefixEdit | PromptEdit | SideEdit | PrepassEdit)
  & { readonly row?: string };

/**
 * The tensor that a hidden edit, and a gate on it, reads.
 *
 * @example
 * ```ts
 * import { type HiddenCall, reading, reference, Tensor, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const [x, y] = [1, 2].map((n) => tensor([n], { backend: reference() })) as [Tensor, Tensor];
 * const call = { x, y, skip: x, norm: (t: Tensor) => t } as HiddenCall;
 * assert.equal(reading(call, "output"), y);
 * assert.equal(reading(call, "residual"), x);
 * ```
 */
export function reading(call: HiddenCall, reads: HiddenReading): Tensor {
  switch (reads) {
    case "input":
      return call.x;
    case "output":
      return call.y;
    case "normed":
      return call.norm(addSkip(call));
    case "residual":
      return call.skip ?? call.x;
    default:
      return reads satisfies never;
  }
}

function addSkip(call: HiddenCall): Tensor {
  return call.skip === undefined ? call.y : add(call.y, call.skip);
}

/**
 * A weight edit that replaces a leaf by a trained tensor.
 *
 * @example
 * ```ts
 * import { into, read, reference, replaceLeaf, rootOf, tensor, weightTree, withEdits } from "@graft/peft";
 * import { weight } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const weights = weightTree([["norm.weight", tensor([1, 1], { backend })]]);
 * const edited = withEdits(weights, [replaceLeaf("norm.weight", tensor([5, 6], { backend }))], "mine");
 * assert.deepEqual([...await read(weight(into(rootOf(edited), "norm"), "weight"))], [5, 6]);
 * ```
 */
export function replaceLeaf(path: string, value: Tensor): WeightEdit {
  return { kind: "weight", path, map: fn({ value }, ({ value }) => value) };
}
