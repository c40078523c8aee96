/**
 * PVeRA. "PVeRA: Probabilistic Vector-Based Random Matrix Adaptation", 2025, arXiv 2512.07703.
 *
 *   y = W x + b + λ_b ⊙ B z        z ~ N(μ, σ²)        [μ, log σ²] = λ_d ⊙ A x        λ_d [2r]   λ_b [out]   A [2r, in]   B [out, r]
 *
 * VeRA with a latent z whose distribution depends on x. In training z = μ + σ ε is drawn for every token;
 * otherwise z = μ, also when merging. A and B are uniform within ±√(6 / columns), drawn from a seed and
 * shared by all layers as in VeRA; λ_d starts at 0.1, λ_b at 0: the model is initially unchanged. As in PEFT
 * there is no term that pulls the distribution towards a prior.
 */
import {
  type Backend,
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  diagonalLowRank,
  fn,
  fold,
  freshTargets,
  type LinearChange,
  type LinearMap,
  type MatrixPlace,
  paramsAt,
  type Projections,
  sizesOf,
  type TargetOptions,
  type Tensor,
  tensor,
} from "../../core/mod.ts";
import { number, option, probability } from "../../core/options/mod.ts";
import { add, dropout, exp, full, matmul, multiply, normal, slice, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { mersenneTwister, torchUniform } from "../../numerics/torch_random.ts";
import { SHARED_MATRICES, veraShapes, type VeraVectors } from "./vera.ts";

/** Options of PVeRA. */
export interface PveraOptions extends TargetOptions {
  /** r, default 256. */
  readonly rank?: number;
  /** Seed of A and B, default 0. */
  readonly projectionSeed?: number;
  /**
   * Keep A and B with the adapter ("stored", default), or regenerate them at every use: no memory, much
   * slower.
   */
  readonly projections?: "stored" | "regenerated";
  /** Initial λ_d, default 0.1. */
  readonly initialD?: number;
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
}

/**
 * PVeRA as a method. Parameters: `lambdaD` [2r] and `lambdaB` [out] under each layer's path, and A and B as `frozen.a`, `frozen.b`.
 *
 * @throws {RangeError} when the rank is not a positive integer, dropout is not in [0, 1), or targets match
 * nothing.
 * @example
 * ```ts
 * import { pvera } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(pvera({ rank: 64 }).name, "pvera");
 * ```
 */
export const pvera: DefinedMethod<PveraOptions> = defineMethod<PveraOptions>({
  name: "pvera",
  summary: "VeRA with random draws around what it adds, as in a variational autoencoder.",
  facts: { parameters: "2 r + out", merges: "yes, the mean" },
  title: "PVeRA",
  options: {
    ...SHARED_MATRICES,
    initialD: option(number, "where λ_d starts", 0.1),
    dropout: option(probability, "dropout of the branch's input in training", 0),
  },
  create: (options) => {
    const stored = options.projections === "stored";
    return {
      init: ({ model: { spec, backend } }) => {
        const places = freshTargets(spec, options);
        const shared = stored ? projectionsOf(places, options, backend) : undefined;
        return freshParams(() => [
          ...places.flatMap((place) => [
            [`${place.path}.lambdaD`, full([2 * options.rank], options.initialD, backend)] as const,
            [`${place.path}.lambdaB`, zeros([sizesOf(place).outFeatures], backend)] as const,
          ]),
          ...shared === undefined ? [] : [["frozen.a", shared.a] as const, ["frozen.b", shared.b] as const],
        ]);
      },
      edits: (params, spec) => {
        const places = chooseTargets(spec, options);
        const kept = params["frozen"] as Projections | undefined;
        return places.map((place) => {
          const vectors = paramsAt(params, place.path) as VeraVectors;
          const make = (): Projections => projectionsOf(places, options, vectors.lambdaB.backend);
          const tensors = { ...vectors, ...kept };
          return {
            kind: "linear",
            path: place.path,
            change: drawn(sizesOf(place).inFeatures, tensors, make, options.dropout),
          };
        });
      },
    };
  },
  cli: { rate: 5e-3, flags: ["rank", "dropout", "targets"] },
  published: { setting: "r 256 on q and v" },
});

/** The tensors of an edit; A and B where they are stored. */
type PveraTensors = VeraVectors & Partial<Projections>;

function drawn(inFeatures: number, tensors: PveraTensors, make: () => Projections, p: number): LinearChange {
  const r = tensors.lambdaD.size / 2;
  const shared = ({ a, b }: PveraTensors): Projections =>
    a === undefined || b === undefined ? make() : { a, b };
  const mean = (t: PveraTensors): LinearMap => {
    const half = (): Projections => {
      const { a, b } = shared(t);
      return { a: slice(a, 0, 0, r), b };
    };
    return diagonalLowRank(inFeatures, slice(t.lambdaD, 0, 0, r), t.lambdaB, half, []);
  };
  return {
    form: "delta",
    reads: "input",
    delta: fn(tensors, (t, { x, train, key }) => {
      if (!train || key === undefined) return mean(t).apply(x);
      const { a, b } = shared(t);
      const dropped = dropout(x, p, fold(key, "dropout"));
      const down = matmul(dropped, slice(a, 1, 0, inFeatures), { transposeB: true });
      const both = multiply(down, t.lambdaD); // [.., 2r]
      const deviation = exp(multiply(slice(both, -1, r, 2 * r), 0.5));
      const noise = normal(fold(key, "noise"), deviation.shape, x.backend);
      const z = add(slice(both, -1, 0, r), multiply(noise, deviation));
      return multiply(matmul(z, slice(b, 0, 0, t.lambdaB.size), { transposeB: true }), t.lambdaB);
    }),
    weight: fn(tensors, (t, { weight }) => add(weight, mean(t).weight())),
  };
}

/**
 * Shapes of A [2r, in] and B [out, r] for the layers.
 *
 * @example
 * ```ts
 * import { freshModel, pveraShapes, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.deepEqual(pveraShapes(spec.linears, { rank: 4 }), { a: [8, 32], b: [32, 4] }); // as large as any needs
 * ```
 */
export function pveraShapes(
  places: readonly MatrixPlace[],
  options: PveraOptions,
): { readonly a: readonly [number, number]; readonly b: readonly [number, number] } {
  const { a: [r, inFeatures], b } = veraShapes(places, { rank: options.rank ?? 256 });
  return { a: [2 * r, inFeatures], b };
}

/** A, then B, from one stream. */
function projectionsOf(places: readonly MatrixPlace[], options: PveraOptions, backend: Backend): Projections {
  const next = mersenneTwister(options.projectionSeed ?? 0);
  const draw = (shape: readonly [number, number]): Tensor => {
    const bound = Math.sqrt(6 / shape[1]);
    return tensor(torchUniform(next, shape[0] * shape[1], -bound, bound), { backend, shape });
  };
  const { a, b } = pveraShapes(places, options);
  return { a: draw(a), b: draw(b) };
}
