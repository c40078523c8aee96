/** Conversion of the configurations of an AdapterHub folder to the parts of an adapter. */
import type { Model } from "../../core/mod.ts";
import type { AdaptersConfig, AdaptersFolder } from "../../formats/adapters_config.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import { bottleneckParts } from "../../methods/adapterhub/bottleneck.ts";
import type { AdaptersPart } from "../../methods/adapterhub/layout.ts";
import { loraParts } from "../../methods/adapterhub/lora.ts";
import { prefixPart, promptPart } from "../../methods/adapterhub/prompts.ts";
import { reftPart } from "../../methods/adapterhub/reft.ts";

/** The parts that one configuration describes. @throws {RangeError} when the model cannot have them. */
export function partsOf(
  { architecture, fields }: AdaptersConfig,
  model: Model,
  { name, modelClass }: Pick<AdaptersFolder, "name" | "modelClass">,
  stored: ReadonlyMap<string, StoredTensor>,
): readonly AdaptersPart[] {
  switch (architecture) {
    case "bottleneck":
      return bottleneckParts(fields, model, name, modelClass);
    case "prefix_tuning":
      return [prefixPart(fields, model, name)];
    case "prompt_tuning":
      return [promptPart(fields, model, name)];
    case "lora":
    case "mtl_lora":
      return loraParts(architecture, fields, model, name, stored);
    case "reft":
      return [reftPart(fields, model, name)];
    default:
      return architecture satisfies never;
  }
}

/** In versions before 1.1 LoRA was trained with the factor 1 regardless of α. */
export function withTrainedScale(folder: AdaptersFolder): AdaptersFolder {
  const version = /^adapters\.(\d+)\.(\d+)/.exec(folder.version);
  const old = version !== null && (version[1] === "0" || (version[1] === "1" && version[2] === "0"));
  if (!old) return folder;
  const configs = folder.configs.map((config) =>
    config.architecture === "lora"
      ? { ...config, fields: { ...config.fields, alpha: config.fields["r"]! } }
      : config
  );
  return { ...folder, configs };
}
