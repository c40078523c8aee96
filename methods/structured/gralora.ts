/**
 * GraLoRA. Jung et al. 2025, "GraLoRA: Granular Low-Rank Adaptation for Parameter-Efficient Fine-Tuning", arXiv 2505.20355.
 *
 *   y = W x + b + s G dropout(x)        G_jn = B_jn A_nj for blocks j, n of k × k        A_nj [r/k, in/k]   B_jn [out/k, r/k]
 *
 * s = α/r. As many parameters and multiply-adds as LoRA of rank r, and a rank of up to k r. The hybrid form
 * adds a LoRA of rank h, s = α/(r + h):  y = … + s B' A' dropout(x). A is uniform in ±1/√(in/k) (A' in
 * ±1/√in), B and B' are zero, so the model is initially unchanged.
 */
import {
  type Backend,
  chooseTargets,
  fold,
  freshTargets,
  granular,
  type Key,
  key as keyOf,
  type LinearMap,
  lowRank,
  type MatrixPlace,
  type Method,
  paramsAt,
  sizesOf,
  sumOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { uniform, zeros } from "../../ops/mod.ts";
import { atPlaces, freshParams } from "../shared/initial_factors.ts";
import { checkPositive, checkProbability, checkRanks } from "../shared/option_checks.ts";

/** Options of GraLoRA. */
export interface GraloraOptions extends TargetOptions {
  /** r, default 32; a multiple of k. */
  readonly rank?: number;
  /** k, default 2; both sizes of a layer must be multiples of it. The authors use 4 from rank 64 on. */
  readonly blocks?: number;
  /** h, default 0: no additional LoRA. */
  readonly hybridRank?: number;
  /** α, default twice the rank. */
  readonly alpha?: number;
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
  /** B zero ("default") or random ("none", for tests). */
  readonly initialization?: "default" | "none";
}

/** One layer's: a [k, in/k, r], b [k, r, out/k]; hybrid, generalA [h, in] and generalB [out, h]. */
export type GraloraParams = {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly generalA?: Tensor;
  readonly generalB?: Tensor;
};

/**
 * GraLoRA as a method. Parameters under each layer's path: `a`, `b`, and with a hybrid rank `generalA`, `generalB`.
 *
 * @throws {RangeError} when a rank is out of range or not a multiple of the blocks, dropout is not in [0, 1),
 * sizes do not divide, or targets match nothing.
 * @example
 * ```ts
 * import { gralora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(gralora({ rank: 64, blocks: 4 }).name, "gralora");
 * ```
 */
export function gralora(options: GraloraOptions = {}): Method {
  const { rank = 32, blocks = 2, hybridRank = 0, alpha = 2 * rank, dropout = 0 } = options;
  checkRanks({ rank, alpha });
  checkPositive("blocks", blocks);
  if (hybridRank !== 0) checkPositive("hybridRank", hybridRank);
  checkProbability("dropout", dropout);
  if (rank % blocks !== 0) {
    throw new RangeError(`Expected rank to be a multiple of the ${blocks} blocks but found ${rank}`);
  }
  const scale = alpha / (rank + hybridRank);
  return {
    name: "gralora",
    config: { ...options },
    init: ({ model, key }) =>
      freshParams(() =>
        atPlaces(
          freshTargets(model.spec, options),
          (place) => freshFactors(place, options, fold(keyOf(key), place.path), model.backend),
        )
      ),
    edits: (params, spec) =>
      chooseTargets(spec, options).map(({ path }) => ({
        kind: "linear",
        path,
        change: {
          form: "add",
          map: updateOf(paramsAt(params, path) as GraloraParams, scale),
          ...dropout > 0 && { dropout },
        },
      })),
  };
}

/** The shapes of a layer's parameters. */
export type GraloraShapes = { readonly [name in keyof GraloraParams]: readonly number[] };

/**
 * The shapes of a layer's parameters.
 *
 * @throws {RangeError} when its sizes are not multiples of the blocks.
 * @example
 * ```ts
 * import { freshModel, graloraShapes, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.deepEqual(graloraShapes(spec.linears[0]!, { rank: 4 }), { a: [2, 8, 4], b: [2, 4, 8] }); // of [16, 16]
 * ```
 */
export function graloraShapes(place: MatrixPlace, options: GraloraOptions): GraloraShapes {
  const { inFeatures, outFeatures } = sizesOf(place);
  const { rank: r = 32, blocks: k = 2, hybridRank: h = 0 } = options;
  if (inFeatures % k !== 0 || outFeatures % k !== 0) {
    throw new RangeError(
      `Cannot put gralora of ${k} by ${k} blocks on "${place.path}" [${outFeatures}, ${inFeatures}]: sizes must be multiples of ${k}`,
    );
  }
  return {
    a: [k, inFeatures / k, r],
    b: [k, r, outFeatures / k],
    ...h > 0 && { generalA: [h, inFeatures], generalB: [outFeatures, h] },
  };
}

function updateOf({ a, b, generalA, generalB }: GraloraParams, scale: number): LinearMap {
  const blocks = granular(a, b, scale);
  return generalA && generalB ? sumOf([blocks, lowRank(generalA, generalB, scale)]) : blocks;
}

function freshFactors(
  place: MatrixPlace,
  options: GraloraOptions,
  key: Key,
  backend: Backend,
): GraloraParams {
  const shapes = graloraShapes(place, options);
  /** PyTorch's default initialization for this number of inputs. */
  const drawn = (name: keyof GraloraParams, inputs: number): Tensor =>
    uniform(fold(key, name), shapes[name]!, backend, -1 / Math.sqrt(inputs), 1 / Math.sqrt(inputs));
  const second = (name: "b" | "generalB", inputs: number): Tensor =>
    options.initialization === "none" ? drawn(name, inputs) : zeros(shapes[name]!, backend);
  const { a, generalA } = shapes;
  return {
    a: drawn("a", a![1]!),
    b: second("b", a![2]!),
    ...generalA && { generalA: drawn("generalA", generalA[1]!), generalB: second("generalB", generalA[0]!) },
  };
}
