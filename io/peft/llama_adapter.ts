/** Conversion between PEFT folders and LLaMA-Adapter, whose targets are attentions. */
import type { Model } from "../../core/mod.ts";
import { llamaAdapter, type LlamaAdapterOptions } from "../../methods/soft_prompts/llama_adapter.ts";
import {
  llamaAdapterTensors,
  readLlamaAdapter,
  writeLlamaAdapter,
} from "../../methods/soft_prompts/llama_adapter_peft.ts";
import type { PeftFields } from "../../methods/peft/codec.ts";
import type { MainPart } from "./folder_parts.ts";

/** The part of a folder that a config's fields describe. @throws {RangeError} when it does not fit the model. */
export function llamaAdapterOfConfig(fields: PeftFields, model: Model): MainPart {
  return llamaAdapterPart(readLlamaAdapter(fields, familyOf(model)), fields, model);
}

/** The part of a folder for an adapter's options. @throws {RangeError} when PEFT would compute something else. */
export function llamaAdapterOfOptions(options: LlamaAdapterOptions, model: Model): MainPart {
  return llamaAdapterPart(options, writeLlamaAdapter(options, model.spec, familyOf(model)), model);
}

function llamaAdapterPart(options: LlamaAdapterOptions, fields: PeftFields, { spec }: Model): MainPart {
  return {
    type: "ADAPTION_PROMPT",
    method: llamaAdapter(options),
    places: [],
    tensors: llamaAdapterTensors(options, spec),
    fields,
  };
}

const familyOf = ({ config }: Model): string => String(config["model_type"]);
