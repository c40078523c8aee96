/**
 * WaveFT. Bilican et al. 2025, "Exploring Sparsity for Parameter Efficient Fine Tuning Using Wavelets", arXiv 2505.12532.
 *
 *   y = W x + b + λ F⁻¹(S) x        S [out, in]: c at n positions, zero elsewhere        F⁻¹: one level of wavelet synthesis
 *
 * S is divided into quarters, coarse or detail along rows and columns. Each coefficient adds the outer
 * product of two filters of length L (Haar's: 2) to ΔW. The assignment of filters to quarters follows PEFT:
 * the upper right one details along columns of ΔW. The positions are the first n of PyTorch's `randperm(out ·
 * in)` for a seed, as in PEFT; where L > 2 the coefficients are in the middle of the larger S that the
 * synthesis needs. c starts at zero, so the model is initially unchanged. "none" uses S itself, as SHiRA
 * does.
 */
import {
  type Backend,
  byPattern,
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  fold,
  freshTargets,
  key as keyOf,
  type MatrixPlace,
  paramsAt,
  scattered,
  type ScatteredSizes,
  sizesOf,
  type Spread,
  type TargetOptions,
  type Tensor,
  tensor,
} from "../../core/mod.ts";
import { type Filled, number, oneOf, option, seed } from "../../core/options/mod.ts";
import { mersenneTwister, torchRandperm } from "../../numerics/torch_random.ts";
import { coefficientAt, scalingFilter, type Wavelet } from "../../numerics/wavelets.ts";
import { integers, normal, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { TARGETS } from "../shared/target_options.ts";
import {
  atMost,
  frequenciesOf,
  FREQUENCY_PATTERN,
  frequencySchema,
  publishedFrequencies,
} from "./frequencies.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of WaveFT. */
export interface WaveFtOptions extends TargetOptions {
  /** n, default 2592. */
  readonly frequencies?: number;
  /** n by pattern matching the end of the path; the first match applies. Only with the "equal" allocation. */
  readonly frequencyPattern?: Readonly<Record<string, number>> | undefined;
  /** The same n in each layer ("equal", default), or n on average, in proportion to the layers' sizes. */
  readonly allocation?: "equal" | "proportional";
  /** λ, default 25. */
  readonly scale?: number;
  /** Which wavelet, default Haar's, "db1"; or none at all. */
  readonly wavelet?: Wavelet | "none";
  /** Seed of the positions, default 777. */
  readonly positionSeed?: number;
  /** Coefficients of zero ("zeros", default) or N(0, 0.0001) ("normal"). */
  readonly initialization?: "zeros" | "normal";
}

/**
 * WaveFT as a method. Parameters: `spectrum` [n] under each layer's path.
 *
 * @throws {RangeError} when n is not a positive integer or exceeds a layer's elements, or targets match
 * nothing.
 * @example
 * ```ts
 * import { waveft } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(waveft({ frequencies: 200, wavelet: "db2" }).name, "waveft");
 * ```
 */
export const waveft: DefinedMethod<WaveFtOptions> = defineMethod<WaveFtOptions>({
  name: "waveft",
  summary: "Trains a few wavelet coefficients of each weight's update.",
  facts: { parameters: "n a layer", merges: "yes" },
  title: "WaveFT",
  options: {
    ...TARGETS,
    frequencies: option(frequencySchema, "n, how many coefficients a layer has", 2592),
    frequencyPattern: FREQUENCY_PATTERN,
    allocation: option(
      oneOf("equal", "proportional"),
      "the same n in each layer, or n on average by the layers' sizes",
      "equal",
    ),
    scale: option(number, "λ, by which the update is multiplied", 25),
    wavelet: option(oneOf("db1", "db2", "db3", "coif1", "none"), "which wavelet, or none at all", "db1"),
    positionSeed: option(seed, "the seed of the coefficients' positions", 777),
    initialization: option(oneOf("zeros", "normal"), "how the coefficients start", "zeros"),
  },
  create: (options) => {
    const { frequencyPattern, allocation, wavelet, scale, positionSeed, initialization } = options;
    if (frequencyPattern !== undefined && allocation === "proportional") {
      throw rangeError(
        "INVALID_ARGUMENT",
        "Cannot use frequencyPattern with a proportional allocation: it says what each layer has",
      );
    }
    const filter = wavelet === "none" ? [1] : scalingFilter(wavelet);
    return {
      init: ({ model, key }) =>
        freshParams(() =>
          waveftCounts(freshTargets(model.spec, options), options).map(([{ path }, n]) => {
            const start = initialization === "normal"
              ? normal(fold(keyOf(key), path), [n], model.backend, 0.01)
              : zeros([n], model.backend);
            return [`${path}.spectrum`, start] as const;
          })
        ),
      edits: (params, spec) =>
        chooseTargets(spec, options).map((place) => {
          const { spectrum } = paramsAt(params, place.path) as { readonly spectrum: Tensor };
          const { inFeatures, outFeatures } = sizesOf(place);
          const sizes = { outFeatures, inFeatures, each: filter.length * filter.length };
          const spread = (): Spread => {
            const next = mersenneTwister(positionSeed);
            const chosen = torchRandperm(next, outFeatures * inFeatures, spectrum.size);
            return synthesis(chosen, filter, sizes, spectrum.backend);
          };
          const map = scattered(spectrum, sizes, scale, spread);
          return { kind: "linear", path: place.path, change: { form: "add", map } };
        }),
    };
  },
  cli: {
    rate: 1e-3,
    flags: ["dimension", "targets"],
    options: ({ dimension }, _, places) => ({ frequencies: dimension ?? atMost(2592, places) }),
  },
  published: publishedFrequencies(2592),
});

/**
 * n for each of the layers. "proportional": its share of n times the number of layers, rounded half to even,
 * at least 1.
 *
 * @throws {RangeError} when a layer has fewer elements.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig, waveftCounts } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const layers = spec.linears.filter(({ path }) => /layers\.0\..*[qu].*_proj/.test(path)); // [16, 16] and [32, 16]
 * const counts = waveftCounts(layers, { frequencies: 30, allocation: "proportional" });
 * assert.deepEqual(counts.map(([, n]) => n), [20, 40]);
 * ```
 */
export function waveftCounts(
  places: readonly MatrixPlace[],
  { frequencies, frequencyPattern, allocation }:
    & Pick<Filled<WaveFtOptions>, "frequencies" | "allocation">
    & Pick<WaveFtOptions, "frequencyPattern">,
): readonly (readonly [place: MatrixPlace, n: number])[] {
  const elements = (place: MatrixPlace): number => sizesOf(place).inFeatures * sizesOf(place).outFeatures;
  const total = places.reduce((n, place) => n + elements(place), 0);
  return places.map((place) => {
    const n = allocation === "proportional"
      ? Math.max(1, roundHalfEven(elements(place) / total * (frequencies * places.length)))
      : byPattern(frequencyPattern, place.path, frequencies);
    return [place, frequenciesOf(place, n)] as const;
  });
}

function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  return x - down === 0.5 ? down + down % 2 : Math.round(x);
}

/**
 * Where coefficients at positions of S contribute in ΔW: L · L elements each; those beyond its edges are
 * ignored. A filter of length one leaves them where they are.
 */
function synthesis(
  chosen: readonly number[],
  h: readonly number[],
  { outFeatures, inFeatures, each }: ScatteredSizes,
  backend: Backend,
): Spread {
  const length = h.length;
  const g = h.map((_, t) => (t % 2 === 0 ? 1 : -1) * h[length - 1 - t]!);
  const shape = [chosen.length, each];
  const [rows, columns] = [new Int32Array(chosen.length * each), new Int32Array(chosen.length * each)];
  const factors = new Float32Array(chosen.length * each);
  chosen.forEach((at, k) => {
    const row = coefficientAt(Math.floor(at / inFeatures), outFeatures, length);
    const column = coefficientAt(at % inFeatures, inFeatures, length);
    // A position in the right half describes details along the other axis.
    const [down, across] = [column.half === "coarse" ? h : g, row.half === "coarse" ? h : g];
    for (let s = 0; s < length; s++) {
      for (let t = 0; t < length; t++) {
        const [i, j] = [row.first + s, column.first + t];
        if (i < 0 || i >= outFeatures || j < 0 || j >= inFeatures) continue;
        const element = k * each + s * length + t;
        rows[element] = i;
        columns[element] = j;
        factors[element] = down[s]! * across[t]!;
      }
    }
  });
  return {
    rows: integers(rows, backend, shape),
    columns: integers(columns, backend, shape),
    factors: tensor(factors, { backend, shape }),
  };
}
