/**
 * LLaMA-Adapter in PEFT folders: `adaption_prompt` [1, n, d] and `adaption_gate` [1] under each attention's
 * path. PEFT has one gate per block, without tanh. It can load such a folder on Llama and Mistral; on GPT-2
 * it adds the prompt's attention after the output projection, unlike the paper, which adds it before.
 */
import { withDefaults } from "../peft/layers.ts";
import type { Model, Spec } from "../../core/mod.ts";
import { knownFields } from "../../formats/peft_config.ts";
import { type MainPart, numberField, type PeftFields, type PeftTensor, wrong } from "../peft/codec.ts";
import type { PeftForm } from "../peft/form.ts";
import { llamaAdapter, type LlamaAdapterOptions, llamaAdapterPlaces } from "./llama_adapter.ts";
import { rangeError } from "../../errors/error.ts";

/** Fields of `peft_type` "ADAPTION_PROMPT". */
export const LLAMA_ADAPTER_FIELDS: PeftFields = {
  target_modules: "self_attn",
  adapter_len: null,
  adapter_layers: null,
};

/**
 * The options.
 *
 * @throws {TypeError} when a field has the wrong kind.
 * @throws {RangeError} on a family for which PEFT lacks it or deviates from the paper.
 * @example
 * ```ts
 * import { LLAMA_ADAPTER_FIELDS, readLlamaAdapter } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const fields = { ...LLAMA_ADAPTER_FIELDS, adapter_len: 4, adapter_layers: 2 };
 * const { length, gates } = readLlamaAdapter(fields, "llama");
 * assert.deepEqual([length, gates], [4, "block"]);
 * ```
 */
export function readLlamaAdapter(fields: PeftFields, family: string): LlamaAdapterOptions {
  checkFamily("load", family);
  if (fields["target_modules"] !== "self_attn") {
    return wrong("target_modules", '"self_attn"', fields["target_modules"]);
  }
  return {
    length: numberField(fields, "adapter_len"),
    layers: numberField(fields, "adapter_layers"),
    gates: "block",
    squash: "none",
  };
}

/**
 * The fields of an adapter.
 *
 * @throws {RangeError} when PEFT would compute something else.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { writeLlamaAdapter } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { adapter_layers } = writeLlamaAdapter({ gates: "block", squash: "none" }, spec, "llama");
 * assert.equal(adapter_layers, 1);
 * assert.throws(() => writeLlamaAdapter({}, spec, "llama"), /one gate per block and no tanh/);
 * ```
 */
export function writeLlamaAdapter(
  options: LlamaAdapterOptions,
  spec: Spec,
  family: string,
): PeftFields {
  const { length, layers, gates, squash } = withDefaults(llamaAdapter, options);
  checkFamily("save", family);
  if (gates !== "block" || squash !== "none") {
    throw rangeError(
      "CANNOT_SAVE",
      'Cannot save this llama-adapter for PEFT, which has one gate per block and no tanh: train it with gates "block" and squash "none"',
    );
  }
  return {
    ...LLAMA_ADAPTER_FIELDS,
    adapter_len: length,
    adapter_layers: llamaAdapterPlaces(spec, layers).length,
  };
}

/**
 * The tensors of the folder.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { llamaAdapterTensors } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const [prompt] = llamaAdapterTensors({ length: 4, layers: 1 }, spec);
 * assert.deepEqual(prompt!.stored, [1, 4, 16]);
 * ```
 */
export function llamaAdapterTensors(
  options: LlamaAdapterOptions,
  spec: Spec,
): readonly PeftTensor[] {
  const { length, layers } = withDefaults(llamaAdapter, options);
  return llamaAdapterPlaces(spec, layers).flatMap(({ path, width }) => [
    {
      path: `${path}.prompt`,
      key: `${path}.adaption_prompt`,
      shape: [length, width],
      stored: [1, length, width],
    },
    { path: `${path}.gate`, key: `${path}.adaption_gate`, shape: [1] },
  ]);
}

function checkFamily(verb: "load" | "save", family: string): void {
  if (family === "llama" || family === "mistral") return;
  throw rangeError(
    "INVALID_ARGUMENT",
    family === "gpt2"
      ? `Cannot ${verb} LLaMA-Adapter of a GPT-2 for PEFT, which adds it behind the output projection there: the paper's goes through it`
      : `Cannot ${verb} LLaMA-Adapter of a ${family} for PEFT, which has it on llama, mistral and gpt2`,
  );
}

/** Folders of `peft_type` "ADAPTION_PROMPT", whose targets are attentions. */
export const llamaAdapterPeft: PeftForm = {
  types: ["ADAPTION_PROMPT"],
  methods: [llamaAdapter.definition],
  read: (config, model) => {
    const fields = knownFields(config, LLAMA_ADAPTER_FIELDS, {});
    return { main: part(readLlamaAdapter(fields, familyOf(model)), fields, model), fields };
  },
  write: ({ options }, model) => {
    const own = options as LlamaAdapterOptions;
    return { main: part(own, writeLlamaAdapter(own, model.spec, familyOf(model)), model), targets: {} };
  },
};

function part(options: LlamaAdapterOptions, fields: PeftFields, { spec }: Model): MainPart {
  return {
    type: "ADAPTION_PROMPT",
    method: llamaAdapter(options),
    places: [],
    tensors: llamaAdapterTensors(options, spec),
    fields,
  };
}

const familyOf = ({ config }: Model): string => String(config["model_type"]);
