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
  type DefinedMethod,
  fourierMap,
  type Frequency,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { number, oneOf, option, seed } from "../../core/options/mod.ts";
import { mersenneTwister, torchRandperm } from "../../numerics/torch_random.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { normal, zeros } from "../shared/initial.ts";
import {
  atMost,
  frequenciesOf,
  FREQUENCY_PATTERN,
  frequencySchema,
  publishedFrequencies,
} from "./frequencies.ts";

/** Options of FourierFT. */
export interface FourierFtOptions extends TargetOptions {
  /** n, default 1000. */
  readonly frequencies?: number;
  /** n by pattern matching the end of the path; the first match applies. */
  readonly frequencyPattern?: Readonly<Record<string, number>> | undefined;
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
export const fourierft: DefinedMethod<FourierFtOptions> = defineLinear<
  FourierFtOptions,
  { readonly spectrum: Tensor }
>({
  name: "fourierft",
  summary: "Trains a few Fourier coefficients of each weight's update.",
  facts: { parameters: "n a layer", merges: "yes" },
  title: "FourierFT",
  options: {
    frequencies: option(frequencySchema, "n, how many frequencies a layer has", 1000),
    frequencyPattern: FREQUENCY_PATTERN,
    scale: option(number, "α, by which the update is multiplied", 150),
    positionSeed: option(seed, "the seed of the frequencies' positions", 777),
    initialization: option(oneOf("normal", "zeros"), "how the coefficients start", "normal"),
  },
  keys: "layer",
  params: (layer, { frequencies, initialization }) => {
    const n = [frequenciesOf(layer, frequencies)];
    return { spectrum: initialization === "zeros" ? zeros(n) : normal(n) };
  },
  map: ({ spectrum }, { positionSeed, scale }, { inFeatures, outFeatures }) => {
    const at = positions(spectrum.size, outFeatures, inFeatures, positionSeed);
    return fourierMap(spectrum, at, outFeatures, inFeatures, scale);
  },
  cli: {
    rate: 1e-2,
    flags: ["dimension", "targets"],
    options: ({ dimension }, _, places) => ({ frequencies: dimension ?? atMost(1000, places) }),
  },
  published: publishedFrequencies(1000),
});

function positions(n: number, out: number, input: number, seed: number): readonly Frequency[] {
  return torchRandperm(mersenneTwister(seed), out * input, n)
    .map((at) => [Math.floor(at / input), at % input]);
}
