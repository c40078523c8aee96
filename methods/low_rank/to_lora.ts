/**
 * Any adapter whose edits change matrices alone, as plain LoRA: the truncated SVD of its true ΔW, layer by layer.
 *
 *   ΔW ≈ B A     B = U_r √S_r     A = √S_r V_rᵀ     error = ‖ΔW − B A‖ / ‖ΔW‖ = √(Σ_{i > r} s_i² / Σ s_i²)
 *
 * No product of rank r is closer (Eckart and Young 1936).
 */
import {
  type Adapter,
  type Advancing,
  dispose,
  type Factors,
  type MatrixPlace,
  type Model,
  nest,
  read,
  scope,
  sizesOf,
  type Synchronous,
  type Tensor,
  type Tree,
  type WeightUpdate,
  weightUpdates,
} from "../../core/mod.ts";
import { factorised, leading, matmul, qr, type Svd, svd, transpose } from "../../ops/mod.ts";
import { lora } from "./lora.ts";
import { balanced } from "./balanced.ts";
import { checkPositive } from "../shared/option_checks.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * How far to truncate: to a rank, or to the smallest rank of each layer whose error does not exceed a bound
 * (0 keeps everything that f32 can distinguish from zero).
 */
export type Limit = { readonly rank: number } | { readonly error: number };

/** A LoRA adapter with the truncation error. */
export interface Approximation {
  /** With its own rank for each layer, and s = 1. Its parameters are owned by the caller. */
  readonly adapter: Adapter;
  /** ‖ΔW − B A‖ / ‖ΔW‖ over all layers together. */
  readonly error: number;
  /** The same by layer's path. */
  readonly errors: Readonly<Record<string, number>>;
}

/** What f32 cannot distinguish from zero, relative to the whole. */
const ROUNDING = 1e-6;

/**
 * An adapter as plain LoRA on the same base.
 *
 * @throws {TypeError} when the adapter changes anything but matrices (biases, norms, hidden states).
 * @throws {RangeError} when the limit is out of range.
 * @example
 * ```ts
 * import { adapt, dora, reference, toLora } from "@graft/peft";
 * import { freshModel } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const shape = { vocab_size: 16, hidden_size: 8, intermediate_size: 12, num_hidden_layers: 1, num_attention_heads: 2 };
 * const model = freshModel({ model_type: "llama", ...shape }, { backend: reference(), key: 0 });
 * const adapter = adapt(model, dora({ rank: 2, initialization: "none" }));
 * const { error } = await toLora(model, adapter, { rank: 3 });
 * assert.ok(error < 1);
 * ```
 */
export async function toLora<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  limit: Limit,
  options: Advancing = {},
): Promise<Approximation> {
  return await approximate(weightUpdates(model, adapter), limit, adapter.name, options);
}

/** An update of a layer whose matrix may be asynchronous. */
export interface AnyUpdate extends Pick<WeightUpdate, "place" | "factors"> {
  matrix(): Tensor | Promise<Tensor>;
}

/** Updates of layers as plain LoRA. */
export async function approximate(
  updates: readonly AnyUpdate[],
  limit: Limit,
  name?: string,
  { advanced }: Advancing = {},
): Promise<Approximation> {
  check(limit);
  const layers: Cut[] = [];
  for (const update of updates) {
    layers.push(await cut(update, limit));
    advanced?.(layers.length, updates.length);
  }
  const total = layers.reduce((sum, layer) => sum + layer.whole, 0);
  return {
    adapter: adapterOf(layers, name),
    error: share(layers.reduce((sum, layer) => sum + layer.lost, 0), total),
    errors: Object.fromEntries(layers.map(({ place, error }) => [place.path, error])),
  };
}

/** Plain LoRA with s = 1 from given factors. Takes ownership of the tensors. */
export function adapterOf(
  layers: readonly (Factors & { readonly place: MatrixPlace })[],
  name?: string,
): Adapter {
  const ranks = Object.fromEntries(layers.map(({ place, a }) => [place.path, a.shape[0]!]));
  const method = lora({
    targets: layers.map(({ place }) => place.path),
    rankPattern: ranks,
    alphaPattern: ranks,
  });
  const params = nest(
    layers.flatMap(({ place: { path }, a, b }) => [[`${path}.a`, a], [`${path}.b`, b]] as const),
  );
  return { ...name !== undefined && { name }, method, params: params as Tree };
}

/** One layer, truncated. */
export interface Cut extends Factors {
  readonly place: MatrixPlace;
  readonly error: number;
  /** ‖ΔW − B A‖². */
  readonly lost: number;
  /** ‖ΔW‖². */
  readonly whole: number;
}

/** The leading triples of one update. */
export async function cut(update: AnyUpdate, limit: Limit): Promise<Cut> {
  const { u, s, vt } = await decomposition(update);
  const squares = [...await read(s)].map((value) => value * value);
  /** Σ over the values from index i. */
  const tails = squares.reduceRight<number[]>((sums, square) => [square + sums[0]!, ...sums], [0]);
  const whole = tails[0]!;
  const enough = "rank" in limit
    ? Math.min(limit.rank, squares.length)
    : tails.findIndex((tail) => share(tail, whole) <= Math.max(limit.error, ROUNDING));
  const rank = Math.max(1, enough);
  const factors = scope((): Synchronous<Factors> =>
    balanced(leading({ u, s, vt }, rank), 1) as Synchronous<Factors>
  );
  dispose([u, s, vt]);
  const lost = tails[rank]!;
  return { ...factors, place: update.place, lost, whole, error: share(lost, whole) };
}

/**
 * The SVD of ΔW; for factors via their QR decompositions, whose inner product is only as large as the rank.
 */
async function decomposition(update: AnyUpdate): Promise<Svd> {
  const { inFeatures, outFeatures } = sizesOf(update.place);
  const factors = update.factors?.();
  if (factors !== undefined && factors.a.shape[0]! < Math.min(inFeatures, outFeatures)) {
    return await ofProduct(factors);
  }
  dispose(factors);
  const matrix = await update.matrix();
  const parts = await factorised(matrix, svd);
  dispose(matrix);
  return parts;
}

async function ofProduct({ a, b }: Factors): Promise<Svd> {
  const columns = scope((): Synchronous<Tensor> => transpose(a));
  const [left, right] = [await factorised(b, qr), await factorised(columns, qr)];
  const inner = scope((): Synchronous<Tensor> => matmul(left.r, right.r, { transposeB: true })); // [r, r]
  const parts = await factorised(inner, svd);
  const result = scope((): Synchronous<Svd> => ({
    u: matmul(left.q, parts.u),
    s: parts.s,
    vt: matmul(parts.vt, right.q, { transposeB: true }),
  }));
  dispose([a, b, columns, left, right, inner, parts.u, parts.vt]);
  return result;
}

const share = (lost: number, whole: number): number => whole === 0 ? 0 : Math.sqrt(lost / whole);

function check(limit: Limit): void {
  if ("rank" in limit) checkPositive("rank", limit.rank);
  else if (!(limit.error >= 0 && limit.error < 1)) {
    throw rangeError("INVALID_ARGUMENT", `Expected error from 0 up to 1 but found ${limit.error}`);
  }
}
