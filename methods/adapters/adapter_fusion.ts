/**
 * AdapterFusion. Pfeiffer et al. 2020, "AdapterFusion: Non-Destructive Task Composition for Transfer
 * Learning", arXiv 2005.00247, section 3.2: trained adapters are frozen, and an attention over their outputs
 * is trained.
 *
 *   h ← h + W_v Σ_k p_k a_k      p = softmax_k( drop( (W_q z + b_q) · (W_k a_k + b_k) ) / T )      a_k, z [d], for each token separately
 *
 * a_k is what adapter k adds, without its residual, and z is what the last adapter reads (after the norm, for
 * Pfeiffer's). The scores are not divided by √d, and dropout is applied to them before the softmax, as in
 * AdapterHub's BertFusion. W_v starts as the identity plus 1e-6 off its diagonal and is regularized towards
 * the identity: + λ Σ ‖I − W_v‖² over the places.
 */
import {
  adapt,
  type Adapter,
  fn,
  fold,
  type HiddenCall,
  type HiddenEdit,
  key as keyOf,
  lookup,
  type Method,
  type MethodConfig,
  type MethodDefinition,
  methodsOf,
  type Model,
  nest,
  reading,
  scope,
  type Spec,
  type Synchronous,
  type Tensor,
  type Tree,
  under,
} from "../../core/mod.ts";
import {
  any,
  bounded,
  checkOptions,
  count,
  fields,
  type Filled,
  filled,
  list,
  oneOf,
  option,
  positive,
  probability,
} from "../../core/options/mod.ts";
import {
  add,
  addAll,
  concat,
  divide,
  dropout,
  full,
  identity,
  matmul,
  multiply,
  normal,
  reshape,
  softmax,
  subtract,
  sum,
  sumOfSquares,
  zeros,
} from "../../ops/mod.ts";
import { type Affine, affine } from "../shared/affine.ts";
import { nonNegative } from "../shared/number_schemas.ts";
import { foldersOf, foldersSchema, freeAll, loadAll } from "../shared/sources.ts";
import { apart } from "./averaged.ts";
import { type Fused, fusedPlaces } from "./fused_places.ts";
import { pfeiffer } from "./pfeiffer.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of AdapterFusion. */
export interface AdapterFusionOptions {
  /** The trained adapters, by name; each adds to hidden states at the same places. */
  readonly adapters: Readonly<Record<string, Adapter>>;
  /** λ, default 0.01. */
  readonly regularization?: number;
  /**
   * Probability of dropping a score in training, default 0. AdapterHub uses the model's attention dropout.
   */
  readonly dropout?: number;
  /**
   * T, default 1; or decreasing linearly from a number to 1 over a number of steps (AdapterHub: from 50, 1000
   * steps).
   */
  readonly temperature?: number | Annealed;
  /** Which of the three are matrices; the others are the identity. Default all; AdapterHub's "static" has no value. */
  readonly matrices?: readonly FusionMatrix[];
  /** z: what the last adapter reads (default), or the part's output h. */
  readonly query?: "read" | "output";
}

/** A temperature that decreases during training. */
export type Annealed = {
  /** The initial T. */
  readonly from: number;
  /** Number of steps. */
  readonly steps: number;
};

/** A matrix of the attention over adapters. */
export type FusionMatrix = "query" | "key" | "value";

/** The trained parameters at a place. */
interface Fusion {
  readonly query?: Affine;
  readonly key?: Affine;
  /** weight [d, d], no bias. */
  readonly value?: { readonly weight: Tensor };
}

/**
 * AdapterFusion as a method. Parameters: the adapters' own under `frozen.<name>`, and under `fusion.<place>`
 * `query.weight` [d, d], `query.bias` [d], `key.weight`, `key.bias` and `value.weight`: 3 d² + 2 d per place.
 * An annealed temperature is `frozen.temperature` [1]: it changes with the training steps and keeps its last
 * value.
 *
 * @throws {RangeError} when there is no adapter, a number is out of range, or the adapters are at different
 * places.
 * @throws {TypeError} at `init`, when an adapter does anything but add to hidden states.
 * @example
 * ```ts
 * import { adapterFusion } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.throws(() => adapterFusion({ adapters: {} }), /at least one adapter/);
 * ```
 */
export function adapterFusion(options: AdapterFusionOptions): Method {
  const { adapters, ...own } = options;
  checkOptions("adapter-fusion", own, adapterFusionDefinition.options);
  const { regularization, dropout: p, temperature, query: asks, matrices } = filled(
    own,
    adapterFusionDefinition.options,
  ) as Filled<Omit<AdapterFusionOptions, "adapters">>;
  const names = Object.keys(adapters);
  if (names.length === 0) {
    throw rangeError("INVALID_ARGUMENT", "Expected at least one adapter to fuse but found none");
  }
  const annealed = typeof temperature === "number" ? undefined : temperature;
  const first = annealed?.from ?? temperature as number;
  const fusedAt = (held: Readonly<Record<string, Tree>>, spec: Spec): readonly Fused[] =>
    fusedPlaces(names.map((name) => [name, adapters[name]!.method.edits(held[name]!, spec)]), spec);
  const run = (
    { edits, fusion: { query, key, value }, temperature: now }: {
      readonly edits: readonly HiddenEdit[];
      readonly fusion: Fusion;
      readonly temperature: Tensor | undefined;
    },
    call: HiddenCall,
  ): Tensor => {
    const through = (layer: Affine | undefined, t: Tensor): Tensor =>
      layer === undefined ? t : affine(layer, t);
    const z = asks === "output" ? call.y : reading(call, edits.at(-1)!.reads); // [b, t, d]
    const [b, t, d] = z.shape as [number, number, number];
    const given = concat(
      edits.map((edit, k) => reshape(edit.delta.run(apart(call, k)), [b, t, 1, d])),
      2,
    ); // [b, t, K, d]
    const scores = sum(multiply(through(key, given), reshape(through(query, z), [b, t, 1, d])), { axis: 3 });
    const dropped = call.train && call.key !== undefined && p > 0 ? dropout(scores, p, call.key) : scores;
    const weights = reshape(softmax(divide(dropped, now ?? first)), [b, t, edits.length, 1]);
    const mixed = sum(multiply(given, weights), { axis: 2 }); // [b, t, d]
    return value === undefined ? mixed : matmul(mixed, value.weight, { transposeB: true });
  };
  return {
    definition: adapterFusionDefinition,
    name: "adapter-fusion",
    components: methodsOf(adapters),
    config: own as MethodConfig,
    init: ({ model: { spec, backend }, key }) =>
      scope((): Synchronous<Tree> => {
        const held = Object.fromEntries(names.map((name) => [name, adapters[name]!.params]));
        const layers = fusedAt(held, spec).flatMap(({ path, width }) => {
          const layer = (name: string): Affine => ({
            weight: normal(fold(fold(keyOf(key), path), name), [width, width], backend, 0.02),
            bias: zeros([width], backend),
          });
          const one = identity(width, backend);
          const almostOne = add(multiply(one, 1 - 1e-6), 1e-6);
          return under(path, {
            ...matrices.includes("query") && { query: layer("query") },
            ...matrices.includes("key") && { key: layer("key") },
            ...matrices.includes("value") && { value: { weight: almostOne } },
          });
        });
        const frozen = { ...held, ...annealed && { temperature: full([1], first, backend) } };
        return { frozen, fusion: nest(layers) as Tree } as Synchronous<Tree>;
      }),
    edits: (params, spec) =>
      fusedAt(params["frozen"] as Readonly<Record<string, Tree>>, spec).map((
        { path, edits },
      ): HiddenEdit => ({
        kind: "hidden",
        path,
        reads: edits.at(-1)!.reads,
        delta: fn({
          edits,
          fusion: (lookup(params["fusion"] as Tree, path) ?? {}) as Fusion,
          temperature: annealed && (params["frozen"] as Tree)["temperature"] as Tensor,
        }, run),
      })),
    ...annealed && {
      adjust: ({ params, state, step }) => {
        const now = Math.max(1, annealed.from * (1 - step / annealed.steps));
        const { backend } = (params["frozen"] as Tree)["temperature"] as Tensor;
        const frozen = { ...params["frozen"] as Tree, temperature: full([1], now, backend) };
        return Promise.resolve({ params: { ...params, frozen }, state });
      },
    },
    ...matrices.includes("value") && {
      penalty: (params, spec) => {
        const places = fusedAt(params["frozen"] as Readonly<Record<string, Tree>>, spec);
        const off = places.map(({ path, width }) => {
          const { weight } = (lookup(params["fusion"] as Tree, path) as Fusion).value!;
          return sumOfSquares(subtract(identity(width, weight.backend), weight));
        });
        return reshape(multiply(addAll(off), regularization), []);
      },
    },
  };
}

/** `adapterFusion` in records: its adapters, which are frozen, are its parts. */
export const adapterFusionDefinition: MethodDefinition = {
  name: "adapter-fusion",
  summary: "Learns attention over the outputs of several trained adapters.",
  facts: { parameters: "3d² + 2d a layer" },
  title: "AdapterFusion",
  options: {
    regularization: option(nonNegative, "λ, how strongly W_v is kept near the identity", 0.01),
    dropout: option(probability, "probability of dropping a score in training", 0),
    temperature: option(
      any(positive, fields<Annealed>({ from: positive, steps: bounded(count, "steps") })),
      "T of the softmax, or from where it falls to 1 in so many steps",
      1,
    ),
    matrices: option(
      list(oneOf("query", "key", "value")),
      "which of the three are matrices; the others are the identity",
      ["query", "key", "value"],
    ),
    query: option(oneOf("read", "output"), "what asks: what the last adapter reads, or the output", "read"),
  },
  restore: (config, stored) => {
    checkOptions("adapter-fusion", config, adapterFusionDefinition.options);
    return adapterFusion({ ...config, adapters: stored.components((name) => ["frozen", name]) });
  },
  cli: {
    rate: 5e-5,
    flags: [],
    also: { adapters: option(foldersSchema(1), "folders of the trained adapters, by name") },
  },
  prepare: async ({ model, options: { adapters, ...own }, load, seed }) => {
    const folders = foldersOf("adapter-fusion", "adapters", adapters, 1);
    const loaded = await loadAll(load, folders);
    try {
      return { adapter: adapt(model, adapterFusion({ ...own, adapters: loaded }), seed) };
    } catch (error) {
      freeAll(loaded);
      throw error;
    }
  },
  plan: ({ model, options: { adapters, ...own } }) => {
    const names = Object.keys(foldersOf("adapter-fusion", "adapters", adapters, 1));
    return adapterFusion({ ...own, adapters: Object.fromEntries(names.map((name) => [name, one(model)])) });
  },
  published: {
    setting: "of 2 adapters, r d/16",
    make: (model) => adapterFusion({ adapters: { one: one(model), two: one(model) } }),
  },
};

/** An adapter as another task would leave it. */
const one = (model: Model): Adapter => adapt(model, pfeiffer());
