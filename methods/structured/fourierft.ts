/**
 * FourierFT. Gao et al. 2024, "Parameter-Efficient Fine-Tuning with Discrete Fourier Transform", arXiv 2405.03003.
 *
 *   y = W x + b + α Re(F⁻¹(S)) x        S [out, in]: c at n positions, zero elsewhere        F⁻¹ with 1 / (out · in)
 *
 * The positions are the first n of PyTorch's `randperm(out · in)` for a seed, as in PEFT, and the same in all
 * layers of one size. c starts normal, so the model is initially changed, as in the paper and PEFT; "zeros"
 * leaves it unchanged.
 */
import {
  byPattern,
  chooseTargets,
  fold,
  fourierMap,
  type Frequency,
  freshTargets,
  key as keyOf,
  type MatrixPlace,
  type Method,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { normal, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkFinite, checkPositive, checkSeed } from "../shared/option_checks.ts";
import { mersenneTwister, torchRandperm } from "../../numerics/torch_random.ts";

/** Options of FourierFT. */
export interface FourierFtOptions extends TargetOptions {
  /** n, default 1000. */
  readonly frequencies?: number;
  /** n by pattern matching the end of the path; the first match applies. */
  readonly frequencyPattern?: Readonly<Record<string, number>>;
  /** α, default 150. */
  readonly scale?: number;
  /** Seed of the positions, default 777. */
  readonly positionSeed?: number;
  /** Coefficients of N(0, 1) ("normal", default) or zero. */
  readonly initialization?: "normal" | "zeros";
}

/**
 * FourierFT as a method. Parameters: `spectrum` [n] under each layer's path.
 *
 * @throws {RangeError} when n is not a positive integer or exceeds a layer's elements, or targets match
 * nothing.
 * @example
 * ```ts
 * import { fourierft } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(fourierft({ frequencies: 200, scale: 300 }).name, "fourierft");
 * ```
 */
export function fourierft(options: FourierFtOptions = {}): Method {
  for (const n of [options.frequencies ?? 1000, ...Object.values(options.frequencyPattern ?? {})]) {
    checkPositive("frequencies", n);
  }
  checkFinite("scale", options.scale ?? 150);
  checkSeed("positionSeed", options.positionSeed ?? 777);
  return {
    name: "fourierft",
    config: { ...options },
    init: ({ model, key }) =>
      freshParams(() =>
        freshTargets(model.spec, options).map((place) => {
          const n = [frequencyCount(place, options)];
          const start = options.initialization === "zeros"
            ? zeros(n, model.backend)
            : normal(fold(keyOf(key), place.path), n, model.backend);
          return [`${place.path}.spectrum`, start] as const;
        })
      ),
    edits: (params, spec) =>
      chooseTargets(spec, options).map((place) => {
        const { spectrum } = paramsAt(params, place.path) as { readonly spectrum: Tensor };
        const { inFeatures, outFeatures } = sizesOf(place);
        const at = positions(spectrum.size, outFeatures, inFeatures, options.positionSeed ?? 777);
        const map = fourierMap(spectrum, at, outFeatures, inFeatures, options.scale ?? 150);
        return { kind: "linear", path: place.path, change: { form: "add", map } };
      }),
  };
}

/**
 * n for a layer.
 *
 * @throws {RangeError} when the layer has fewer elements.
 * @example
 * ```ts
 * import { frequencyCount, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.equal(frequencyCount(spec.linears[0]!, { frequencies: 64 }), 64);
 * // 16 · 16 elements.
 * assert.throws(() => frequencyCount(spec.linears[0]!, {}), /Cannot take 1000 frequencies/);
 * ```
 */
export function frequencyCount(place: MatrixPlace, options: FourierFtOptions): number {
  const { inFeatures, outFeatures } = sizesOf(place);
  const n = byPattern(options.frequencyPattern, place.path, options.frequencies ?? 1000);
  if (n > inFeatures * outFeatures) {
    throw new RangeError(
      `Cannot take ${n} frequencies of "${place.path}" [${outFeatures}, ${inFeatures}]: it has ${
        inFeatures * outFeatures
      } elements`,
    );
  }
  return n;
}

function positions(n: number, out: number, input: number, seed: number): readonly Frequency[] {
  return torchRandperm(mersenneTwister(seed), out * input, n)
    .map((at) => [Math.floor(at / input), at % input]);
}
