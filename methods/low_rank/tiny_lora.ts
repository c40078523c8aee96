/**
 * TinyLoRA. "Learning to Reason in 13 Parameters", 2026, arXiv 2602.04118.
 *
 *   y = W x + b + B R A x        R = Σ_i v_i P_i        A [r, in]   B [out, r]   P_i [r, r], i ≤ u
 *
 * B = U S and A = Vᵀ are the r leading singular directions of W, as in LoRA-XS, or with √S on either side
 * ("split"), as in PEFT; the P_i are normal with variance 1/r, and A, B and P are frozen. Only v is trained;
 * adjacent layers may share one v. It starts at zero: the model is initially unchanged.
 */
import {
  adapt,
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  dispose,
  fold,
  freshTargets,
  key as keyOf,
  type LinearMap,
  madeLowRank,
  matrixAt,
  type MatrixPlace,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
  tensor,
} from "../../core/mod.ts";
import {
  bounded,
  count,
  made,
  oneOf,
  option,
  type OptionSchema,
  probability,
  seed,
} from "../../core/options/mod.ts";
import { matmul, multiply, reshape, sqrt, type Svd, uniform, zeros } from "../../ops/mod.ts";
import { directionCount, directionsOf, type LeadingDirections } from "./leading_directions.ts";
import { leadingDirections } from "./leading_directions.ts";
import { rankSchema, TARGETS } from "../shared/target_options.ts";
import { checkNotEmbedding } from "../shared/not_embedding.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { mersenneTwister, torchNormal } from "../../numerics/torch_random.ts";
import { withDefaults } from "../peft/layers.ts";

/** A degree. */
const fromZeroToOne: OptionSchema<number> = {
  what: "a number from 0 to 1",
  accepts: (value) => typeof value === "number" && value >= 0 && value <= 1,
};

/** Options of TinyLoRA. */
export interface TinyLoraOptions extends TargetOptions {
  /** r, default 2. */
  readonly rank?: number;
  /** u, the length of v, default 64. */
  readonly dimension?: number;
  /**
   * Degree of sharing, from 0 (default), a v for each layer, to 1, one for all: this share of the vectors is
   * saved.
   */
  readonly tying?: number;
  /**
   * Where the singular values go: into B ("left", default), or their square roots into both factors ("split",
   * as in PEFT).
   */
  readonly singularValues?: "left" | "split";
  /** Seed of the first layer's P, default 42; it increases by one per layer. */
  readonly projectionSeed?: number;
  /** Keep P with the adapter ("stored", default), or regenerate it at every use. */
  readonly projections?: "stored" | "regenerated";
  /** v of zeros (default), or uniform within ±0.02. */
  readonly initialization?: "zeros" | "uniform";
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
  /**
   * The result of `leadingDirections` for these layers: needed on a GPU, which has no decomposition. Default:
   * decompose at init.
   */
  readonly directions?: LeadingDirections | undefined;
}

/** A layer's frozen tensors: A, B and, where stored, P [u, r, r]. */
type Kept = { readonly frozen: { readonly a: Tensor; readonly b: Tensor; readonly p?: Tensor } };

/**
 * TinyLoRA as a method. Parameters: `v.0`, `v.1`, … [u], and under each layer's path `frozen.a`, `frozen.b` and `frozen.p`.
 *
 * @throws {RangeError} when a number is out of range, a target is an embedding, or targets match nothing.
 * @throws {TypeError} at init on a GPU without `directions`.
 * @example
 * ```ts
 * import { adapt, count, freshModel, reference, smallConfig, tinyLora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, tinyLora({ dimension: 13, tying: 1 }));
 * assert.equal(count(model, adapter).trainable, 13);
 * ```
 */
export const tinyLora: DefinedMethod<TinyLoraOptions> = defineMethod<TinyLoraOptions>({
  name: "tiny-lora",
  summary: "Trains a handful of numbers that steer each weight's main singular directions.",
  facts: { parameters: "u, or less where layers share a v", merges: "yes" },
  title: "TinyLoRA",
  options: {
    ...TARGETS,
    rank: option(rankSchema, "r, how many singular directions", 2),
    dimension: option(bounded(count, "entries"), "u, the length of a v", 64),
    tying: option(fromZeroToOne, "how much layers share: 0, a v for each, to 1, one for all", 0),
    singularValues: option(
      oneOf("left", "split"),
      "where singular values go: into B, or roots into both",
      "left",
    ),
    projectionSeed: option(seed, "the seed of the first layer's P", 42),
    projections: option(oneOf("stored", "regenerated"), "whether P is kept, or made at every use", "stored"),
    initialization: option(oneOf("zeros", "uniform"), "how v starts", "zeros"),
    dropout: option(probability, "dropout of the branch's input in training", 0),
    directions: option(made<LeadingDirections>("the result of leadingDirections"), "needed on a GPU"),
  },
  create: ({ directions, ...options }) => {
    const { rank, dimension: u, tying, dropout } = options;
    const stored = options.projections === "stored";
    const projection = (layer: number, r: number, like: Tensor): Tensor => {
      const next = mersenneTwister(options.projectionSeed + layer);
      return tensor(torchNormal(next, u * r * r, 1 / Math.sqrt(r)), {
        backend: like.backend,
        shape: [u, r, r],
      });
    };
    return {
      init: ({ model, key }) =>
        freshParams(() => {
          const places = linearPlaces(freshTargets(model.spec, options));
          const groups = new Set(places.map((_, i) => groupOf(i, places.length, tying)));
          const fresh = (group: number): Tensor =>
            options.initialization === "uniform"
              ? uniform(fold(fold(keyOf(key), "v"), `${group}`), [u], model.backend, -0.02, 0.02)
              : zeros([u], model.backend);
          return [
            ...[...groups].map((group) => [`v.${group}`, fresh(group)] as const),
            ...places.flatMap((place, layer) => {
              const found = directions?.[place.path] ?? directionsOf(matrixAt(model, place), place, rank);
              const { a, b } = factors(found, options.singularValues);
              const p = stored
                ? [[`${place.path}.frozen.p`, projection(layer, a.shape[0]!, a)] as const]
                : [];
              return [[`${place.path}.frozen.a`, a] as const, [`${place.path}.frozen.b`, b] as const, ...p];
            }),
          ];
        }),
      edits: (params, spec) => {
        const places = chooseTargets(spec, options);
        const vectors = params["v"] as Readonly<Record<string, Tensor>>;
        return places.map((place, layer) => {
          const { frozen } = paramsAt(params, place.path) as Kept;
          const v = vectors[groupOf(layer, places.length, tying)]!;
          const map = along(place, v, frozen, (r) => projection(layer, r, v));
          return {
            kind: "linear",
            path: place.path,
            change: { form: "add", map, ...dropout > 0 && { dropout } },
          };
        });
      },
    };
  },
  recorded: ({ config: { directions: _, ...config } }) => config,
  // For a GPU the weights are decomposed on the host.
  prepare: async ({ model, options, seed }) => {
    const directions = await leadingDirections(model, options);
    const adapter = adapt(model, tinyLora({ ...options, directions }), seed);
    dispose(directions);
    return { adapter };
  },
  cli: { rate: 1e-2, flags: ["rank", "dimension", "dropout", "targets"] },
  published: { setting: "64 numbers per layer on q and v" },
});

/** B (Σ v_i P_i) A. */
function along(
  place: MatrixPlace,
  v: Tensor,
  { a, b, p }: Kept["frozen"],
  make: (rank: number) => Tensor,
): LinearMap {
  const [rank, u] = [a.shape[0]!, v.size];
  return madeLowRank({ ...sizesOf(place), rank }, [v, a, b, ...p === undefined ? [] : [p]], () => {
    const turn = matmul(reshape(v, [1, u]), reshape(p ?? make(rank), [u, rank * rank]));
    return { a: matmul(reshape(turn, [rank, rank]), a), b };
  });
}

function factors({ u, s, vt }: Svd, where: TinyLoraOptions["singularValues"] = "left") {
  if (where === "left") return { a: multiply(vt, 1), b: multiply(u, s) };
  const root = sqrt(s);
  return { a: multiply(vt, reshape(root, [-1, 1])), b: multiply(u, root) };
}

/**
 * Index of the v of a layer out of n: there are n (1 − tying) vectors, rounded half to even; each serves the
 * same whole number of adjacent layers, the last one also the rest.
 */
function groupOf(layer: number, n: number, tying: number): number {
  const wanted = n * (1 - tying);
  const half = wanted % 1 === 0.5;
  const groups = Math.max(1, half ? 2 * Math.round(wanted / 2) : Math.round(wanted));
  return Math.min(Math.floor(layer / Math.max(1, Math.floor(n / groups))), groups - 1);
}

function linearPlaces(places: readonly MatrixPlace[]): readonly MatrixPlace[] {
  for (const place of places) checkNotEmbedding("tiny-lora", place);
  return places;
}

/**
 * The shapes that TinyLoRA's tensors have for the layers, by path in its parameters.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig, tinyLoraShapes } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const shapes = tinyLoraShapes(spec.linears.slice(0, 1), { dimension: 13 });
 * assert.deepEqual(shapes.vectors, { 0: [13] });
 * assert.deepEqual(shapes.layers[0], { a: [2, 16], b: [16, 2], p: [13, 2, 2] });
 * ```
 */
export function tinyLoraShapes(
  places: readonly MatrixPlace[],
  options: TinyLoraOptions,
): {
  readonly vectors: Readonly<Record<number, readonly [number]>>;
  readonly layers: readonly { readonly [name in "a" | "b" | "p"]: readonly number[] }[];
} {
  const { rank, dimension, tying } = withDefaults(tinyLora, options);
  return {
    vectors: Object.fromEntries(places.map((_, i) => [groupOf(i, places.length, tying), [dimension]])),
    layers: linearPlaces(places).map((place) => {
      const { inFeatures, outFeatures } = sizesOf(place);
      const r = directionCount(place, rank);
      return { a: [r, inFeatures], b: [outFeatures, r], p: [dimension, r, r] };
    }),
  };
}
