/**
 * Several adapters of one base as one plain LoRA: sums of their true weight updates ΔW_k with weights w_k.
 *
 *   cat              Σ w_k ΔW_k, factors concatenated: exact, the ranks add up
 *   svd              the same sum, cut to a rank
 *   linear           the same sum, exact with the lowest possible rank, or truncated
 *   magnitudePrune   Σ w_k P(ΔW_k), P keeps the `density` largest entries of each
 *   ties             of the P(ΔW_k), only entries that agree with the elected sign; their weighted mean over those that agree
 *                    (Yadav et al. 2023, arXiv 2306.01708)
 *   dare             each entry of ΔW_k is kept with probability `density` and divided by it (Yu et al. 2023, arXiv
 *                    2311.03099), then summed or merged as by ties
 *
 * PEFT combines A's and B's instead, which mixes each A with every other adapter's B; its result is not a sum
 * of updates.
 */
import {
  type Adapter,
  type Advancing,
  dispose,
  type Factors,
  fold,
  joined,
  type Key,
  key as keyOf,
  type MatrixPlace,
  type Model,
  scope,
  type Synchronous,
  type Tensor,
  type WeightUpdate,
  weightUpdates,
} from "../../core/mod.ts";
import {
  abs,
  addAll,
  divide,
  equal,
  factorised,
  less,
  lessEqual,
  maximum,
  multiply,
  orderStatistic,
  sign,
  subtract,
  uniform,
} from "../../ops/mod.ts";
import { adapterOf, type AnyUpdate, approximate, type Approximation, cut, type Limit } from "./to_lora.ts";
import { rangeError } from "../../errors/error.ts";

/** How to combine. Without a limit the result is exact to f32. */
export type Combination =
  | { readonly method: "cat" }
  | { readonly method: "svd"; readonly limit: Limit }
  | { readonly method: "linear"; readonly limit?: Limit }
  | { readonly method: "magnitudePrune"; readonly density: number; readonly limit?: Limit }
  | { readonly method: "ties"; readonly density: number; readonly elect?: Election; readonly limit?: Limit }
  | {
    readonly method: "dare";
    /** Share of the entries that are kept. */
    readonly density: number;
    readonly then?: "linear" | "ties";
    readonly elect?: Election;
    readonly key: Key | number;
    readonly limit?: Limit;
  };

/** How an entry's sign is elected: by the sum of the updates (default), or by the number of them on each side. */
export type Election = "total" | "frequency";

/**
 * One LoRA adapter from several adapters, of any methods whose edits change matrices alone. A layer that an
 * adapter does not change counts as an update of zero.
 *
 * @throws {TypeError} when an adapter changes anything but matrices.
 * @throws {RangeError} when there are no adapters, the number of weights differs, or an option is out of
 * range.
 * @example
 * ```ts
 * import { adapt, combine, lora, reference } from "@graft/peft";
 * import { freshModel } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const shape = { vocab_size: 16, hidden_size: 8, intermediate_size: 12, num_hidden_layers: 1, num_attention_heads: 2 };
 * const model = freshModel({ model_type: "llama", ...shape }, { backend: reference(), key: 0 });
 * const [a, b] = [1, 2].map((seed) => adapt(model, lora({ rank: 2, initialization: "none" }), seed));
 * const { adapter, error } = await combine(model, [a!, b!], [0.5, 0.5]); // rank 4, nothing lost
 * assert.equal(error, 0);
 * await combine(model, [a!, b!], [1, 1], { method: "ties", density: 0.2, limit: { rank: 4 } });
 * assert.equal(adapter.method.name, "lora");
 * ```
 */
export async function combine(
  model: Model,
  adapters: readonly Adapter[],
  weights: readonly number[],
  how: Combination = { method: "cat" },
  name?: string,
  options: Advancing = {},
): Promise<Approximation> {
  check(adapters, weights, how);
  const updates = adapters.map((adapter) => weightUpdates(model, adapter));
  const places = [...model.spec.linears, ...model.spec.embeddings, ...model.spec.heads]
    .map((place) => ({
      place,
      parts: updates.flatMap((own, k) =>
        own.filter((update) => update.place === place).map((update): Part => ({
          update,
          weight: weights[k]!,
          k,
        }))
      ),
    }))
    .filter(({ parts }) => parts.length > 0);
  if (how.method === "cat") return await concatenated(places, name, options);
  const limit = how.limit ?? { error: 0 };
  return await approximate(places.map((layer) => combined(layer, how)), limit, name, options);
}

/** ΔW_k of a layer with its weight. */
interface Part {
  readonly update: WeightUpdate;
  readonly weight: number;
  /** Index of the adapter. */
  readonly k: number;
}

interface Layer {
  readonly place: MatrixPlace;
  readonly parts: readonly Part[];
}

async function concatenated(
  layers: readonly Layer[],
  name: string | undefined,
  { advanced }: Advancing,
): Promise<Approximation> {
  const results: (Factors & { readonly place: MatrixPlace; readonly error: number })[] = [];
  for (const { place, parts } of layers) {
    const each: (Factors & { readonly error: number })[] = [];
    for (const { update, weight } of parts) {
      const { a, b, error } = update.factors === undefined
        ? await cut(update, { error: 0 })
        : { ...update.factors(), error: 0 };
      each.push({ a, b: scope(() => multiply(b, weight)), error });
      dispose(b);
    }
    results.push({
      ...scope((): Synchronous<Factors> => joined(each)),
      place,
      error: Math.max(...each.map(({ error }) => error)),
    });
    if (each.length > 1) dispose(each); // a single part is its own sum
    advanced?.(results.length, layers.length);
  }
  return {
    adapter: adapterOf(results, name),
    error: Math.max(...results.map(({ error }) => error)),
    errors: Object.fromEntries(results.map(({ place, error }) => [place.path, error])),
  };
}

function combined({ place, parts }: Layer, how: Exclude<Combination, { method: "cat" }>): AnyUpdate {
  switch (how.method) {
    case "svd":
    case "linear":
      return weightedSum(place, parts);
    case "magnitudePrune":
      return { place, matrix: () => sumOf(parts, (d) => largest(d, how.density, place)) };
    case "ties":
      return { place, matrix: () => elected(parts, (d) => largest(d, how.density, place), how.elect) };
    case "dare": {
      const drop = (d: Tensor, k: number): Promise<Tensor> =>
        Promise.resolve(dropped(d, how.density, fold(fold(keyOf(how.key), k), place.path)));
      return how.then === "ties"
        ? { place, matrix: () => elected(parts, drop, how.elect) }
        : { place, matrix: () => sumOf(parts, drop) };
    }
    default:
      return how satisfies never;
  }
}

function weightedSum(place: MatrixPlace, parts: readonly Part[]): AnyUpdate {
  const factored = parts.flatMap(({ update: { factors }, weight }) =>
    factors === undefined ? [] : [{ factors, weight }]
  );
  return {
    place,
    matrix: () => sumOf(parts, (d) => Promise.resolve(d)),
    ...factored.length === parts.length && {
      factors: () =>
        scope((): Synchronous<Factors> =>
          joined(factored.map(({ factors, weight }) => {
            const { a, b } = factors();
            return { a, b: multiply(b, weight) };
          }))
        ),
    },
  };
}

/** The pruned update [out, in]; may be the update itself. */
type Prune = (d: Tensor, k: number) => Promise<Tensor>;

async function pruned(parts: readonly Part[], prune: Prune): Promise<readonly Tensor[]> {
  const kept: Tensor[] = [];
  for (const { update, k } of parts) {
    const d = update.matrix();
    const rest = await prune(d, k);
    if (rest !== d) dispose(d);
    kept.push(rest);
  }
  return kept;
}

async function sumOf(parts: readonly Part[], prune: Prune): Promise<Tensor> {
  const kept = await pruned(parts, prune);
  const total = scope((): Synchronous<Tensor> => addAll(kept.map((p, i) => multiply(p, parts[i]!.weight))));
  dispose(kept);
  return total;
}

/** Σ w P over the entries with the elected sign, divided by their number. */
async function elected(parts: readonly Part[], prune: Prune, elect: Election = "total"): Promise<Tensor> {
  const kept = await pruned(parts, prune);
  const merged = scope((): Synchronous<Tensor> => {
    const votes = addAll(elect === "total" ? kept : kept.map(sign));
    const winner = subtract(multiply(lessEqual(0, votes), 2), 1); // +1 on a tie
    const agrees = kept.map((p) => equal(sign(p), winner));
    const sum = addAll(kept.map((p, i) => multiply(multiply(p, agrees[i]!), parts[i]!.weight)));
    return divide(sum, maximum(addAll(agrees), 1));
  });
  dispose(kept);
  return merged;
}

/** The ⌊density · n⌋ largest entries by magnitude, including ties. */
async function largest(d: Tensor, density: number, { path }: MatrixPlace): Promise<Tensor> {
  const count = Math.floor(density * d.size);
  if (count < 1) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot keep ${density} of the ${d.size} entries of "${path}": that is less than one`,
    );
  }
  if (count === d.size) return d;
  const size = scope((): Synchronous<Tensor> => abs(d));
  const { threshold } = await factorised(size, (x) => ({ threshold: orderStatistic(x, d.size - count) }));
  const kept = scope((): Synchronous<Tensor> => multiply(d, lessEqual(threshold, size)));
  dispose([size, threshold]);
  return kept;
}

/** Each entry with probability `density`, divided by it. */
function dropped(d: Tensor, density: number, key: Key): Tensor {
  return scope((): Synchronous<Tensor> =>
    multiply(d, divide(less(uniform(key, d.shape, d.backend), density), density))
  );
}

function check(adapters: readonly Adapter[], weights: readonly number[], how: Combination): void {
  if (adapters.length === 0) {
    throw rangeError("INVALID_ARGUMENT", "Expected at least one adapter to combine but found none");
  }
  if (weights.length !== adapters.length || !weights.every(Number.isFinite)) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected one finite weight for each adapter, ${adapters.length} in all, but found [${
        weights.join(", ")
      }]`,
    );
  }
  if ("density" in how && !(how.density > 0 && how.density <= 1)) {
    throw rangeError("INVALID_ARGUMENT", `Expected density over 0 up to 1 but found ${how.density}`);
  }
}
