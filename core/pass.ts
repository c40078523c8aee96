/**
 * The forward pass's side of edits: one helper a kind of place, the same for all models. A model calls these at its
 * places; each runs the base and then the edits that were grafted there.
 */
import { fold, type Tensor } from "./tensor/mod.ts";
import { add, attend, type AttendOptions, broadcastTo, concat, full, reshape } from "../ops/mod.ts";
import { bareLayer, decoded, foldLinear, type Layer, tableLayer } from "./fold.ts";
import { dense } from "./linear_map.ts";
import type { Edit, HiddenCall, LinearEdit, PassCall } from "./edit.ts";
import type { Cache } from "./model.ts";
import { allEdits, editsAt, type Site } from "./weights.ts";

/** One running pass. The maps are local to it and filled as it goes. */
export interface Pass extends PassCall {
  readonly cache: Cache | undefined;
  /** Keys and values seen so far in this pass, cached ones included. */
  readonly keep: Map<string, { readonly k: Tensor; readonly v: Tensor }> | undefined;
  /** Block outputs, when a side network reads them. */
  readonly taps: Map<number, Tensor> | undefined;
  /** f32, added to attention scores: keeps packed texts apart. */
  readonly bias: Tensor | undefined;
}

/** What an edit at a path sees of the pass: its own key. */
export function callAt(pass: Pass, path: string): PassCall {
  return { ...pass, key: pass.key === undefined ? undefined : fold(pass.key, path) };
}

/** Edits draw from keys of their own, so that two at one place do not share a stream. */
function keyed(call: PassCall, kind: Edit["kind"], i: number): PassCall {
  return call.key === undefined ? call : { ...call, key: fold(fold(call.key, kind), i) };
}

/** A leaf after the weight edits at it; f32 when edited, else as stored. */
export function weight(site: Site, name: string): Tensor {
  const leaf = site.branch[name] as Tensor | undefined;
  if (leaf === undefined) throw new RangeError(`The weights have no "${site.path}.${name}"`);
  return mapped(site, name, leaf);
}

/** Like `weight`, or undefined where the checkpoint has no such leaf. */
export function optionalWeight(site: Site, name: string): Tensor | undefined {
  const leaf = site.branch[name] as Tensor | undefined;
  return leaf === undefined ? undefined : mapped(site, name, leaf);
}

/** A small f32 vector, such as a norm's weight or a bias: decoded when stored otherwise. */
export function vector(site: Site, name: string): Tensor {
  return decoded(weight(site, name));
}

function mapped(site: Site, name: string, leaf: Tensor): Tensor {
  return editsAt(site.branch, "weight")
    .filter((edit) => edit.path === `${site.path}.${name}`)
    .reduce((w, edit) => edit.map.run({ weight: w }), leaf);
}

/** The linear layer at a site with its weight edits, before its linear edits. */
export function bareLayerAt(site: Site, transposed: boolean): Layer {
  const bias = optionalWeight(site, "bias");
  return bareLayer(dense(weight(site, "weight"), transposed), bias === undefined ? undefined : decoded(bias));
}

function foldEdits(layer: Layer, edits: readonly LinearEdit[], call: PassCall): Layer {
  return edits.reduce((l, edit, i) => foldLinear(l, edit, keyed(call, "linear", i)), layer);
}

/** y = W x + b at a site, with its edits. `transposed` when the matrix is stored [in, out]. */
export function linear(pass: Pass, site: Site, x: Tensor, transposed = false): Tensor {
  return foldEdits(bareLayerAt(site, transposed), editsAt(site.branch, "linear"), callAt(pass, site.path))
    .apply(x);
}

/** Rows of the table at a site for i32 ids, with its edits. */
export function embedding(pass: Pass, site: Site, ids: Tensor): Tensor {
  const call = callAt(pass, site.path);
  const rows = foldEdits(tableLayer(weight(site, "weight")), editsAt(site.branch, "linear"), call).columns(
    ids,
  );
  return hidden(pass, site, { x: rows, skip: undefined }, rows);
}

/** The head: the layer of a tied embedding's matrix, or its own, with the edits at the head's site. */
export function head(pass: Pass, site: Site, matrix: Tensor, bias: Tensor | undefined, x: Tensor): Tensor {
  const layer = bareLayer(dense(matrix), bias === undefined ? undefined : decoded(bias));
  return foldEdits(layer, editsAt(site.branch, "linear"), callAt(pass, site.path)).apply(x);
}

/** A hidden state y after the edits at its site. `norm` is the one that follows in a post-norm block. */
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

/**
 * Attention at a site: puts cached keys and values first, prefixes before them, and keeps mask and causality right.
 * q [b, t, h, d]; k, v [b, t, g, d] of the new tokens; x the attention's input.
 */
export function attention(
  pass: Pass,
  site: Site,
  parts: { readonly x: Tensor; readonly q: Tensor; readonly k: Tensor; readonly v: Tensor },
  options: Pick<AttendOptions, "causal" | "window" | "scale">,
): Tensor {
  const past = pass.cache?.entries[site.path];
  let [k, v] = past === undefined
    ? [parts.k, parts.v]
    : [concat([past.k, parts.k], 1), concat([past.v, parts.v], 1)];
  pass.keep?.set(site.path, { k, v });
  let { mask, bias } = pass;
  const seen = k.shape[1]! - parts.q.shape[1]!;
  let before = 0;
  const call = callAt(pass, site.path);
  for (const [i, edit] of editsAt(site.branch, "prefix").entries()) {
    const rows = edit.rows.run({ ...keyed(call, "prefix", i), x: parts.x });
    const [b, , g, d] = k.shape;
    const n = rows.k.shape[rows.k.shape.length - 3]!;
    const batched = (t: Tensor): Tensor =>
      t.shape.length === 4 ? t : broadcastTo(reshape(t, [1, ...t.shape]), [b!, n, g!, d!]);
    [k, v] = [concat([batched(rows.k), k], 1), concat([batched(rows.v), v], 1)];
    mask = mask === undefined ? undefined : concat([full([b!, n], 1, mask.backend), mask], 1);
    bias = bias === undefined
      ? undefined
      : concat([full([...bias.shape.slice(0, 3), n], 0, bias.backend), bias], 3);
    before += n;
  }
  return attend(parts.q, k, v, { ...options, mask, bias, offset: seen + before, always: before });
}

/** How many positions the text starts later for the prefixes below a site: those of the attention that has most. */
export function prefixPositions(site: Site): number {
  const taken = new Map<string, number>();
  for (const edit of allEdits(site.branch)) {
    if (edit.kind === "prefix") taken.set(edit.path, (taken.get(edit.path) ?? 0) + edit.positions);
  }
  return Math.max(0, ...taken.values());
}

/** Rows of a stack's prompts, or undefined: [n, d] each, the last grafted outermost. */
export function promptRows(pass: Pass, site: Site): Tensor | undefined {
  const call = callAt(pass, site.path);
  const edits = editsAt(site.branch, "prompt");
  if (edits.length === 0 || pass.cache !== undefined) return undefined;
  return concat(edits.map((edit, i) => edit.rows.run(keyed(call, "prompt", i))).reverse(), 0);
}

/** How many rows the prompts at a site take. */
export function promptLength(site: Site): number {
  return editsAt(site.branch, "prompt").reduce((n, edit) => n + edit.length, 0);
}
