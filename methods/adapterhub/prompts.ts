/** Prefix and prompt tuning between AdapterHub folders and methods. */
import { withDefaults } from "../peft/layers.ts";
import type { PrefixTuningOptions } from "../soft_prompts/prefix_tuning.ts";
import type { PromptTuningOptions } from "../soft_prompts/prompt_tuning.ts";
import { activationName } from "./activations.ts";
import { type Component, holds, leftOut, refuse } from "./components.ts";
import { at, type AttentionPlace, gated, type Model } from "../../core/mod.ts";
import type { AdaptersFields } from "../../formats/adapters_fields.ts";
import { keyValueGate, sentenceGate } from "../hybrids/sentence_gate.ts";
import { prefixTuning } from "../soft_prompts/prefix_tuning.ts";
import { promptTuning } from "../soft_prompts/prompt_tuning.ts";
import { activationOf } from "./activations.ts";
import { blocksWithout } from "./bottleneck.ts";
import { type AdaptersPart, all, bareKey, gate, joined, prefixed, same } from "./layout.ts";
import { PREFIX, PROMPT } from "./kinds.ts";
import { rangeError } from "../../errors/error.ts";

/** The library's names of kinds of attention. */
type PrefixKind = "encoder_prefix" | "self_prefix" | "cross_prefix";

function prefixKind(place: AttentionPlace, model: Model): PrefixKind {
  if (place.role === "cross") return "cross_prefix";
  return place.stack === "encoder" && model.spec.stacks.length > 1 ? "encoder_prefix" : "self_prefix";
}

/** The part that a prefix tuning config describes. @throws {RangeError} when the model cannot have it. */
export function prefixPart(fields: AdaptersFields, model: Model, name: string): AdaptersPart {
  const { spec } = model;
  const length = fields["prefix_length"] as number;
  const stays = blocksWithout(fields["leave_out"]!, model);
  const two = spec.stacks.length > 1;
  if (two && stays !== undefined) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot load the prefixes of "${name}" with leave_out: a model of relative distances loses them in the library then`,
    );
  }
  const attention = (place: AttentionPlace): boolean => {
    const kind = prefixKind(place, model);
    return (stays?.(place) ?? true) && (kind === "self_prefix" || fields[kind] === true);
  };
  const places = spec.attentions.filter(attention);
  const odd = places.find(({ heads, headDim }) => !two && headDim !== widthOf(model) / heads);
  if (odd !== undefined) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot load the prefixes of "${name}": the library gives heads the size width / heads, but at "${odd.path}" it is ${odd.headDim}`,
    );
  }
  const flat = fields["flat"] === true;
  const hidden = fields["bottleneck_size"] as number;
  const method = prefixTuning({
    length,
    network: flat ? "none" : { hidden, activation: activationOf(fields["non_linearity"]!) },
    dropout: fields["dropout"] as number,
    positions: "none",
    ...two && { distances: "pushed" as const },
  });
  const narrowed = places.length === spec.attentions.length ? method : at(
    { any: [{ not: { kinds: ["attention"] } }, { names: places.map(({ path }) => path) }] },
    method,
  );
  const kinds = Map.groupBy(places, (place) => prefixKind(place, model));
  const own = all([...kinds].flatMap(([kind, group]) => {
    const key = `prefix_tuning.prefix_tunings.${name}.${kind}`;
    const { keyValueHeads: g, headDim: h } = group[0]!;
    const rows = group.flatMap(({ path }) => [`${path}.k`, `${path}.v`]);
    const size = g * h;
    if (flat) {
      const n = rows.length;
      const parts = rows.map((path) => ({ path, shape: [length, g, h] }));
      return [joined(`${key}.control_trans`, [length * n * size], [length, n, size], 1, parts)];
    }
    const ours = `network.${group[0]!.stack}.${group[0]!.role}`;
    const width = widthOf(model);
    const last = (leaf: "weight" | "bias", shape: readonly number[]) =>
      joined(
        `${key}.control_trans.2.${leaf}`,
        [rows.length * size, ...shape.slice(1)],
        [rows.length * size, ...shape.slice(1)],
        0,
        rows.map((path) => ({ path: `${path}.${leaf}`, shape })),
      );
    return [
      same(`${ours}.tokens`, `${key}.wte.weight`, [length, width]),
      same(`${ours}.hidden.weight`, `${key}.control_trans.0.weight`, [hidden, width]),
      same(`${ours}.hidden.bias`, `${key}.control_trans.0.bias`, [hidden]),
      last("weight", [size, hidden]),
      last("bias", [size]),
    ];
  }));
  if (fields["use_gating"] !== true) return { kind: PREFIX, method: narrowed, ...own };
  const values = fields["shared_gating"] === true ? 1 : 2;
  const gates = places.flatMap(({ path }) => {
    const key = `${bareKey(path)}.prefix_tuning.prefix_gates.${name}`;
    const width = widthOf(model);
    return values === 1 ? [gate(`${path}.prefix`, key, width)] : [
      joined(`${key}.weight`, [2, width], [2, width], 0, [
        { path: `gates.${path}.prefix.key.weight`, shape: [width, 1] },
        { path: `gates.${path}.prefix.value.weight`, shape: [width, 1] },
      ]),
      joined(`${key}.bias`, [2], [2], 0, [
        { path: `gates.${path}.prefix.key.bias`, shape: [1] },
        { path: `gates.${path}.prefix.value.bias`, shape: [1] },
      ]),
    ];
  });
  return {
    kind: PREFIX,
    method: gated(narrowed, values === 1 ? sentenceGate() : keyValueGate()),
    ...all([prefixed("of", own), ...gates]),
  };
}

const widthOf = ({ spec }: Model): number => spec.stacks[0]!.width;

/** The part that a prompt tuning config describes: the library has it only for BERT's family. */
export function promptPart(fields: AdaptersFields, model: Model, name: string): AdaptersPart {
  if (model.architecture.name !== "bert") {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot load the prompt of "${name}": AdapterHub has prompt tuning for BERT and RoBERTa, not for ${model.config.model_type}`,
    );
  }
  const combine = fields["combine"];
  if (combine !== "prefix" && combine !== "prefix_after_bos") {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load the prompt of "${name}": combine is ${
        JSON.stringify(combine)
      }, known are "prefix" and "prefix_after_bos"`,
    );
  }
  const length = fields["prompt_length"] as number;
  return {
    kind: PROMPT,
    method: promptTuning({
      length,
      where: combine === "prefix" ? "entered" : "afterFirst",
    }),
    ...same("rows", `prompt_tuning.prompt_tunings.${name}.prompt_embedding.weight`, [length, widthOf(model)]),
  };
}

/** The fields of prefixes. */
export function prefixFields(
  component: Component,
  options: PrefixTuningOptions,
  model: Model,
): AdaptersFields {
  const { length, network, dropout, positions, distances = "true" } = withDefaults(prefixTuning, options);
  if (options.rows === "peft") refuse(component, 'its prefixes are each attention\'s own: rows "own"');
  const { spec } = model;
  const two = spec.stacks.length > 1;
  const decodes = spec.attentions.some(({ stack, role }) => stack === "decoder" && role === "self");
  if (positions === "always" || (positions === "past" && decodes)) {
    refuse(component, 'its prefixes take no positions there: positions "none"');
  }
  if (two && distances !== "pushed") {
    refuse(component, 'its prefixes move the distances of such a model: distances "pushed"');
  }
  const kinds = (stack: string, role: string): boolean =>
    spec.attentions.some((place) =>
      place.stack === stack && place.role === role && holds(component, place.path)
    );
  return {
    prefix_length: length,
    flat: network === "none",
    ...network !== "none" && {
      bottleneck_size: network.hidden,
      non_linearity: activationName(network.activation ?? "tanh"),
    },
    dropout,
    encoder_prefix: !two || kinds("encoder", "self"),
    cross_prefix: !two || kinds("decoder", "cross"),
    leave_out: two ? [] : leftOut(component, spec.attentions, model),
    shared_gating: component.gate !== "key-value-gate",
  };
}

/** The fields of a prompt. */
export function promptFields(
  component: Component,
  options: PromptTuningOptions,
  model: Model,
): AdaptersFields {
  const { length, where } = withDefaults(promptTuning, options);
  if (model.architecture.name !== "bert") {
    refuse(component, "the library has prompts for BERT and RoBERTa alone");
  }
  if (where !== "entered" && where !== "afterFirst") {
    refuse(component, 'its prompts get no positions and no norm of the embeddings: where "entered"');
  }
  return { prompt_length: length, combine: where === "entered" ? "prefix" : "prefix_after_bos" };
}
