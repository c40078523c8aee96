/**
 * RandLoRA. Albert et al. 2025, "RandLoRA: Full-Rank Parameter-Efficient Fine-Tuning of Large Models", arXiv 2502.00987,
 * section 4.
 *
 *   y = W x + b + s Σ_j B_j Λ_j A Γ_j x        B_j [max, r]   Λ_j [r]   A [r, min]   Γ_j [min]        s = α/r
 *
 * for in ≤ out; otherwise the transposed sum. n = ⌈min / r⌉ terms make the rank full. A and the B_j are
 * random, frozen and shared by all layers, which use their first columns and rows. Λ starts at zero and Γ at
 * 1 / max(n, min): the model is initially unchanged. Term j uses columns j, n + j, 2n + j, … of the n r
 * columns of B [max, n, r], as in PEFT.
 */
import {
  type Backend,
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  fold,
  freshTargets,
  type Key,
  key as keyOf,
  type LinearMap,
  madeLowRank,
  type MatrixPlace,
  paramsAt,
  type Projections,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { bounded, count, number, oneOf, option, probability, seed } from "../../core/options/mod.ts";
import { full, multiply, normal, reshape, slice, transpose, zeros } from "../../ops/mod.ts";
import { randomBases } from "./random_bases.ts";
import { TARGETS } from "../shared/target_options.ts";
import { freshParams } from "../shared/initial_factors.ts";

/** Options of RandLoRA. */
export interface RandLoraOptions extends TargetOptions {
  /** r, default 32. A smaller r gives more parameters. */
  readonly rank?: number;
  /** α, default 20 r. */
  readonly alpha?: number | undefined;
  /**
   * Entries of A and B: uniform (default), or −1, 0 and 1 with one in 3 ("sparse") or one in √min
   * ("verySparse") nonzero.
   */
  readonly bases?: "uniform" | "sparse" | "verySparse";
  /** Seed of A and B, default 0. */
  readonly projectionSeed?: number;
  /**
   * Keep A and B with the adapter ("stored", default), or regenerate them at every use: no memory, much
   * slower.
   */
  readonly projections?: "stored" | "regenerated";
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
  /** Λ zero (default), or normal with Γ = 1 / max(in, out) ("normal"). */
  readonly initialization?: "zeros" | "normal";
}

/** One layer's scales: lambda [r, n], gamma [n, min]. */
export type RandLoraScales = { readonly lambda: Tensor; readonly gamma: Tensor };

/**
 * RandLoRA as a method. Parameters: `lambda` and `gamma` under each layer's path, and A and B as `frozen.a`, `frozen.b`.
 *
 * @throws {RangeError} when the rank is not a positive integer, dropout is not in [0, 1), or targets match
 * nothing.
 * @example
 * ```ts
 * import { randlora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(randlora({ rank: 16, bases: "sparse" }).name, "randlora");
 * ```
 */
export const randlora: DefinedMethod<RandLoraOptions> = defineMethod<RandLoraOptions>({
  name: "randlora",
  summary: "Updates of full rank from scaled sums of fixed random matrices.",
  facts: { parameters: "n (r + min(in, out)), n = ⌈min(in, out) / r⌉", merges: "yes" },
  title: "RandLoRA",
  options: {
    ...TARGETS,
    rank: option(
      bounded(count, "drawnRank"),
      "r, the rank of a term; a smaller one gives more parameters",
      32,
    ),
    alpha: option(number, "α, over r; by default 20 r"),
    bases: option(oneOf("uniform", "sparse", "verySparse"), "entries of A and B", "uniform"),
    projectionSeed: option(seed, "the seed of A and B", 0),
    projections: option(
      oneOf("stored", "regenerated"),
      "whether A and B are kept with the adapter, or made anew at every use: no memory, much slower",
      "stored",
    ),
    dropout: option(probability, "dropout of the branch's input in training", 0),
    initialization: option(oneOf("zeros", "normal"), "whether Λ starts at zero, or normal", "zeros"),
  },
  create: (options) => {
    const r = options.rank;
    const stored = options.projections === "stored";
    return {
      init: ({ model, key }) => {
        const places = freshTargets(model.spec, options);
        const shared = stored
          ? randomBases(randLoraShapes(places, options), options, model.backend)
          : undefined;
        return freshParams(() => [
          ...places.flatMap((place) => {
            const { lambda, gamma } = fresh(place, options, fold(keyOf(key), place.path), model.backend);
            return [[`${place.path}.lambda`, lambda] as const, [`${place.path}.gamma`, gamma] as const];
          }),
          ...shared === undefined ? [] : [["frozen.a", shared.a] as const, ["frozen.b", shared.b] as const],
        ]);
      },
      edits: (params, spec) => {
        const places = chooseTargets(spec, options);
        const kept = params["frozen"] as Projections | undefined;
        return places.map((place) => {
          const scales = paramsAt(params, place.path) as RandLoraScales;
          const bases = (): Projections =>
            kept ?? randomBases(randLoraShapes(places, options), options, scales.lambda.backend);
          const map = fullRank(place, scales, bases, kept, (options.alpha ?? 20 * r) / r);
          return {
            kind: "linear",
            path: place.path,
            change: { form: "add", map, ...options.dropout && { dropout: options.dropout } },
          };
        });
      },
    };
  },
  cli: { rate: 1e-4, flags: ["rank", "alpha", "dropout", "targets"] },
  published: { setting: "r 32 on q and v" },
});

function fullRank(
  place: MatrixPlace,
  { lambda, gamma }: RandLoraScales,
  bases: () => Projections,
  stored: Projections | undefined,
  scale: number,
): LinearMap {
  const { inFeatures, outFeatures } = sizesOf(place);
  const [r, n] = lambda.shape as readonly [number, number];
  const [min, max] = [gamma.shape[1]!, Math.max(inFeatures, outFeatures)];
  const tensors = [lambda, gamma, ...stored === undefined ? [] : [stored.a, stored.b]];
  return madeLowRank({ inFeatures, outFeatures, rank: r * n }, tensors, () => {
    const { a, b } = bases();
    const base = reshape(slice(a, 1, 0, min), [r, 1, min]);
    const scaled = multiply(
      multiply(base, reshape(multiply(lambda, scale), [r, n, 1])),
      reshape(gamma, [1, n, min]),
    );
    const narrow = reshape(scaled, [r * n, min]); // s Λ_j A Γ_j, row by row of A
    const wide = reshape(slice(slice(b, 0, 0, max), 1, 0, n), [max, n * r]);
    return inFeatures === min ? { a: narrow, b: wide } : { a: transpose(wide), b: transpose(narrow) };
  });
}

/**
 * Shapes of A and B for the layers: A [r, min], B [max, n, r] of the largest input and the largest output.
 *
 * @example
 * ```ts
 * import { freshModel, randLoraShapes, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const shapes = randLoraShapes(spec.linears, { rank: 6 }); // the largest are 32 and 32
 * assert.deepEqual(shapes, { a: [6, 32], b: [32, 6, 6] });
 * ```
 */
export function randLoraShapes(
  places: readonly MatrixPlace[],
  options: RandLoraOptions,
): { readonly a: readonly [number, number]; readonly b: readonly [number, number, number] } {
  const r = options.rank ?? 32;
  const sizes = places.map(sizesOf);
  const [i, o] = [Math.max(...sizes.map((s) => s.inFeatures)), Math.max(...sizes.map((s) => s.outFeatures))];
  const min = Math.min(i, o);
  return { a: [r, min], b: [Math.max(i, o), Math.ceil(min / r), r] };
}

/**
 * Shapes of a layer's scales: λ [r, n], γ [n, min].
 *
 * @example
 * ```ts
 * import { freshModel, randLoraScaleShapes, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const shapes = randLoraScaleShapes(spec.linears[0]!, { rank: 6 }); // of 16 · 16
 * assert.deepEqual(shapes, { lambda: [6, 3], gamma: [3, 16] });
 * ```
 */
export function randLoraScaleShapes(
  place: MatrixPlace,
  options: RandLoraOptions,
): { readonly lambda: readonly [number, number]; readonly gamma: readonly [number, number] } {
  const { inFeatures, outFeatures } = sizesOf(place);
  const [r, min] = [options.rank ?? 32, Math.min(inFeatures, outFeatures)];
  const n = Math.ceil(min / r);
  return { lambda: [r, n], gamma: [n, min] };
}

function fresh(place: MatrixPlace, options: RandLoraOptions, key: Key, backend: Backend): RandLoraScales {
  const { lambda, gamma } = randLoraScaleShapes(place, options);
  const { inFeatures, outFeatures } = sizesOf(place);
  return options.initialization === "normal"
    ? {
      lambda: normal(key, lambda, backend),
      gamma: full(gamma, 1 / Math.max(inFeatures, outFeatures), backend),
    }
    : { lambda: zeros(lambda, backend), gamma: full(gamma, 1 / Math.max(...gamma), backend) };
}
