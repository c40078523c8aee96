/** How many frequencies of a layer's matrix FourierFT and WaveFT train. */
import { chooseTargets, type MatrixPlace, type Published, sizesOf } from "../../core/mod.ts";
import { bounded, count, option, type OptionOf, type OptionSchema, record } from "../../core/options/mod.ts";
import { smallestMatrix } from "../shared/model_sizes.ts";
import { rangeError } from "../../errors/error.ts";

/** n. */
export const frequencySchema: OptionSchema<number> = bounded(count, "entries");

/** n by layer. */
export const FREQUENCY_PATTERN: OptionOf<Readonly<Record<string, number>>> = option(
  record(frequencySchema),
  "n by pattern of the layer's path; the first match applies",
);

/** n for a layer. @throws {RangeError} when it has fewer elements. */
export function frequenciesOf(place: MatrixPlace, n: number): number {
  const { inFeatures, outFeatures } = sizesOf(place);
  const all = inFeatures * outFeatures;
  if (n <= all) return n;
  throw rangeError(
    "METHOD_DOES_NOT_FIT",
    `Cannot take ${n} frequencies of "${place.path}" [${outFeatures}, ${inFeatures}]: it has ${all} elements`,
  );
}

/** So many, or as many as the smallest of some layers has. */
export const atMost = (usual: number, places: readonly MatrixPlace[]): number =>
  Math.min(usual, smallestMatrix(places));

/** The published setting of a method with so many. */
export const publishedFrequencies = (usual: number): Published => ({
  setting: ({ spec }) => `${atMost(usual, chooseTargets(spec, {}))} frequencies on q and v`,
  options: ({ spec }) => ({ frequencies: atMost(usual, chooseTargets(spec, {})) }),
});
