/** LoRA and (IA)³ on parts of a fused projection, which AdapterHub stacks in one tensor: GPT-2. */
import type { LinearPlace } from "../../core/mod.ts";
import type { AdaptersFields, Architecture } from "../../formats/adapters_fields.ts";
import { fusedIa3, fusedLora, type ProjectionPart } from "../low_rank/fused_projection.ts";
import { type AdaptersPart, all, joined } from "./layout.ts";
import { alphaOf, isVera, keyOf, scaledBy } from "./lora_layer.ts";
import { FUSED } from "./kinds.ts";
import { rangeError } from "../../errors/error.ts";

/** LoRA. @throws {RangeError} for its variants, which the library does not support there. */
export function fusedLoraPart(
  places: readonly LinearPlace[],
  parts: readonly ProjectionPart[],
  architecture: Architecture,
  fields: AdaptersFields,
  name: string,
): AdaptersPart {
  if (architecture === "mtl_lora" || fields["use_dora"] || isVera(fields)) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot load "${name}": a fused projection has plain LoRA alone in the library`,
    );
  }
  const rank = fields["r"] as number;
  return {
    kind: FUSED,
    method: fusedLora({ parts, rank, alpha: alphaOf(fields), dropout: fields["dropout"] as number }),
    ...all(places.flatMap((place) => {
      const { path, inFeatures, outFeatures } = place;
      const [n, d] = [parts.length, outFeatures / 3];
      return [
        joined(
          `${keyOf(place, name)}.lora_A`,
          [n * rank, inFeatures],
          [n * rank, inFeatures],
          0,
          parts.map((part) => ({
            path: `${path}.${part}.a`,
            shape: [rank, inFeatures],
          })),
        ),
        joined(
          `${keyOf(place, name)}.lora_B`,
          [n * d, rank],
          [n * d, rank],
          0,
          parts.map((part) => ({
            path: `${path}.${part}.b`,
            shape: [d, rank],
          })),
        ),
      ];
    })),
  };
}

/** (IA)³. */
export function fusedIa3Part(
  places: readonly LinearPlace[],
  parts: readonly ProjectionPart[],
  fields: AdaptersFields,
  name: string,
): AdaptersPart {
  return {
    kind: FUSED,
    method: fusedIa3({ parts }),
    ...all(places.map((place) => {
      const d = place.outFeatures / 3;
      const n = parts.length * d;
      return scaledBy(
        fields["alpha"] as number,
        joined(
          `${keyOf(place, name)}.lora_B`,
          [n, 1],
          [n],
          0,
          parts.map((part) => ({
            path: `${place.path}.${part}.l`,
            shape: [d],
          })),
        ),
      );
    })),
  };
}
