/** LoRA, DoRA, VeRA, MTL-LoRA and (IA)³ between AdapterHub folders and methods. */
import { at, gated, type LinearPlace, type Model, type OptionValue, sizesOf } from "../../core/mod.ts";
import type { AdaptersFields, Architecture } from "../../formats/adapters_fields.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import { sentenceGate } from "../hybrids/sentence_gate.ts";
import { dora } from "../low_rank/dora.ts";
import type { ProjectionPart } from "../low_rank/fused_projection.ts";
import { lora } from "../low_rank/lora.ts";
import { vera, type VeraOptions } from "../low_rank/vera.ts";
import { ia3 } from "../rescaling/ia3.ts";
import { blocksWithout, exceptThose } from "./bottleneck.ts";
import { fusedIa3Part, fusedLoraPart } from "./fused.ts";
import { type AdaptersPart, all, gate, joined, prefixed, same } from "./layout.ts";
import { alphaOf, isVera, keyOf, scaledBy } from "./lora_layer.ts";
import { onlyBlocks } from "./only_blocks.ts";
import { isDiagonal, productTensors, taskTensors, veraTensors } from "./vera.ts";
import { FUSED, LORA } from "./kinds.ts";
import { rangeError } from "../../errors/error.ts";

const ROLES = { q: "query", k: "key", v: "value" } as const;

/** The layer of a feed-forward part that the library means: in its Llama the two are swapped. */
export const FEED_FORWARD_ROLES: Readonly<
  Record<string, { readonly intermediate_lora: string; readonly output_lora: string }>
> = {
  llama: { intermediate_lora: "down", output_lora: "up" },
  other: { intermediate_lora: "up", output_lora: "down" },
};

/** The parts that a LoRA config describes. @throws {RangeError} when the model cannot have them. */
export function loraParts(
  architecture: Architecture,
  fields: AdaptersFields,
  model: Model,
  name: string,
  stored: ReadonlyMap<string, StoredTensor>,
): readonly AdaptersPart[] {
  const stays = blocksWithout(fields["leave_out"]!, model);
  const wanted = fields["attn_matrices"] as readonly string[];
  const odd = wanted.find((matrix) => !Object.hasOwn(ROLES, matrix));
  if (odd !== undefined) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load "${name}": attn_matrices has "${odd}", known are "q", "k" and "v"`,
    );
  }
  const names = FEED_FORWARD_ROLES[model.architecture.name] ?? FEED_FORWARD_ROLES["other"]!;
  const roles: readonly string[] = [
    ...fields["selfattn_lora"] ? wanted.map((matrix) => ROLES[matrix as keyof typeof ROLES]) : [],
    ...(["intermediate_lora", "output_lora"] as const).flatMap((name) => fields[name] ? [names[name]] : []),
  ];
  const linears = model.spec.linears.filter((place) => place.layer !== undefined && (stays?.(place) ?? true));
  const fused = fields["selfattn_lora"] && wanted.length > 0
    ? linears.filter(({ role }) => role === "qkv")
    : [];
  const places = linears.filter(({ role }) => roles.includes(role));
  if (fused.length + places.length === 0) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot load "${name}": the model has none of the layers that it changes${
        exceptThose(fields["leave_out"]!)
      }`,
    );
  }
  const gatedToo = fields["use_gating"] === true;
  const scales = fields["composition_mode"] === "scale";
  if (!scales && fields["composition_mode"] !== "add") {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load "${name}": composition_mode is ${
        JSON.stringify(fields["composition_mode"])
      }, known are "add" and "scale"`,
    );
  }
  if (scales && gatedToo) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load "${name}": a gate on (IA)³ multiplies the whole layer and is not supported`,
    );
  }
  const parts = (Object.keys(ROLES) as readonly (keyof typeof ROLES)[])
    .filter((matrix) => wanted.includes(matrix)).map((matrix) => ROLES[matrix]);
  const fusedOnes = fused.length === 0 ? [] : [
    scales
      ? fusedIa3Part(fused, parts, fields, name)
      : fusedLoraPart(fused, parts, architecture, fields, name),
  ];
  const ungated = [
    ...fusedOnes.map((part) =>
      stays === undefined ? part : { ...part, method: at(onlyBlocks(model.spec, stays), part.method) }
    ),
    ...places.length === 0 ? [] : [
      scales ? ia3Part(places, fields, name) : linearPart(architecture, places, fields, name, stored),
    ],
  ];
  return gatedToo
    ? ungated.map((part) => gatedPart(part, part.kind === FUSED ? fused : places, parts, name))
    : ungated;
}

function gatedPart(
  part: AdaptersPart,
  places: readonly LinearPlace[],
  parts: readonly ProjectionPart[],
  name: string,
): AdaptersPart {
  const gates = places.flatMap((place) => {
    const { path, inFeatures, outFeatures } = place;
    const key = `${keyOf(place, name)}.gate`;
    if (part.kind !== FUSED) return [gate(`${path}.linear`, key, inFeatures)];
    const at = (role: ProjectionPart): string =>
      `gates.${path}.linear.${["query", "key", "value"].indexOf(role) * outFeatures / 3}`;
    const n = parts.length;
    return [
      joined(
        `${key}.weight`,
        [n, inFeatures],
        [n, inFeatures],
        0,
        parts.map((role) => ({
          path: `${at(role)}.weight`,
          shape: [inFeatures, 1],
        })),
      ),
      joined(`${key}.bias`, [n], [n], 0, parts.map((role) => ({ path: `${at(role)}.bias`, shape: [1] }))),
    ];
  });
  return {
    kind: part.kind,
    method: gated(part.method, sentenceGate()),
    ...all([prefixed("of", part), ...gates]),
  };
}

function ia3Part(places: readonly LinearPlace[], fields: AdaptersFields, name: string): AdaptersPart {
  if (fields["r"] !== 1) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot load "${name}": (IA)³ with r = ${fields["r"]} is not defined`,
    );
  }
  return {
    kind: LORA,
    method: ia3({ targets: places.map(({ path }) => path), feedForward: [] }),
    ...all(places.map((place) =>
      scaledBy(
        fields["alpha"] as number,
        same(`${place.path}.l`, `${keyOf(place, name)}.lora_B`, [place.outFeatures], [place.outFeatures, 1]),
      )
    )),
  };
}

/** What VeRA's vectors start from, where it is not the paper's. */
const startOf = (
  option: "initialD" | "initialB",
  value: OptionValue | undefined,
  usual: number,
): VeraOptions => typeof value === "number" && value !== usual ? { [option]: value } : {};

/** LoRA and its variants on separate layers. */
function linearPart(
  architecture: Architecture,
  places: readonly LinearPlace[],
  fields: AdaptersFields,
  name: string,
  stored: ReadonlyMap<string, StoredTensor>,
): AdaptersPart {
  const rank = fields["r"] as number;
  const options = {
    rank,
    alpha: alphaOf(fields),
    dropout: fields["dropout"] as number,
    targets: places.map(({ path }) => path),
  };
  const kind = LORA;
  if (fields["use_dora"] && (fields["use_gating"] || places.some(({ transposed }) => transposed))) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot load "${name}": the library has no DoRA with gates, and none on a layer that is stored [in, out]`,
    );
  }
  const veraLike = isVera(fields);
  if (veraLike && architecture === "lora" && !fields["use_dora"] && isDiagonal(places, name, stored)) {
    return {
      kind,
      method: vera({
        rank,
        dropout: options.dropout,
        targets: options.targets,
        ...options.alpha !== rank && { alpha: options.alpha },
        ...startOf("initialD", fields["vera_d"], 0.1),
        ...startOf("initialB", fields["vera_b"], 0),
      }),
      ...veraTensors(places, rank, name),
    };
  }
  const method = fields["use_dora"] ? dora({ ...options, decomposition: "adapterHub" }) : lora(options);
  return {
    kind,
    method,
    ...all(places.map((place) => {
      const { inFeatures, outFeatures } = sizesOf(place);
      const { path } = place;
      const key = keyOf(place, name);
      return all([
        architecture === "mtl_lora"
          ? taskTensors(path, key, rank, inFeatures, outFeatures, fields)
          : veraLike
          ? productTensors(path, key, rank, inFeatures, outFeatures, name)
          : all([
            same(`${path}.a`, `${key}.lora_A`, [rank, inFeatures]),
            same(`${path}.b`, `${key}.lora_B`, [outFeatures, rank]),
          ]),
        ...fields["use_dora"]
          ? [same(`${path}.magnitude`, `${key}.m.weight`, [outFeatures], [outFeatures, 1])]
          : [],
      ]);
    })),
  };
}
