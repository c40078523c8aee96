/** Attention with prefixes and cached keys. */
import type { Tensor } from "../../tensor/mod.ts";
import {
  add,
  attend,
  type AttendOptions,
  broadcastTo,
  concat,
  full,
  multiply,
  reshape,
} from "../../ops/mod.ts";
import type { PrefixRows } from "../edits/edit.ts";
import { atPlace } from "../trees/edit_checks.ts";
import { callAt, keyed, type Pass } from "./pass.ts";
import { allEdits, editsAt, type Site } from "../trees/weights.ts";
import { typeError } from "../../errors/error.ts";

/** The inputs of an attention: q [b, t, h, d]; k and v [b, s, g, d]; x its input states. */
export interface AttentionParts {
  /** The attention's input [b, t, d]. */
  readonly x: Tensor;
  /** Queries [b, t, h, headDim]. */
  readonly q: Tensor;
  /** Keys [b, s, kvHeads, headDim]. */
  readonly k: Tensor;
  /** Values, as k. */
  readonly v: Tensor;
  /**
   * Keys and values that the same layers compute from other states [b, n, d], without positions.
   * LLaMA-Adapter needs it; absent where the model does not support it.
   */
  project?(states: Tensor): PrefixRows;
}

/** How to attend. */
export interface AttentionForm extends Pick<AttendOptions, "causal" | "window" | "scale"> {
  /**
   * Attention scores by relative position, [1, h, t, to − from], for the keys from `from` up to `to`. The
   * text's first key is 0; the rows of a prefix that occupies positions come before it, other prefix rows
   * have no distance and get 0.
   */
  readonly relative?: ((from: number, to: number) => Tensor) | undefined;
}

/**
 * Attention at a site: prepends cached keys and values, and prefixes before those, and adjusts the mask and
 * causality accordingly. `parts` belong to the new tokens.
 *
 * @example
 * ```ts
 * import { freshModel, into, read, reference, rootOf, smallConfig } from "@graft/peft";
 * import { attention } from "@graft/peft/core";
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
  return atPlace(
    site.path,
    () => attendBehindPrefixes(pass, site, { ...parts, k, v }, pass.mask, pass.bias, options, offset),
  );
}

/**
 * Attention of a decoder's tokens to the encoder's states. Their keys and values are computed once and then cached.
 * `mask` [b, s] hides the encoder's padding.
 *
 * @example
 * ```ts
 * import { freshModel, into, reference, rootOf, smallConfig } from "@graft/peft";
 * import { attentionAcross } from "@graft/peft/core";
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
  parts: Pick<AttentionParts, "x" | "q" | "project"> & { memory(): Pick<AttentionParts, "k" | "v"> },
  mask: Tensor | undefined,
  options: Pick<AttentionForm, "scale">,
): Tensor {
  const { k, v } = pass.cache?.entries[site.path] ?? parts.memory();
  pass.keep?.set(site.path, { k, v });
  return atPlace(
    site.path,
    () => attendBehindPrefixes(pass, site, { ...parts, k, v }, mask, undefined, options, 0),
  );
}

function unprojected(): never {
  throw typeError(
    "METHOD_DOES_NOT_FIT",
    "Cannot make keys and values of a prompt: this model's code gives its attention no `project`",
  );
}

/**
 * Prepends the rows of the prefixes at a site to keys and values; rows with gates are attended to separately.
 */
function attendBehindPrefixes(
  pass: Pass,
  site: Site,
  { x, q, k, v, project = unprojected }: AttentionParts,
  mask: Tensor | undefined,
  packing: Tensor | undefined,
  { relative, ...options }: AttentionForm,
  offset: number,
): Tensor {
  const [b, s, g, d] = k.shape as [number, number, number, number];
  const all = editsAt(site.branch, "prefix").map((edit, i) => ({
    ...edit.rows.run({ ...keyed(callAt(pass, site.path), "prefix", i), x, project }),
    taken: edit.positions > 0,
    distances: edit.distances ?? "true",
  }));
  const rows = all.filter(({ gate }) => gate === undefined);
  // Ordered from the text outwards; prefixes that occupy no positions have no distance and come last.
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
  /**
   * Relative-position scores of the text and of the prefixes, each at the distance given by the positions it
   * occupies.
   */
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
  const together = attend(
    q,
    concat([...front((i) => batched(prefixes[i]!.k)), k], 1),
    concat([...front((i) => batched(prefixes[i]!.v)), v], 1),
    {
      ...options,
      mask: widened(mask, 1, 1),
      bias: byDistance !== undefined && apart !== undefined ? add(byDistance, apart) : byDistance ?? apart,
      offset: offset + before,
      // A sliding window masks a prefix as it masks text, by the positions it occupies.
      always: options.window ? count((i) => !prefixes[i]!.taken) : before,
    },
  );
  return all.reduce((y, { k, v, gate }) => {
    if (gate === undefined) return y;
    const beside = attend(
      q,
      batched(k),
      batched(v),
      options.scale === undefined ? {} : { scale: options.scale },
    );
    return add(y, multiply(beside, reshape(gate, [1, 1, -1, 1]))); // [b, t, h, d]
  }, together);
}

/**
 * By how many positions the prefixes below a site shift the text: the maximum over the attentions.
 *
 * @example
 * ```ts
 * import { adapt, freshModel, graft, prefixTuning, reference, rootOf, smallConfig } from "@graft/peft";
 * import { prefixPositions } from "@graft/peft/core";
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
