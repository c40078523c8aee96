/**
 * The forward pass's side of edits: one helper a kind of place, the same for all models. A model calls these at its
 * places; each runs the base and then the edits that were grafted there.
 */
import { fold, key as keyOf, type Tensor, tensorsIn } from "./tensor/mod.ts";
import {
  add,
  attend,
  type AttendOptions,
  broadcastTo,
  concat,
  full,
  reshape,
  rmsNorm,
  zeros,
} from "../ops/mod.ts";
import { bareLayer, decoded, foldLinear, type Layer, tableLayer } from "./fold.ts";
import { dense } from "./linear_map.ts";
import type { Edit, HiddenCall, LinearEdit, PassCall, PromptEdit, WeightEdit } from "./edit.ts";
import type { Cache, ForwardOptions } from "./model.ts";
import { allEdits, editsAt, type Site, type WeightPass } from "./weights.ts";

/** One running pass. The maps are local to it and filled as it goes. */
export interface Pass extends PassCall {
  /** Of the tokens before. */
  readonly cache: Cache | undefined;
  /** Keys and values seen so far in this pass, cached ones included. */
  readonly keep: Map<string, { readonly k: Tensor; readonly v: Tensor }> | undefined;
  /** Block outputs, when a side network reads them. */
  readonly taps: Map<number, Tensor> | undefined;
  /** f32, added to attention scores: keeps packed texts apart. */
  readonly bias: Tensor | undefined;
}

/**
 * What weight edits may know of a pass with these options.
 *
 * @example
 * ```ts
 * import { key, weightPass } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.deepEqual(weightPass({ train: true, key: 3 }), { train: true, key: key(3) });
 * assert.deepEqual(weightPass({}), { train: false });
 * ```
 */
export function weightPass({ train = false, key }: ForwardOptions): WeightPass {
  return { train, ...key !== undefined && { key: keyOf(key) } };
}

/**
 * What an edit at a path sees of the pass: its own key.
 *
 * @example
 * ```ts
 * import { callAt, freshModel, reference, smallConfig } from "@graft/peft";
 * import { barePass } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const pass = barePass(model, { train: true, key: 0 });
 * assert.notDeepEqual(callAt(pass, "a").key, callAt(pass, "b").key); // a place's dropout is its own
 * ```
 */
export function callAt(pass: Pass, path: string): PassCall {
  return { ...pass, key: pass.key === undefined ? undefined : fold(pass.key, path) };
}

/** Edits draw from keys of their own, so that two at one place do not share a stream. */
function keyed(call: PassCall, kind: Edit["kind"], i: number): PassCall {
  return call.key === undefined ? call : { ...call, key: fold(fold(call.key, kind), i) };
}

/**
 * A leaf after the weight edits at it; f32 when edited, else as stored.
 *
 * @example
 * ```ts
 * import { into, read, reference, rootOf, tensor, weight, weightTree } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const weights = weightTree([["norm.weight", tensor([1, 2], { backend: reference() })]]);
 * assert.deepEqual([...await read(weight(into(rootOf(weights), "norm"), "weight"))], [1, 2]);
 * ```
 */
export function weight(site: Site, name: string): Tensor {
  const leaf = site.branch[name] as Tensor | undefined;
  if (leaf === undefined) throw new RangeError(`The weights have no "${site.path}.${name}"`);
  return mapped(site, name, leaf);
}

/**
 * Like `weight`, or undefined where the checkpoint has no such leaf.
 *
 * @example
 * ```ts
 * import { into, optionalWeight, reference, rootOf, tensor, weightTree } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const weights = weightTree([["norm.weight", tensor([1, 2], { backend: reference() })]]);
 * assert.equal(optionalWeight(into(rootOf(weights), "norm"), "bias"), undefined);
 * ```
 */
export function optionalWeight(site: Site, name: string): Tensor | undefined {
  const leaf = site.branch[name] as Tensor | undefined;
  if (leaf !== undefined) return mapped(site, name, leaf);
  const added = weightEdits(site, name).find((edit) => edit.adds !== undefined);
  if (added === undefined) return undefined;
  const { backend } = tensorsIn(added.map.params)[0]!;
  return mapped(site, name, zeros(added.adds!, backend));
}

/**
 * A small f32 vector, such as a norm's weight or a bias: decoded when stored otherwise.
 *
 * @example
 * ```ts
 * import { castTo, into, reference, rootOf, tensor, vector, weightTree } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const norm = castTo(tensor([1, 2], { backend: reference() }), "f16");
 * const site = into(rootOf(weightTree([["norm.weight", norm]])), "norm");
 * assert.equal(vector(site, "weight").dtype, "f32");
 * ```
 */
export function vector(site: Site, name: string): Tensor {
  return decoded(weight(site, name));
}

/**
 * RMSNorm at a site, with the bias that an edit may have added: the architectures have none.
 *
 * @example
 * ```ts
 * import { into, read, reference, rmsNormAt, rootOf, tensor, weightTree } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const site = into(rootOf(weightTree([["norm.weight", tensor([1, 10], { backend })]])), "norm");
 * assert.deepEqual([...await read(rmsNormAt(site, tensor([[2, -2]], { backend }), 0))], [1, -10]);
 * ```
 */
export function rmsNormAt(site: Site, x: Tensor, epsilon: number): Tensor {
  const y = rmsNorm(x, vector(site, "weight"), epsilon);
  const bias = optionalWeight(site, "bias");
  return bias === undefined ? y : add(y, bias);
}

function weightEdits(site: Site, name: string): readonly WeightEdit[] {
  return editsAt(site.branch, "weight").filter((edit) => edit.path === `${site.path}.${name}`);
}

/** Each use of a leaf in a pass draws the same: the key is the leaf's. */
function mapped(site: Site, name: string, leaf: Tensor): Tensor {
  const { train = false, key } = site.pass ?? {};
  const draws = train && key !== undefined ? { train, key: fold(key, `${site.path}.${name}`) } : {};
  return weightEdits(site, name).reduce(
    (w, edit, i) => edit.map.run({ weight: w, ...draws, ...draws.key && { key: fold(draws.key, i) } }),
    leaf,
  );
}

/**
 * The linear layer at a site with its weight edits, before its linear edits.
 *
 * @example
 * ```ts
 * import { bareLayerAt, into, read, reference, rootOf, tensor, weightTree } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const site = into(rootOf(weightTree([["q.weight", tensor([[1, 2]], { backend: reference() })]])), "q");
 * assert.deepEqual([...await read(bareLayerAt(site, false).weight())], [1, 2]);
 * ```
 */
export function bareLayerAt(site: Site, transposed: boolean): Layer {
  const bias = optionalWeight(site, "bias");
  return bareLayer(dense(weight(site, "weight"), transposed), bias === undefined ? undefined : decoded(bias));
}

function foldEdits(layer: Layer, edits: readonly LinearEdit[], call: PassCall): Layer {
  return edits.reduce((l, edit, i) => foldLinear(l, edit, keyed(call, "linear", i)), layer);
}

/**
 * y = W x + b at a site, with its edits. `transposed` when the matrix is stored [in, out].
 *
 * @example
 * ```ts
 * import { freshModel, into, linear, reference, rootOf, smallConfig } from "@graft/peft";
 * import { barePass } from "@graft/peft/models";
 * import { ones } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const site = into(rootOf(model.weights), "model", "layers", 0, "mlp", "up_proj");
 * const y = linear(barePass(model, {}), site, ones([1, 3, 16], model.backend));
 * assert.deepEqual(y.shape, [1, 3, 32]); // [b, t, out]
 * ```
 */
export function linear(pass: Pass, site: Site, x: Tensor, transposed = false): Tensor {
  return foldEdits(bareLayerAt(site, transposed), editsAt(site.branch, "linear"), callAt(pass, site.path))
    .apply(x);
}

/**
 * Rows of the table at a site for i32 ids, with its edits.
 *
 * @example
 * ```ts
 * import { embedding, freshModel, into, reference, rootOf, smallConfig, tensor } from "@graft/peft";
 * import { barePass } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const site = into(rootOf(model.weights), "model", "embed_tokens");
 * const ids = tensor([[1, 2, 3]], { backend: model.backend, dtype: "i32" });
 * assert.deepEqual(embedding(barePass(model, {}), site, ids).shape, [1, 3, 16]); // [b, t, d]
 * ```
 */
export function embedding(pass: Pass, site: Site, ids: Tensor): Tensor {
  const call = callAt(pass, site.path);
  const rows = foldEdits(tableLayer(weight(site, "weight")), editsAt(site.branch, "linear"), call).columns(
    ids,
  );
  return hidden(pass, site, { x: rows, skip: undefined }, rows);
}

/**
 * The head: the layer of a tied embedding's matrix, or its own, with the edits at the head's site.
 *
 * @example
 * ```ts
 * import { freshModel, head, into, reference, rootOf, smallConfig, weight } from "@graft/peft";
 * import { barePass } from "@graft/peft/models";
 * import { ones } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const root = rootOf(model.weights);
 * const matrix = weight(into(root, "model", "embed_tokens"), "weight"); // tied
 * const x = ones([1, 3, 16], model.backend);
 * const logits = head(barePass(model, {}), into(root, "lm_head"), matrix, undefined, x);
 * assert.deepEqual(logits.shape, [1, 3, 32]); // [b, t, v]
 * ```
 */
export function head(pass: Pass, site: Site, matrix: Tensor, bias: Tensor | undefined, x: Tensor): Tensor {
  const layer = bareLayer(dense(matrix), bias === undefined ? undefined : decoded(bias));
  return foldEdits(layer, editsAt(site.branch, "linear"), callAt(pass, site.path)).apply(x);
}

/**
 * A hidden state y after the edits at its site. `norm` is the one that follows in a post-norm block.
 *
 * @example
 * ```ts
 * import {
 *   fn, freshModel, hidden, type HiddenEdit, into, read, reference, rootOf, smallConfig, withEdits,
 * } from "@graft/peft";
 * import { barePass } from "@graft/peft/models";
 * import { ones } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const plain = freshModel(smallConfig("llama"), { backend, key: 0 });
 * const edit: HiddenEdit = {
 *   kind: "hidden",
 *   path: "model.layers.0",
 *   reads: "output",
 *   delta: fn({ by: ones([16], backend) }, ({ by }) => by),
 * };
 * const weights = withEdits(plain.weights, [edit], "plus one");
 * const [site, x] = [into(rootOf(weights), "model", "layers", 0), ones([1, 1, 16], backend)];
 * const y = hidden(barePass(plain, {}), site, { x, skip: x }, x);
 * assert.equal((await read(y))[0], 2);
 * ```
 */
export function hidden(
  pass: Pass,
  site: Site,
  around: { readonly x: Tensor; readonly skip: Tensor | undefined; readonly norm?: (t: Tensor) => Tensor },
  y: Tensor,
): Tensor {
  const edits = editsAt(site.branch, "hidden");
  if (edits.length === 0) return y;
  const call = callAt(pass, site.path);
  const norm = around.norm ?? ((t: Tensor) => t);
  return edits.reduce((state, edit, i) => {
    const here: HiddenCall = { ...keyed(call, "hidden", i), x: around.x, skip: around.skip, norm, y: state };
    return add(state, edit.delta.run(here));
  }, y);
}

/** q [b, t, h, d]; k and v [b, s, g, d]; x the attention's input. */
export interface AttentionParts {
  /** The attention's input [b, t, d]. */
  readonly x: Tensor;
  /** Queries [b, t, h, headDim]. */
  readonly q: Tensor;
  /** Keys [b, s, kvHeads, headDim]. */
  readonly k: Tensor;
  /** Values, as k. */
  readonly v: Tensor;
}

/** How to attend. */
export interface AttentionForm extends Pick<AttendOptions, "causal" | "window" | "scale"> {
  /**
   * Scores by distance, [1, h, t, to − from], for the keys `from` up to `to`. The text's first key is 0; the rows of a
   * prefix that takes positions come before it, others have no distance and get 0.
   */
  readonly relative?: ((from: number, to: number) => Tensor) | undefined;
}

/**
 * Attention at a site: puts cached keys and values first, prefixes before them, and keeps mask and causality right.
 * `parts` are of the new tokens.
 *
 * @example
 * ```ts
 * import { attention, freshModel, into, read, reference, rootOf, smallConfig } from "@graft/peft";
 * import { barePass } from "@graft/peft/models";
 * import { ones } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const site = into(rootOf(model.weights), "model", "layers", 0, "self_attn");
 * const [x, q] = [ones([1, 3, 16], model.backend), ones([1, 3, 2, 8], model.backend)];
 * const y = attention(barePass(model, {}), site, { x, q, k: q, v: q }, { causal: true });
 * assert.ok((await read(y)).every((value) => Math.abs(value - 1) < 1e-6)); // means of ones
 * ```
 */
export function attention(pass: Pass, site: Site, parts: AttentionParts, options: AttentionForm): Tensor {
  const past = pass.cache?.entries[site.path];
  const [k, v] = past === undefined
    ? [parts.k, parts.v]
    : [concat([past.k, parts.k], 1), concat([past.v, parts.v], 1)];
  pass.keep?.set(site.path, { k, v });
  const offset = k.shape[1]! - parts.q.shape[1]!;
  return attendBehindPrefixes(pass, site, { ...parts, k, v }, pass.mask, pass.bias, options, offset);
}

/**
 * Attention of a decoder's tokens to the encoder's states. Their keys and values are computed once and then cached.
 * `mask` [b, s] hides the encoder's padding.
 *
 * @example
 * ```ts
 * import { attentionAcross, freshModel, into, reference, rootOf, smallConfig } from "@graft/peft";
 * import { barePass } from "@graft/peft/models";
 * import { ones } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("t5"), { backend: reference(), key: 0 });
 * const site = into(rootOf(model.weights), "decoder", "block", 0, "layer", 1, "EncDecAttention");
 * const [x, q] = [ones([1, 2, 16], model.backend), ones([1, 2, 2, 8], model.backend)];
 * const memory = () => ({ k: ones([1, 5, 2, 8], model.backend), v: ones([1, 5, 2, 8], model.backend) });
 * const y = attentionAcross(barePass(model, {}), site, { x, q, memory }, undefined, {});
 * assert.deepEqual(y.shape, [1, 2, 2, 8]); // the decoder's two tokens, whatever the encoder's length
 * ```
 */
export function attentionAcross(
  pass: Pass,
  site: Site,
  parts: Pick<AttentionParts, "x" | "q"> & { memory(): Pick<AttentionParts, "k" | "v"> },
  mask: Tensor | undefined,
  options: Pick<AttentionForm, "scale">,
): Tensor {
  const { k, v } = pass.cache?.entries[site.path] ?? parts.memory();
  pass.keep?.set(site.path, { k, v });
  return attendBehindPrefixes(pass, site, { ...parts, k, v }, mask, undefined, options, 0);
}

/** Puts the rows of the prefixes at a site before keys and values. */
function attendBehindPrefixes(
  pass: Pass,
  site: Site,
  { x, q, k, v }: AttentionParts,
  mask: Tensor | undefined,
  packing: Tensor | undefined,
  { relative, ...options }: AttentionForm,
  offset: number,
): Tensor {
  const [b, s, g, d] = k.shape as [number, number, number, number];
  const rows = editsAt(site.branch, "prefix").map((edit, i) => ({
    ...edit.rows.run({ ...keyed(callAt(pass, site.path), "prefix", i), x }),
    taken: edit.positions > 0,
    distances: edit.distances ?? "true",
  }));
  // From the text outwards; those that take no positions, which are no distance away, come last.
  const prefixes = [...rows.filter(({ taken }) => taken), ...rows.filter(({ taken }) => !taken)];
  const lengths = prefixes.map((rows) => rows.k.shape[rows.k.shape.length - 3]!);
  const count = (which: (i: number) => boolean): number =>
    lengths.reduce((sum, n, i) => which(i) ? sum + n : sum, 0);
  const before = count(() => true);
  const batched = (t: Tensor): Tensor => {
    const rows = t.shape.length === 4 ? t : reshape(t, [1, ...t.shape]); // [b or 1, n, g, d]
    return rows.shape[0] === b ? rows : broadcastTo(rows, [b, rows.shape[1]!, g, d]);
  };
  const front = (f: (i: number) => Tensor): readonly Tensor[] => prefixes.map((_, i) => f(i)).reverse();
  const widened = (t: Tensor | undefined, axis: number, value: number): Tensor | undefined => {
    if (t === undefined || before === 0) return t;
    const shape = t.shape.map((n, i) => i === axis ? before : n);
    return concat([full(shape, value, t.backend), t], axis);
  };
  /** Scores of the prefixes, each as far away as the positions it takes say, and of the text. */
  const behind = (relative: (from: number, to: number) => Tensor): Tensor => {
    let taken = 0;
    const distances = prefixes.map((rows, i) => {
      const n = lengths[i]!;
      if (!rows.taken) return full([1, q.shape[2]!, q.shape[1]!, n], 0, q.backend);
      taken += n;
      return relative(-taken, n - taken);
    });
    return concat([...distances.reverse(), relative(0, s)], 3);
  };
  const pushed = prefixes.some((rows) => rows.distances === "pushed");
  const byDistance = relative && (pushed ? relative(0, before + s) : behind(relative));
  const apart = widened(packing, 3, 0);
  return attend(
    q,
    concat([...front((i) => batched(prefixes[i]!.k)), k], 1),
    concat([...front((i) => batched(prefixes[i]!.v)), v], 1),
    {
      ...options,
      mask: widened(mask, 1, 1),
      bias: byDistance !== undefined && apart !== undefined ? add(byDistance, apart) : byDistance ?? apart,
      offset: offset + before,
      // A window hides a prefix as it hides text, by the positions it takes.
      always: options.window ? count((i) => !prefixes[i]!.taken) : before,
    },
  );
}

/**
 * How many positions the text starts later for the prefixes below a site: those of the attention that has most.
 *
 * @example
 * ```ts
 * import {
 *   adapt, freshModel, graft, prefixPositions, prefixTuning, reference, rootOf, smallConfig,
 * } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const tuned = graft(model, adapt(model, prefixTuning({ length: 5, network: "none" })));
 * assert.equal(prefixPositions(rootOf(tuned.weights)), 5);
 * ```
 */
export function prefixPositions(site: Site): number {
  const taken = new Map<string, number>();
  for (const edit of allEdits(site.branch)) {
    if (edit.kind === "prefix") taken.set(edit.path, (taken.get(edit.path) ?? 0) + edit.positions);
  }
  return Math.max(0, ...taken.values());
}

/**
 * Rows of the prompts before a stack's text, or undefined: [n, d] each, the last grafted outermost.
 *
 * @example
 * ```ts
 * import {
 *   adapt, freshModel, graft, into, promptRows, promptTuning, reference, rootOf, smallConfig,
 * } from "@graft/peft";
 * import { barePass } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { weights } = graft(model, adapt(model, promptTuning({ length: 4 })));
 * const rows = promptRows(barePass(model, {}), into(rootOf(weights), "model"));
 * assert.deepEqual(rows?.shape, [4, 16]);
 * ```
 */
export function promptRows(pass: Pass, site: Site, where: PromptPlace = "front"): Tensor | undefined {
  const there = promptsAt(pass, site).filter(({ edit }) => (edit.where ?? "front") === where);
  return there.length === 0 ? undefined : concat(there.map(({ rows }) => rows()).reverse(), 0);
}

/**
 * How many rows the prompts before the text (or at another place of their own) take.
 *
 * @example
 * ```ts
 * import {
 *   adapt, freshModel, graft, into, promptLength, promptTuning, reference, rootOf, smallConfig,
 * } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { weights } = graft(model, adapt(model, promptTuning({ length: 4 })));
 * assert.equal(promptLength(into(rootOf(weights), "model")), 4);
 * ```
 */
export function promptLength(site: Site, where: PromptPlace = "front"): number {
  return editsAt(site.branch, "prompt")
    .reduce((n, edit) => (edit.where ?? "front") === where ? n + edit.length : n, 0);
}

/** Where prompts have rows of their own: before the embedded text, or where it enters the blocks. */
export type PromptPlace = "front" | "entered" | "afterFirst";

/** Rows [n, d] that stand in the place of the n tokens of an id. */
export interface SlotRows {
  /** The token whose places the rows take. */
  readonly token: number;
  /** How many rows. */
  readonly length: number;
  /** [n, d]. */
  rows(): Tensor;
}

/**
 * The prompts inside a stack's text. They belong to the pass that begins a text: a cache already holds them.
 *
 * @example
 * ```ts
 * import {
 *   adapt, freshModel, graft, into, promptTuning, reference, rootOf, slotRows, smallConfig,
 * } from "@graft/peft";
 * import { barePass } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const site = into(rootOf(graft(model, adapt(model, promptTuning({ length: 4 }))).weights), "model");
 * assert.deepEqual(slotRows(barePass(model, {}), site), []); // these rows stand before the text, not inside
 * ```
 */
export function slotRows(pass: Pass, site: Site): readonly SlotRows[] {
  return promptsAt(pass, site).flatMap(({ edit, rows }) => {
    const token = slotToken(edit);
    return token === undefined ? [] : [{ token, length: edit.length, rows }];
  });
}

const slotToken = ({ where = "front" }: PromptEdit): number | undefined =>
  typeof where === "string" ? undefined : where.token;

function promptsAt(
  pass: Pass,
  site: Site,
): readonly { readonly edit: PromptEdit; rows(): Tensor }[] {
  if (pass.cache !== undefined) return [];
  const call = callAt(pass, site.path);
  return editsAt(site.branch, "prompt").map((edit, i) => ({
    edit,
    rows: () => edit.rows.run(keyed(call, "prompt", i)),
  }));
}
