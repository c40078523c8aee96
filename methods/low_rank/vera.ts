/**
 * VeRA. Kopiczko, Blankevoort and Asano 2023, "VeRA: Vector-based Random Matrix Adaptation", arXiv 2310.11454.
 *
 *   y = W x + b + s diag(λ_b) B diag(λ_d) A dropout(x)        A [r, in]   B [out, r]   λ_d [r]   λ_b [out]
 *
 * A and B are random, frozen and shared by all layers: one A of the widest input and one B of the widest output, cut to
 * size for each layer. Uniform in ±√(6 / columns), from PyTorch's generator at `projectionSeed`, so that they are those that
 * PEFT makes from the same seed. λ_d starts at 0.1, λ_b at 0: the model is initially unchanged. The paper has no α, and
 * s = 1; AdapterHub has s = α/r.
 */
import {
  type Backend,
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  diagonalLowRank,
  freshTargets,
  type MatrixPlace,
  paramsAt,
  type Projections,
  scaledMap,
  sizesOf,
  type TargetOptions,
  type Tensor,
  tensor,
} from "../../core/mod.ts";
import {
  bounded,
  count,
  number,
  oneOf,
  option,
  type OptionsOf,
  probability,
  seed,
} from "../../core/options/mod.ts";
import { full } from "../../ops/mod.ts";
import { TARGETS } from "../shared/target_options.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { mersenneTwister, torchUniform } from "../../numerics/torch_random.ts";
import { withDefaults } from "../peft/layers.ts";

/** Options of VeRA. */
export interface VeraOptions extends TargetOptions {
  /** r, default 256. */
  readonly rank?: number;
  /** Seed of A and B, default 0. */
  readonly projectionSeed?: number;
  /**
   * Keep A and B with the adapter ("stored", default), or regenerate them at every use: no memory, much
   * slower.
   */
  readonly projections?: "stored" | "regenerated";
  /** α of the factor s = α/r, default the rank: no factor. */
  readonly alpha?: number | undefined;
  /** Initial λ_d, default 0.1. */
  readonly initialD?: number;
  /** Initial λ_b, default 0: the model is unchanged. */
  readonly initialB?: number;
  /** Probability of dropping an input of the branch in training, default 0. */
  readonly dropout?: number;
}

/** One layer's vectors: lambdaD [r], lambdaB [out]. */
export type VeraVectors = { readonly lambdaD: Tensor; readonly lambdaB: Tensor };

/** The options of A and B, which PVeRA shares, and of the layers that have them. */
export const SHARED_MATRICES: OptionsOf<
  TargetOptions & Pick<VeraOptions, "rank" | "projectionSeed" | "projections">
> = {
  ...TARGETS,
  rank: option(bounded(count, "drawnRank"), "r, the rank of the shared matrices", 256),
  projectionSeed: option(seed, "the seed of A and B", 0),
  projections: option(
    oneOf("stored", "regenerated"),
    "whether A and B are kept with the adapter, or made anew at every use: no memory, much slower",
    "stored",
  ),
};

/**
 * VeRA as a method. Parameters: `lambdaD` and `lambdaB` under each layer's path, and A and B as `frozen.a`, `frozen.b`.
 *
 * @throws {RangeError} when the rank is not a positive integer, dropout is not in [0, 1), or targets match
 * nothing.
 * @example
 * ```ts
 * import { vera } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(vera({ rank: 64, projections: "regenerated" }).name, "vera");
 * ```
 */
export const vera: DefinedMethod<VeraOptions> = defineMethod<VeraOptions>({
  name: "vera",
  summary: "Trains only scaling vectors around random matrices that all layers share.",
  facts: { parameters: "r + out", merges: "yes" },
  title: "VeRA",
  options: {
    ...SHARED_MATRICES,
    alpha: option(number, "α of the factor α/r; by default r, no factor"),
    initialD: option(number, "where λ_d starts", 0.1),
    initialB: option(number, "where λ_b starts; at 0 the model is unchanged", 0),
    dropout: option(probability, "dropout of the branch's input in training", 0),
  },
  create: (options) => {
    const stored = options.projections === "stored";
    return {
      init: ({ model }) => {
        const places = freshTargets(model.spec, options);
        const shared = stored ? veraProjections(places, options, model.backend) : undefined;
        return freshParams(() => [
          ...places.flatMap((place) => [
            [
              `${place.path}.lambdaD`,
              full([options.rank], options.initialD, model.backend),
            ] as const,
            [
              `${place.path}.lambdaB`,
              full([sizesOf(place).outFeatures], options.initialB, model.backend),
            ] as const,
          ]),
          ...shared === undefined ? [] : [["frozen.a", shared.a] as const, ["frozen.b", shared.b] as const],
        ]);
      },
      edits: (params, spec) => {
        const places = chooseTargets(spec, options);
        const shared = params["frozen"] as Projections | undefined;
        return places.map((place) => {
          const { lambdaD, lambdaB } = paramsAt(params, place.path) as VeraVectors;
          const projections = (): Projections => shared ?? veraProjections(places, options, lambdaD.backend);
          const tensors = shared === undefined ? [] : [shared.a, shared.b];
          const own = diagonalLowRank(sizesOf(place).inFeatures, lambdaD, lambdaB, projections, tensors);
          const s = veraScale(options);
          const map = s === 1 ? own : scaledMap(own, s);
          return {
            kind: "linear",
            path: place.path,
            change: { form: "add", map, ...options.dropout && { dropout: options.dropout } },
          };
        });
      },
    };
  },
  cli: { rate: 5e-3, flags: ["rank", "dropout", "targets"] },
  published: { setting: "r 256 on q and v" },
});

/**
 * s of VeRA.
 *
 * @example
 * ```ts
 * import { veraScale } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual([veraScale({ rank: 4 }), veraScale({ rank: 4, alpha: 8 })], [1, 2]);
 * ```
 */
export function veraScale(options: VeraOptions): number {
  const { rank, alpha = rank } = withDefaults(vera, options);
  return alpha / rank;
}

/**
 * Shapes of A and B for the layers.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig, veraShapes } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * // [32, 16], [16, 32]
 * const feedForward = spec.linears.filter(({ role }) => role === "up" || role === "down");
 * // As large as any needs.
 * assert.deepEqual(veraShapes(feedForward, { rank: 4 }), { a: [4, 32], b: [32, 4] });
 * ```
 */
export function veraShapes(
  places: readonly MatrixPlace[],
  options: VeraOptions,
): { readonly a: readonly [number, number]; readonly b: readonly [number, number] } {
  const r = options.rank ?? 256;
  const sizes = places.map(sizesOf);
  return {
    a: [r, Math.max(...sizes.map((s) => s.inFeatures))],
    b: [Math.max(...sizes.map((s) => s.outFeatures)), r],
  };
}

/**
 * A, then B, from one stream.
 *
 * @example
 * ```ts
 * import { freshModel, read, reference, smallConfig, veraProjections } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const draw = async () => read(veraProjections(spec.linears, { rank: 4 }, reference()).a);
 * assert.deepEqual(await draw(), await draw()); // the seed alone decides, as torch draws them
 * ```
 */
export function veraProjections(
  places: readonly MatrixPlace[],
  options: VeraOptions,
  backend: Backend,
): Projections {
  const next = mersenneTwister(options.projectionSeed ?? 0);
  const draw = (shape: readonly [number, number]): Tensor => {
    const bound = Math.sqrt(6 / shape[1]);
    return tensor(torchUniform(next, shape[0] * shape[1], -bound, bound), { backend, shape });
  };
  const shapes = veraShapes(places, options);
  return { a: draw(shapes.a), b: draw(shapes.b) };
}
