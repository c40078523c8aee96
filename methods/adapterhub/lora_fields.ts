/** Conversion of LoRA, DoRA, VeRA and (IA)³ to AdapterHub's fields. */
import { withDefaults } from "../peft/layers.ts";
import { lookup, type Model } from "../../core/mod.ts";
import type { AdaptersFields } from "../../formats/adapters_fields.ts";
import { scalesInput } from "../rescaling/ia3.ts";
import { loraRank, loraScale } from "../low_rank/lora.ts";
import { dora, type DoraOptions } from "../low_rank/dora.ts";
import { fusedIa3, fusedLora, type FusedLoraOptions } from "../low_rank/fused_projection.ts";
import type { LoraOptions } from "../low_rank/lora.ts";
import { vera, type VeraOptions } from "../low_rank/vera.ts";
import { FEED_FORWARD_ROLES } from "./lora.ts";
import { type Component, leftOut, refuse } from "./components.ts";

/** Which layers are adapted, by the library's names. */
function places(component: Component, leaf: string, model: Model): AdaptersFields {
  const linears = model.spec.linears.filter(({ layer }) => layer !== undefined);
  const held = linears.filter(({ path }) => lookup(component.params, `${path}.${leaf}`) !== undefined);
  if (held.length === 0) refuse(component, "none of its parameters stands at a layer of a block");
  const names = FEED_FORWARD_ROLES[model.architecture.name] ?? FEED_FORWARD_ROLES["other"]!;
  const has = (role: string): boolean => held.some((place) => place.role === role);
  const known = ["query", "key", "value", names.intermediate_lora, names.output_lora];
  const odd = held.find(({ role }) => !known.includes(role));
  if (odd !== undefined) {
    refuse(
      component,
      `it adapts "${odd.path}", but the library knows query, key, value and the feed-forward part's ${
        known.slice(3).join(" and ")
      }`,
    );
  }
  const roles = held.map(({ role }) => role);
  const wanted = linears.filter(({ role }) => (roles as readonly string[]).includes(role));
  const matrices = [["q", "query"], ["k", "key"], ["v", "value"]].filter(([, role]) => has(role!)).map((
    [q],
  ) => q!);
  return {
    selfattn_lora: matrices.length > 0,
    ...matrices.length > 0 && { attn_matrices: matrices },
    intermediate_lora: has(names.intermediate_lora),
    output_lora: has(names.output_lora),
    leave_out: leftOut(component, wanted, model),
  };
}

/** The fields of LoRA and DoRA. */
export function loraFields(component: Component, options: DoraOptions, model: Model): AdaptersFields {
  const { dropout, bias, branchBias, decomposition } = withDefaults(dora, options);
  if (bias !== "none" || branchBias) refuse(component, "the library trains no biases with it");
  const fields = places(component, "a", model);
  const held = model.spec.linears.filter(({ path }) => lookup(component.params, `${path}.a`) !== undefined);
  const { rank, scale } = uniform(component, held.map(({ path }) => path), options);
  if (component.gate !== undefined && scale !== 1) {
    refuse(component, "under a gate there is no factor: alpha as the rank");
  }
  const isDora = component.method === "dora";
  if (isDora && decomposition === "paper" && (scale !== 1 || held.some((place) => place.bias))) {
    refuse(component, 'it scales biases and leaves α out of the norm: decomposition "adapterHub"');
  }
  return {
    ...fields,
    r: rank,
    alpha: component.gate === undefined ? scale * rank : rank,
    dropout,
    ...isDora && { use_dora: true },
  };
}

/** The common rank and factor of all layers. */
function uniform(
  component: Component,
  paths: readonly string[],
  options: LoraOptions,
): { readonly rank: number; readonly scale: number } {
  const all = paths.map((path) => ({ rank: loraRank(path, options), scale: loraScale(path, options) }));
  const first = all[0]!;
  const i = all.findIndex(({ rank, scale }) => rank !== first.rank || scale !== first.scale);
  return i < 0
    ? first
    : refuse(component, `it has one rank and factor for all layers, and "${paths[i]}" has others`);
}

/** The fields of VeRA. */
export function veraFields(component: Component, options: VeraOptions, model: Model): AdaptersFields {
  const { rank, dropout, projections, initialD, initialB } = withDefaults(vera, options);
  if (projections !== "stored") refuse(component, 'it keeps the projections: projections "stored"');
  const { alpha = rank } = options;
  if (component.gate !== undefined && alpha !== rank) {
    refuse(component, "under a gate there is no factor: alpha as the rank");
  }
  return {
    ...places(component, "lambdaD", model),
    r: rank,
    alpha: component.gate === undefined ? alpha : rank,
    dropout,
    vera_d: initialD,
    vera_b: initialB,
    init_weights: "vera",
  };
}

/** The fields of (IA)³. */
export function ia3Fields(component: Component, model: Model): AdaptersFields {
  const held = model.spec.linears.filter(({ path }) => lookup(component.params, `${path}.l`) !== undefined);
  const inner = held.find((place) => scalesInput(place, component.options));
  if (inner !== undefined) {
    refuse(component, `it scales outputs alone, but "${inner.path}" has its input scaled: feedForward []`);
  }
  return { ...places(component, "l", model), ...SCALE };
}

const SCALE = { r: 1, alpha: 1, composition_mode: "scale", init_weights: "ia3" } as const;

/** The fields of LoRA and (IA)³ on parts of a fused projection. */
export function fusedFields(component: Component, options: FusedLoraOptions, model: Model): AdaptersFields {
  const isLora = component.method === "fused-lora";
  const { rank, alpha = rank, dropout, parts } = withDefaults(isLora ? fusedLora : fusedIa3, options);
  if (component.gate !== undefined && alpha !== rank) {
    refuse(component, "under a gate there is no factor: alpha as the rank");
  }
  const order = ["query", "key", "value"] as const;
  return {
    selfattn_lora: true,
    attn_matrices: order.filter((part) => parts.includes(part)).map((part) => part[0]!),
    leave_out: leftOut(component, model.spec.linears.filter(({ role }) => role === "qkv"), model),
    ...isLora ? { r: rank, alpha, dropout } : SCALE,
  };
}
