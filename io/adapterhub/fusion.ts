/** Fusions of AdapterHub folders: parallel adapters, and the attention over their outputs. */
import { checkCounts, dispose, type Model } from "../../core/mod.ts";
import { ADAPTERS_FILES } from "../../formats/adapters_config.ts";
import { ADAPTERS_COUNTS } from "../../formats/counted_fields.ts";
import { FUSE } from "../../methods/adapterhub/blocks.ts";
import { isThere } from "../adapter_folder.ts";
import { namedFolder, type NamedFolderOptions, type Naming } from "../named_folder.ts";
import type { Load, LoadedFolder, LoadedSetup } from "./loaded.ts";
import { readParams, withTensors } from "./read.ts";
import { readJson } from "../inspect_contents.ts";
import { rangeError, typeError } from "../../errors/error.ts";

type Fields = Readonly<Record<string, unknown>>;

/** A folder of a fusion alone. */
export async function loadFusion(
  folder: string,
  model: Model,
  load: Load,
  options: NamedFolderOptions,
): Promise<LoadedSetup> {
  const config = fusionConfig(folder);
  const names = config["adapter_names"] ?? String(config["name"]).split(",");
  if (!Array.isArray(names) || names.length === 0 || names.some((name) => typeof name !== "string")) {
    throw typeError(
      "FILE_INVALID",
      `Expected the field "adapter_names" of ${folder}/${ADAPTERS_FILES.fusionConfig} to be a list of names but found ${
        JSON.stringify(names)
      }`,
    );
  }
  const named = { ...options, what: `Cannot load the fusion "${folder}"` };
  const parent = folder.includes("/") ? folder.slice(0, folder.lastIndexOf("/")) : ".";
  const first = await namedFolder(folder, names[0], named);
  const nested = await isThere(`${first}/${ADAPTERS_FILES.config}`);
  if (!nested && !await isThere(`${parent}/${names[0]}/${ADAPTERS_FILES.config}`)) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot load "${folder}": it fuses the adapters ${
        names.join(", ")
      }, which lie in no folders below it or beside it`,
    );
  }
  return await fused({ folder: nested ? folder : parent, model, load, named }, names, folder);
}

function fusionConfig(folder: string): Fields {
  const path = `${folder}/${ADAPTERS_FILES.fusionConfig}`;
  const config = readJson(path);
  checkCounts(path, config, ADAPTERS_COUNTS);
  return config;
}

/** Where a fusion's adapters lie, and who loads them. */
interface Fusing {
  readonly folder: string;
  readonly model: Model;
  readonly load: Load;
  readonly named: Naming;
}

/** Adapters of folders fused; `place` is the fusion's own folder. */
export async function fused(
  { folder, model, load, named }: Fusing,
  names: readonly string[],
  place: string,
): Promise<LoadedSetup> {
  const config = fusionConfig(place);
  const loaded: LoadedFolder[] = [];
  try {
    for (const name of names) loaded.push(await load(await namedFolder(folder, name, named)));
    checkFusible(place, loaded);
    const adapters = Object.fromEntries(loaded.map(({ adapter }, i) => [names[i]!, adapter]));
    const { method, tensors, frozen } = FUSE.read(place, config, loaded[0]!, model);
    const fusion = await withTensors(
      place,
      ADAPTERS_FILES.fusion,
      ADAPTERS_FILES.fusionPickle,
      (stored) => readParams(place, tensors.reads, stored, model),
    );
    const params = {
      frozen: {
        ...Object.fromEntries(loaded.map(({ adapter }, i) => [names[i]!, adapter.params])),
        ...frozen(),
      },
      fusion,
    };
    return {
      adapter: { name: String(config["name"]), method: method(adapters), params },
      headFolder: `${folder}/${names.at(-1)}`,
    };
  } catch (error) {
    dispose(loaded.map(({ adapter }) => adapter.params));
    throw error;
  }
}

/**
 * The library runs all adapters with the input and residual of the last one, so all must be wired the same
 * way.
 */
function checkFusible(place: string, loaded: readonly LoadedFolder[]): void {
  const wirings = loaded.map(({ folder: { name, configs } }) => {
    const [config, ...more] = configs;
    const { fields } = config!;
    const odd = more.length > 0 || !Object.hasOwn(fields, "is_parallel") || fields["inv_adapter"] !== null ||
      fields["is_parallel"] || fields["use_gating"] || fields["ln_after"] ||
      (fields["original_ln_before"] && fields["residual_before_ln"] !== true) || !fields["original_ln_after"];
    if (odd) {
      throw rangeError(
        "FILE_INVALID",
        `Cannot load the fusion "${place}": "${name}" is no bottleneck adapter whose branch is added to its part's output`,
      );
    }
    return fields["original_ln_before"];
  });
  if (wirings.some((wiring) => wiring !== wirings[0])) {
    throw rangeError("FILE_INVALID", `Cannot load the fusion "${place}": its adapters read different states`);
  }
}
