/**
 * PEFT's `target_parameters`: LoRA on a matrix by the parameter's name instead of its layer's. It was made
 * for mixtures of experts; on an ordinary layer it is LoRA, with the factors in the matrix's own layout.
 *
 *   nn.Linear               W [out, in]      lora_A [r, in]      lora_B [out, r]     W + s B A
 *   Conv1D, nn.Embedding    W [in, out]      lora_A [r, out]     lora_B [in, r]      W + s B A: our A is their Bᵀ, our B their Aᵀ
 *
 * Names are ends of a parameter's path. No other fields choose: neither `exclude_modules` nor
 * `layers_to_transform`; and rank patterns are matched with the parameter's path, not the layer's.
 */
import { lora, type LoraOptions } from "./lora.ts";
import { byPattern, type MatrixPlace, nameMatches, type Spec } from "../../core/mod.ts";
import { namesField } from "../../formats/peft_config.ts";
import type { PeftFields, PeftTensor } from "../peft/codec.ts";
import { matrixPlaces } from "../peft/places.ts";
import { rangeError } from "../../errors/error.ts";
import { withDefaults } from "../peft/layers.ts";

/**
 * The layers whose matrices the field names.
 *
 * @throws {RangeError} when a name matches nothing, or no matrix, or PEFT does not support it with the other
 * fields.
 */
export function parameterPlaces(fields: PeftFields, spec: Spec): readonly MatrixPlace[] {
  const names = namesField("target_parameters", fields["target_parameters"]) ?? [];
  if (names.length === 0) return [];
  const places = matrixPlaces(spec);
  const weights = places.map(({ path }) => `${path}.weight`);
  const vectors = [...spec.linears, ...spec.heads, ...spec.norms].flatMap((place) => [
    ...place.kind === "norm" ? [`${place.path}.weight`] : [],
    ...place.bias ? [`${place.path}.bias`] : [],
  ]);
  for (const name of names) {
    const vector = vectors.find((path) => nameMatches(name, path));
    if (vector !== undefined) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `"${name}" of target_parameters means "${vector}", a vector: PEFT adapts matrices alone`,
      );
    }
    if (!weights.some((path) => nameMatches(name, path))) {
      throw rangeError(
        "NO_SUCH_PLACE",
        `"${name}" of target_parameters matches no parameter of the model: there are ${
          [...new Set(weights.map((path) => path.replace(/^.*\.\d+\./, "")))].join(", ")
        }`,
      );
    }
  }
  for (
    const [field, off] of [["lora_dropout", 0], ["lora_bias", false], ["use_dora", false], [
      "fan_in_fan_out",
      false,
    ]] as const
  ) {
    if (fields[field] !== off) {
      throw rangeError(
        "CANNOT_SAVE",
        `Cannot load this LORA adapter: PEFT has no target_parameters with "${field}" ${
          JSON.stringify(fields[field])
        }`,
      );
    }
  }
  return places.filter((_, i) => names.some((name) => nameMatches(name, weights[i]!)));
}

/**
 * The options with which each of these layers has the rank and α of its parameter; the first pattern that
 * matches applies.
 */
export function withParameterRanks(options: LoraOptions, places: readonly MatrixPlace[]): LoraOptions {
  const { rank, rankPattern, alphaPattern } = withDefaults(lora, options);
  const alpha = options.alpha ?? rank;
  const own = (
    pattern: Readonly<Record<string, number>> | undefined,
    otherwise: number,
  ): Readonly<Record<string, number>> =>
    Object.fromEntries(places.flatMap(({ path }) => {
      const number = byPattern(pattern, `${path}.weight`, otherwise);
      return number === byPattern(pattern, path, otherwise) ? [] : [[path.replaceAll(".", "\\."), number]];
    }));
  return {
    ...options,
    ...rankPattern && { rankPattern: { ...own(rankPattern, rank), ...rankPattern } },
    ...alphaPattern && { alphaPattern: { ...own(alphaPattern, alpha), ...alphaPattern } },
  };
}

/** The tensors of these layers as in the file. */
export function parameterTensors(
  tensors: readonly PeftTensor[],
  places: readonly MatrixPlace[],
): readonly PeftTensor[] {
  const keys = new Map(
    places.filter((place) => place.kind === "embedding" || (place.kind === "linear" && place.transposed))
      .flatMap((
        { path },
      ) => [[`${path}.a`, `${path}.lora_B.weight`], [`${path}.b`, `${path}.lora_A.weight`]]),
  );
  return tensors.map((t) => {
    const key = keys.get(t.path);
    return key === undefined ? t : { ...t, key, stored: [t.shape[1]!, t.shape[0]!], transposed: true };
  });
}
