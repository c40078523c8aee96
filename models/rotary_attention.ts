/**
 * Grouped-query attention (arXiv 2305.13245) with rotary positions (arXiv 2104.09864), as in decoders.
 *
 *   o( attend( rope(q(x)), rope(k(x)), v(x) ) )
 */
import {
  attention,
  type Backend,
  into,
  linear,
  type Pass,
  rmsNormAt,
  type Site,
  type Tensor,
} from "../core/mod.ts";
import { amplitudeOf, inverseFrequencies, reshape, rope, type RopeScaling, ropeTables } from "../ops/mod.ts";

/** Cosines and sines of the positions, [b, t, headDim / 2] each. */
export interface RotaryTables {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/** Tables for heads of a given size. Those for the model's own size are computed once. */
export type TablesOf = (headDim: number) => RotaryTables;

/** The rotary tables of a pass; the heads of a side network are narrower than the model's. */
export function tablesOf(
  positions: readonly (readonly number[])[],
  { headDim, theta, scaling }: {
    readonly headDim: number;
    readonly theta: number;
    readonly scaling: RopeScaling;
  },
  backend: Backend,
): TablesOf {
  const length = 1 + positions.reduce((most, row) => row.reduce((a, b) => Math.max(a, b), most), 0);
  const make = (features: number): RotaryTables =>
    ropeTables(
      positions,
      inverseFrequencies(features, theta, scaling, length),
      backend,
      amplitudeOf(scaling),
    );
  const own = make(headDim);
  return (features) => features === headDim ? own : make(features);
}

/** How one block attends. */
export interface RotaryForm {
  /** Number of query heads. */
  readonly heads: number;
  /** Tables; without them the block has no positions. */
  readonly tables?: TablesOf | undefined;
  /** How many keys before a query it sees, 0 for all. */
  readonly window: number;
  /** Factor on the scores by head size; default 1 / √headDim. */
  readonly scale?: (headDim: number) => number;
  /**
   * For normalised queries and keys of each head (`q_norm`, `k_norm`): ε, and the offset added to their
   * weights.
   */
  readonly norms?: { readonly epsilon: number; readonly offset?: number };
}

/** x [b, t, d] → [b, t, d], through q_proj, k_proj, v_proj and o_proj below the site. */
export function rotaryAttention(pass: Pass, site: Site, x: Tensor, form: RotaryForm): Tensor {
  const q = linear(pass, into(site, "q_proj"), x);
  const headDim = q.shape[2]! / form.heads; // a side network's blocks are narrower
  const tables = form.tables?.(headDim);
  const split = (t: Tensor): Tensor => reshape(t, [t.shape[0]!, t.shape[1]!, -1, headDim]); // [b, t, h, d]
  const normed = (norm: string, t: Tensor): Tensor =>
    form.norms === undefined ? t : rmsNormAt(into(site, norm), t, form.norms.epsilon, form.norms.offset);
  const rotated = (t: Tensor): Tensor => tables === undefined ? t : rope(t, tables.cos, tables.sin);
  const project = (states: Tensor) => ({
    k: normed("k_norm", split(linear(pass, into(site, "k_proj"), states))),
    v: split(linear(pass, into(site, "v_proj"), states)),
  });
  const { k, v } = project(x);
  const parts = { x, q: rotated(normed("q_norm", split(q))), k: rotated(k), v, project };
  const y = attention(pass, site, parts, {
    causal: true,
    window: form.window,
    ...form.scale && { scale: form.scale(headDim) },
  }); // [b, t, h, d]
  return linear(pass, into(site, "o_proj"), reshape(y, q.shape));
}
