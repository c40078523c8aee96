/**
 * AdaLoRA in PEFT folders: `lora_A` [r, in], `lora_E` [r, 1] and `lora_B` [out, r] below the layer's path,
 * without ".weight". With `rank_pattern`, lists of which of the `init_r` triplets remain, only those are
 * stored; s keeps `init_r`. The field `r` is ignored. PEFT's lists say which triplets remain; our
 * `rankPattern` says how many, since only those are stored.
 */
import type { Filled } from "../../core/options/mod.ts";
import { byPattern, type Json, type MatrixPlace, sizesOf } from "../../core/mod.ts";
import { adalora, type AdaloraOptions } from "./adalora.ts";
import { loraPeft } from "./lora_peft.ts";
import { numberField, type PeftCodec, type PeftFields, type PeftTensor, wrong } from "../peft/codec.ts";
import { peftLayer, withDefaults } from "../peft/layers.ts";

/**
 * Codec of `peft_type` "ADALORA".
 *
 * @example
 * ```ts
 * import { adaloraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const options = adaloraPeft.read({ ...adaloraPeft.fields, init_r: 16, total_step: 1000 });
 * assert.equal(adaloraPeft.write(options)["init_r"], 16);
 * ```
 */
export const adaloraPeft: PeftCodec<AdaloraOptions> = {
  type: "ADALORA",
  fields: {
    ...loraPeft.fields,
    rank_pattern: null,
    target_r: 8,
    init_r: 12,
    tinit: 0,
    tfinal: 0,
    deltaT: 1,
    beta1: 0.85,
    beta2: 0.85,
    orth_reg_weight: 0.5,
    total_step: null,
  },
  biases: "lora_only",
  refused: {
    ...loraPeft.refused,
    target_parameters: "adapters on parameters by name, which PEFT has for LoRA alone",
    use_rslora: "rank-stabilised AdaLoRA",
    lora_bias: "a bias on the branch",
    alpha_pattern: "a scaling of its own for some layers",
  },
  read: (fields) => {
    const rankPattern = countsOf(fields["rank_pattern"] ?? null);
    const totalSteps = fields["total_step"] ?? null;
    return {
      rank: numberField(fields, "init_r"),
      targetRank: numberField(fields, "target_r"),
      alpha: numberField(fields, "lora_alpha"),
      dropout: numberField(fields, "lora_dropout"),
      orthogonality: numberField(fields, "orth_reg_weight"),
      initialSteps: numberField(fields, "tinit"),
      finalSteps: numberField(fields, "tfinal"),
      interval: numberField(fields, "deltaT"),
      beta1: numberField(fields, "beta1"),
      beta2: numberField(fields, "beta2"),
      ...totalSteps !== null && { totalSteps: numberField(fields, "total_step") },
      ...rankPattern && { rankPattern },
    };
  },
  write: (given) => {
    const options = withDefaults(adalora, given);
    const { rank, initialSteps, finalSteps } = options;
    return {
      init_r: rank,
      target_r: options.targetRank ?? 8, // PEFT has one always
      lora_alpha: options.alpha ?? rank,
      lora_dropout: options.dropout,
      orth_reg_weight: options.orthogonality,
      tinit: initialSteps,
      tfinal: finalSteps,
      deltaT: options.interval,
      beta1: options.beta1,
      beta2: options.beta2,
      // PEFT refuses a config without it, even for a finished adapter.
      total_step: options.totalSteps ?? initialSteps + finalSteps + 1,
      rank_pattern: listsOf(options.rankPattern, rank),
    };
  },
  method: adalora,
  tensors: (places, given) => {
    const options = withDefaults(adalora, given);
    return places.flatMap((place) => tensorsOf(place, options));
  },
};

function tensorsOf(place: MatrixPlace, options: Filled<AdaloraOptions>): readonly PeftTensor[] {
  const { path } = peftLayer("AdaLoRA", place, "with Conv1D");
  const { inFeatures, outFeatures } = sizesOf(place);
  const r = byPattern(options.rankPattern, path, options.rank);
  return [
    { path: `${path}.a`, key: `${path}.lora_A`, shape: [r, inFeatures] },
    { path: `${path}.e`, key: `${path}.lora_E`, shape: [r, 1] },
    { path: `${path}.b`, key: `${path}.lora_B`, shape: [outFeatures, r] },
  ];
}

/** How many triplets each layer has, by its path. */
function countsOf(lists: Json): Readonly<Record<string, number>> | undefined {
  if (lists === null) return undefined;
  if (typeof lists !== "object" || Array.isArray(lists)) {
    return wrong("rank_pattern", "lists by layer", lists);
  }
  return Object.fromEntries(
    Object.entries(lists).map(([name, list]) => {
      if (!Array.isArray(list) || !list.every((kept) => typeof kept === "boolean")) {
        return wrong("rank_pattern", "lists of true and false by layer", lists);
      }
      return [name.replace(/\.lora_E$/, ""), list.filter((kept) => kept).length];
    }),
  );
}

function listsOf(counts: AdaloraOptions["rankPattern"], rank: number): PeftFields | null {
  return counts === undefined ? null : Object.fromEntries(
    Object.entries(counts).map(([path, n]) => [
      `${path}.lora_E`,
      Array.from({ length: rank }, (_, i) => i < n),
    ]),
  );
}
