/**
 * EVA. Paischer et al. 2024, "One Initialization to Rule them All: Fine-tuning via Explained Variance Adaptation", arXiv
 * 2410.07170, section 3 and algorithm 1.
 *
 *   A = first r' principal directions of the layer's inputs [tokens, in]     B = 0     W as it is
 *
 * Batches are processed until another batch changes each needed direction by an angle of less than arccos τ.
 * Ranks are redistributed: of all layers' directions the r · layers with the largest share of their layer's
 * variance are taken, at most ρ r in a layer; a layer without any loses its adapter. α changes with the rank,
 * so that s = α / r stays the same.
 *
 * As PEFT's `tuners/lora/eva.py`: inputs are centred, layers with the same input share a decomposition, and
 * padding and (with labels) tokens without a label are ignored.
 */
import {
  type Adapter,
  type Batch,
  fold,
  freshTargets,
  type Key,
  key as keyOf,
  type MatrixPlace,
  type MethodDefinition,
  type Model,
  nest,
  overlay,
  read,
  scope,
  sizesOf,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import { any, bounded, count, fields, filled, number, oneOf, option } from "../../core/options/mod.ts";
import { lora, LORA_SHARED, type LoraOptions, loraRank, loraScale, LOW_RANK } from "./lora.ts";
import { checkPositive } from "../shared/option_checks.ts";
import type { Decomposition } from "../../numerics/streaming_svd.ts";
import { allConverged, firstRows, type Group, groupsOf, look } from "./input_components.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of EVA: those of LoRA, with r the mean rank of a layer, and how to analyse the activations. */
export interface EvaOptions extends Omit<LoraOptions, "initialization"> {
  /** ρ, maximum rank of a layer divided by r; default 2. With 1 nothing is redistributed. */
  readonly spread?: number;
  /** τ, default 0.99. */
  readonly threshold?: number;
  /** Default: randomized (arXiv 0909.4061) with 4 iterations, as in PEFT. */
  readonly svd?: "exact" | { readonly iterations: number };
  /**
   * Whether tokens without a label are ignored. Default "labelled"; batches without labels are used entirely.
   */
  readonly tokens?: "labelled" | "all";
  /** Give up after this many batches, default 1000. The given ones are repeated. */
  readonly maxBatches?: number;
  /** Seed for the randomized decomposition and all other random choices. Default 0. */
  readonly key?: Key | number;
}

/** The adapter, and what EVA computed. */
export interface EvaPrepared {
  /** LoRA with its own rank for each layer. */
  readonly adapter: Adapter;
  /** r' by layer's path, 0 where the adapter was dropped. */
  readonly ranks: Readonly<Record<string, number>>;
  /** Number of batches that were run. */
  readonly batches: number;
}

/**
 * Prepares EVA: LoRA with A set to the directions in which the layers' inputs vary most.
 *
 * @throws {RangeError} when an option is out of range, a target is an embedding, batches have fewer tokens
 * than the number of directions, or not all directions have converged after `maxBatches`.
 * @example
 * ```ts
 * import { eva, reference } from "@graft/peft";
 * import { freshModel } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const shape = { vocab_size: 16, hidden_size: 8, intermediate_size: 12, num_hidden_layers: 1, num_attention_heads: 2 };
 * const model = freshModel({ model_type: "llama", ...shape }, { backend: reference(), key: 0 });
 * const batch = { inputIds: [[1, 2, 3, 4, 5, 6]] };
 * const { ranks } = await eva(model, [batch], { rank: 1, targets: ["q_proj", "o_proj"] });
 * assert.equal(Object.values(ranks).reduce((a, b) => a + b), 2);
 * ```
 */
export async function eva(
  model: Model,
  batches: Iterable<Batch>,
  options: EvaOptions = {},
): Promise<EvaPrepared> {
  const { spread, threshold, svd, maxBatches, tokens = "labelled", key = 0, ...loraOptions } = {
    ...options,
    ...filled({ ...options }, SEARCH),
  };
  check({ spread, threshold, maxBatches });
  lora(loraOptions); // checks them
  const data = [...batches];
  if (data.length === 0) {
    throw rangeError("INVALID_ARGUMENT", "Cannot look at activations: there are no batches");
  }
  const places = freshTargets(model.spec, loraOptions);
  for (const place of places) checkDirections(place, loraOptions);
  const groups = groupsOf(
    model,
    data[0]!,
    places,
    (path) => toEven(loraRank(path, loraOptions) * spread),
  );
  const budget = places.reduce((sum, { path }) => sum + loraRank(path, loraOptions), 0);
  const seed = keyOf(key);
  try {
    let ranks: ReadonlyMap<string, number> = new Map();
    let used = 0;
    while (groups.some((group) => !allConverged(group, ranks))) {
      if (used === maxBatches) throw notConverged(groups, ranks, used);
      const active = groups.filter((group) => !allConverged(group, ranks));
      const how: Decomposition = svd === "exact" ? svd : { ...svd, key: fold(seed, used) };
      await look(model, data[used % data.length]!, active, tokens, how, threshold);
      used++;
      if (groups.every((group) => group.state.tree !== undefined)) ranks = await distribute(groups, budget);
    }
    return {
      adapter: adapterOf(model, places, groups, ranks, loraOptions, seed),
      ranks: Object.fromEntries(ranks),
      batches: used,
    };
  } finally {
    for (const group of groups) group.state.dispose();
  }
}

/** Rounds to the nearest integer, halves to even, as in Python. */
function toEven(x: number): number {
  const below = Math.floor(x);
  return x - below === 0.5 ? below + below % 2 : Math.round(x);
}

function checkDirections(place: MatrixPlace, options: LoraOptions): void {
  const { inFeatures } = sizesOf(place);
  const rank = loraRank(place.path, options);
  if (rank > inFeatures) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot find ${rank} directions among the ${inFeatures} inputs of "${place.path}"`,
    );
  }
}

/** Ranks by path: the `budget` directions that explain most of their layer's variance. */
async function distribute(groups: readonly Group[], budget: number): Promise<ReadonlyMap<string, number>> {
  const shares = await Promise.all(groups.map(async ({ state, count }) => {
    const { values, spread } = state.tree!;
    const [squares, [all]] = [(await read(values)).map((s) => s * s), await read(spread)];
    return Array.from({ length: count }, (_, i) => squares[i]! / all!);
  }));
  // On ties the observed layers come first, then those that share their input.
  const candidates = [
    ...groups.flatMap(({ paths }, g) => shares[g]!.map((share) => ({ path: paths[0]!, share }))),
    ...groups.flatMap(({ paths }, g) =>
      paths.slice(1).flatMap((path) => shares[g]!.map((share) => ({ path, share })))
    ),
  ].sort((a, b) => b.share - a.share).slice(0, budget);
  return new Map(
    groups.flatMap(({ paths }) =>
      paths.map((path) => [path, candidates.filter((candidate) => candidate.path === path).length] as const)
    ),
  );
}

function adapterOf(
  model: Model,
  places: readonly MatrixPlace[],
  groups: readonly Group[],
  ranks: ReadonlyMap<string, number>,
  { exclude: _, layers: __, ...options }: LoraOptions,
  key: Key,
): Adapter {
  const kept = places.map(({ path }) => path).filter((path) => ranks.get(path)! > 0);
  const rankPattern = Object.fromEntries(kept.map((path) => [path, ranks.get(path)!]));
  const alphaPattern = Object.fromEntries(kept.map((path) => {
    const rank = ranks.get(path)!;
    return [path, loraScale(path, options) * (options.scaling === "rankStabilized" ? Math.sqrt(rank) : rank)];
  }));
  const method = lora({ ...options, targets: kept, rankPattern, alphaPattern });
  const directions = new Map(
    groups.flatMap(({ paths, state }) => paths.map((path) => [path, state.tree!.directions])),
  );
  const params = scope((): Synchronous<Tree> => {
    const fresh = method.init({ model, key });
    const rows = kept.map((path) =>
      [`${path}.a`, firstRows(directions.get(path)!, rankPattern[path]!)] as const
    );
    return overlay(fresh, nest(rows) as Tree) as Synchronous<Tree>;
  });
  return { method, params };
}

function notConverged(
  groups: readonly Group[],
  ranks: ReadonlyMap<string, number>,
  used: number,
): RangeError {
  const first = groups.find((group) => !allConverged(group, ranks))!;
  return rangeError(
    "INVALID_ARGUMENT",
    first.state.tree === undefined
      ? `Cannot find ${first.count} directions at "${
        first.paths[0]
      }": no batch has that many tokens that count; ` +
        "take larger batches, a smaller rank or a smaller spread"
      : `The directions at "${
        first.paths[0]
      }" have not settled after ${used} batches: take more data, a smaller rank or a lower threshold`,
  );
}

function check(
  { spread, threshold, maxBatches }: Record<"spread" | "threshold" | "maxBatches", number>,
): void {
  if (!(spread >= 1)) {
    throw rangeError("INVALID_ARGUMENT", `Expected spread to be 1 or more but found ${spread}`);
  }
  if (!(threshold > 0 && threshold < 1)) {
    throw rangeError("INVALID_ARGUMENT", `Expected threshold between 0 and 1 but found ${threshold}`);
  }
  checkPositive("maxBatches", maxBatches);
}

/** How the directions are looked for. */
const SEARCH = {
  spread: option(number, "ρ, how many times r a layer's rank may be", 2),
  threshold: option(number, "τ, how alike directions must be to count as settled", 0.99),
  svd: option(
    any(oneOf("exact"), fields<{ readonly iterations: number }>({ iterations: bounded(count, "terms") })),
    "how to decompose: exactly, or at random with so many iterations",
    { iterations: 4 },
  ),
  tokens: option(
    oneOf("labelled", "all"),
    "which tokens count; by default those with a label, if any have one",
  ),
  maxBatches: option(count, "give up after so many batches", 1000),
};

/** What is known of EVA: it looks at the layers' inputs, and is LoRA from then on. */
export const evaDefinition: MethodDefinition = {
  name: "eva",
  summary: "LoRA that starts from the main directions of each layer's inputs, and ranks by them.",
  facts: { parameters: "Σ r' (in + out), Σ r' fixed", merges: "yes" },
  title: "EVA",
  options: {
    ...LORA_SHARED,
    ...SEARCH,
  },
  cli: { ...LOW_RANK },
  prepare: async ({ model, options, batches, seed }) => {
    const data = batches(512);
    // Where a text has one label, all its tokens count.
    const tokens = typeof data[0]?.labels?.[0] === "number" ? { tokens: "all" as const } : {};
    return { adapter: (await eva(model, data, { ...tokens, ...options, key: seed })).adapter };
  },
  plan: ({ options: { spread: _, threshold: __, svd: ___, tokens: ____, maxBatches: _____, ...own } }) =>
    lora(own),
  published: { setting: "r 8 on q and v, spread evenly", make: () => lora() },
};
