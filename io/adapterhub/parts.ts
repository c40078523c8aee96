/** Conversion of the configurations of an AdapterHub folder to the parts of an adapter. */
import type { Model } from "../../core/mod.ts";
import type { AdaptersConfig, AdaptersFolder } from "../../formats/adapters_config.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import type { AdaptersForm } from "../../methods/adapterhub/form.ts";
import type { AdaptersPart } from "../../methods/adapterhub/layout.ts";
import { HUB_FORMS } from "../../methods/index.ts";

/** The parts that one configuration describes. @throws {RangeError} when the model cannot have them. */
export function partsOf(
  config: AdaptersConfig,
  model: Model,
  folder: Pick<AdaptersFolder, "name" | "modelClass">,
  stored: ReadonlyMap<string, StoredTensor>,
): readonly AdaptersPart[] {
  return formOf(config).read(config, model, folder, stored);
}

/** Configurations of versions before 1.1 as those computed. */
export function asTrained(folder: AdaptersFolder): AdaptersFolder {
  const version = /^adapters\.(\d+)\.(\d+)/.exec(folder.version);
  const old = version !== null && (version[1] === "0" || (version[1] === "1" && version[2] === "0"));
  if (!old) return folder;
  return { ...folder, configs: folder.configs.map((config) => formOf(config).asTrained?.(config) ?? config) };
}

const formOf = ({ architecture }: AdaptersConfig): AdaptersForm =>
  HUB_FORMS.find(({ architectures }) => architectures.includes(architecture))!;
