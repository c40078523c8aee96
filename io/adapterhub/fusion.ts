/** AdapterFusion of AdapterHub folders: parallel adapters, and the attention over their outputs. */
import { checkCounts, dispose, type Model, type Tree } from "../../core/mod.ts";
import { ADAPTERS_FILES } from "../../formats/adapters_config.ts";
import { ADAPTERS_COUNTS } from "../../formats/counted_fields.ts";
import { isObject } from "../../formats/strict_json.ts";
import { adapterFusion, type FusionMatrix } from "../../methods/mod.ts";
import { full } from "../../ops/mod.ts";
import { isThere } from "../adapter_folder.ts";
import { namedFolder, type NamedFolderOptions, type Naming } from "../named_folder.ts";
import { adapterModule, all, type Both, same } from "../../methods/adapterhub/layout.ts";
import type { Load, LoadedFolder, LoadedSetup } from "./loaded.ts";
import { readParams, withTensors } from "./read.ts";
import { readJson } from "../inspect_contents.ts";

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
    throw new TypeError(
      `Expected the field "adapter_names" of ${folder}/${ADAPTERS_FILES.fusionConfig} to be a list of names but found ${
        JSON.stringify(names)
      }`,
    );
  }
  const named = { ...options, what: `Cannot load the fusion "${folder}"` };
  const parent = folder.includes("/") ? folder.slice(0, folder.lastIndexOf("/")) : ".";
  const first = await namedFolder(folder, names[0], named);
  const below = await isThere(`${first}/${ADAPTERS_FILES.config}`);
  if (!below && !await isThere(`${parent}/${names[0]}/${ADAPTERS_FILES.config}`)) {
    throw new RangeError(
      `Cannot load "${folder}": it fuses the adapters ${
        names.join(", ")
      }, which lie in no folders below it or beside it`,
    );
  }
  return await fused({ folder: below ? folder : parent, model, load, named }, names, folder);
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
    const { options, tensors } = fusionOf(place, config, loaded, model);
    const method = adapterFusion({ ...options, adapters });
    const fusion = await withTensors(
      place,
      ADAPTERS_FILES.fusion,
      ADAPTERS_FILES.fusionPickle,
      (stored) => readParams(place, tensors.reads, stored, model),
    );
    const temperature: Tree = typeof options.temperature === "object"
      ? { temperature: full([1], options.temperature.from, model.backend) }
      : {};
    const params = {
      frozen: {
        ...Object.fromEntries(loaded.map(({ adapter }, i) => [names[i]!, adapter.params])),
        ...temperature,
      },
      fusion,
    };
    return {
      adapter: { name: String(config["name"]), method, params },
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
    const { fields, architecture } = config!;
    const odd = more.length > 0 || architecture !== "bottleneck" || fields["inv_adapter"] !== null ||
      fields["is_parallel"] || fields["use_gating"] || fields["ln_after"] ||
      (fields["original_ln_before"] && fields["residual_before_ln"] !== true) || !fields["original_ln_after"];
    if (odd) {
      throw new RangeError(
        `Cannot load the fusion "${place}": "${name}" is no bottleneck adapter whose branch is added to its part's output`,
      );
    }
    return fields["original_ln_before"];
  });
  if (wirings.some((wiring) => wiring !== wirings[0])) {
    throw new RangeError(`Cannot load the fusion "${place}": its adapters read different states`);
  }
}

const FUSION_FIELDS: Fields = {
  key: true,
  query: true,
  value: true,
  query_before_ln: false,
  regularization: true,
  residual_before: false,
  temperature: false,
  value_before_softmax: true,
  value_initialized: true,
  dropout_prob: null,
};

function fusionOf(
  place: string,
  config: Fields,
  loaded: readonly LoadedFolder[],
  model: Model,
): {
  readonly options: Omit<Parameters<typeof adapterFusion>[0], "adapters">;
  readonly tensors: Both;
} {
  if (!isObject(config["config"])) {
    throw new SyntaxError(`Cannot read "${place}": the fusion has no "config"`);
  }
  const fields = { ...FUSION_FIELDS, ...config["config"] };
  const unknown = Object.entries(fields).find(([name, value]) =>
    !Object.hasOwn(FUSION_FIELDS, name) && value
  );
  if (unknown !== undefined) {
    throw new RangeError(`Cannot load the fusion "${place}": its field "${unknown[0]}" is not known`);
  }
  if (fields["residual_before"]) {
    throw new RangeError(`Cannot load the fusion "${place}": residual_before is not supported`);
  }
  const matrices = (["query", "key", "value"] as const).filter((name) => fields[name]);
  if (matrices.length === 0) {
    throw new RangeError(`Cannot load the fusion "${place}": it has no query, key or value`);
  }
  const sites = new Set(
    loaded[0]!.parts.flatMap(({ method }) => method.edits(loaded[0]!.adapter.params, model.spec)).map((
      { path },
    ) => path),
  );
  return {
    options: {
      regularization: fields["regularization"] ? 0.01 : 0,
      dropout: (fields["dropout_prob"] ?? model.config["attention_probs_dropout_prob"] ?? 0) as number,
      ...fields["temperature"] ? { temperature: { from: 50, steps: 1000 } } : {},
      ...matrices.length < 3 ? { matrices: matrices as readonly FusionMatrix[] } : {},
      ...fields["query_before_ln"] ? { query: "output" as const } : {},
    },
    tensors: fusionTensors(model, sites, String(config["name"]), matrices),
  };
}

/** The attention's tensors at each place: query and key [d, d] with biases, value [d, d]. */
export function fusionTensors(
  model: Model,
  sites: ReadonlySet<string>,
  name: string,
  matrices: readonly FusionMatrix[],
): Both {
  return all(
    model.spec.sublayers.filter(({ path }) => sites.has(path)).flatMap((place) => {
      const { path, width: d } = place;
      const key = `${adapterModule(place, model)}.adapter_fusion_layer.${name}`;
      return matrices.flatMap((matrix) => [
        same(`${path}.${matrix}.weight`, `${key}.${matrix}.weight`, [d, d]),
        ...matrix === "value" ? [] : [same(`${path}.${matrix}.bias`, `${key}.${matrix}.bias`, [d])],
      ]);
    }),
  );
}
