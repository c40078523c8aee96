/**
 * X-LoRA in PEFT folders: the router at the root, and paths of the folders that hold the experts.
 *
 *   base_model.internal_xlora_classifier.layers.<i>.weight, .bias     i counts ReLU and dropout too: 0, 3, 6, …
 *
 * PEFT names experts "0", "1", … and raises an error on loading others. When PEFT itself saves, it drops the
 * router's layer 0, mistaking ".0." for another adapter's name: such a folder is refused. A folder saved here
 * is complete, with the experts alongside the router, and PEFT loads it.
 */
import { realpath } from "node:fs/promises";
import {
  type Adapter,
  type Json,
  type Method,
  type MethodConfig,
  type Model,
  onlyStack,
  type Spec,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { knownFields, type PeftConfig } from "../../formats/peft_config.ts";
import { flagField, numberField, type PeftFields, type PeftTensor } from "../peft/codec.ts";
import { xlora, type XloraOptions } from "./xlora.ts";
import { isThere } from "../../io/adapter_folder.ts";
import { namedFolder, type NamedFolderOptions } from "../../io/named_folder.ts";
import type { FolderParts, MainPart } from "../../io/peft/folder_parts.ts";

/** Trained experts by name. */
export type Experts = Readonly<Record<string, Adapter>>;

const FIELDS: PeftFields = {
  hidden_size: null,
  adapters: {},
  enable_softmax: true,
  enable_softmax_topk: false,
  softmax_temperature: 1,
  layerwise_scalings: false,
  top_k_lora: null,
  xlora_depth: 1,
  xlora_size: 2048,
  xlora_dropout_p: 0.2,
  use_trainable_adapters: false,
  scaling_pass_value: 0,
  global_scaling_weight: 1,
};

const ROUTER = "base_model.internal_xlora_classifier.layers";

/**
 * Possible folders of each expert of a config, the likeliest first: next to the router, the config's path, or
 * that path relative to the folder.
 */
export async function expertFolders(
  folder: string,
  { fields }: PeftConfig,
  options: NamedFolderOptions,
): Promise<readonly (readonly [name: string, folder: string])[]> {
  const adapters = fields["adapters"];
  if (typeof adapters !== "object" || adapters === null || Array.isArray(adapters)) {
    throw new TypeError(
      `Expected the field "adapters" of adapter_config.json to be folders by name but found ${
        JSON.stringify(adapters)
      }`,
    );
  }
  const found: (readonly [string, string])[] = [];
  for (const [name, path] of Object.entries(adapters as Readonly<Record<string, Json>>)) {
    found.push([name, await expertFolder(folder, name, path, options)]);
  }
  return found;
}

async function expertFolder(
  folder: string,
  name: string,
  path: Json,
  { outsideFolders = false }: NamedFolderOptions,
): Promise<string> {
  if (typeof path !== "string") {
    throw new TypeError(
      `Expected the field "adapters" of adapter_config.json to have the path of a folder for the expert "${name}" but found ${
        JSON.stringify(path)
      }`,
    );
  }
  const what = `Cannot load the expert "${name}" of "${folder}"`;
  if (/^[^/\\]+$/.test(name) && name !== "." && name !== "..") {
    const beside = `${folder}/experts/${name}`;
    if (await isThere(beside)) {
      return await namedFolder(folder, `experts/${name}`, { what, outsideFolders });
    }
  }
  const inside = await namedFolder(folder, path, { what, outsideFolders });
  if (await isThere(inside)) return inside;
  if (await isThere(path)) {
    if (outsideFolders) return path;
    // Seen from the working directory, as PEFT has it.
    return await namedFolder(folder, await realpath(path), { what });
  }
  throw new RangeError(
    `${what}: there is no folder "${path}", which its config names, and no "experts/${name}"`,
  );
}

/** The part of a folder that a config describes. @throws {RangeError} when PEFT would compute something else. */
export function xloraOfConfig(config: PeftConfig, experts: Experts, { spec }: Model): FolderParts {
  const fields = knownFields(config, FIELDS, {
    scaling_pass_value: "experts that are on in the first pass",
  });
  const topK = fields["top_k_lora"] === null ? undefined : numberField(fields, "top_k_lora");
  const options: XloraOptions = {
    experts,
    depth: numberField(fields, "xlora_depth"),
    size: numberField(fields, "xlora_size"),
    dropout: numberField(fields, "xlora_dropout_p"),
    routes: flagField(fields, "layerwise_scalings") ? "layerwise" : "shared",
    temperature: flagField(fields, "enable_softmax") ? numberField(fields, "softmax_temperature") : "none",
    ...topK !== undefined && { topK },
    chosen: flagField(fields, "enable_softmax_topk") ? "softmax" : "keep",
    scale: numberField(fields, "global_scaling_weight"),
    trains: flagField(fields, "use_trainable_adapters") ? "all" : "router",
  };
  const method = xlora(options);
  const layers = options.routes === "layerwise" ? layersOf(method, experts, spec) : 1;
  return { main: part(method, options, layers, fields, spec) };
}

/** The part of a folder for an adapter's piece. @throws {RangeError} when PEFT cannot load its experts by name. */
export function xloraOfOptions(of: Method, config: MethodConfig, params: Tree, spec: Spec): MainPart {
  const experts = expertsOf(of, params);
  const options = { ...config, experts } as XloraOptions;
  const names = Object.keys(experts);
  const odd = names.findIndex((name, i) => name !== `${i}`);
  if (odd >= 0) {
    throw new RangeError(
      `Cannot save X-LoRA with an expert "${
        names[odd]
      }" for PEFT: it calls experts by their number and fails to load other ` +
        `names; name them ${names.map((_, i) => `"${i}"`).join(", ")}`,
    );
  }
  const { temperature = 1, topK, chosen = "keep" } = options;
  const router = Object.values(params["router"] as Readonly<Record<string, { readonly weight: Tensor }>>);
  const out = router[router.length - 1]!.weight.shape[0]!;
  const fields: PeftFields = {
    ...FIELDS,
    hidden_size: onlyStack(spec, "xlora").width,
    adapters: Object.fromEntries(names.map((name) => [name, `experts/${name}`])),
    enable_softmax: temperature !== "none",
    softmax_temperature: temperature === "none" ? 1 : temperature,
    enable_softmax_topk: chosen === "softmax",
    top_k_lora: topK ?? null,
    layerwise_scalings: options.routes === "layerwise",
    xlora_depth: options.depth ?? 1,
    xlora_size: options.size ?? 2048,
    xlora_dropout_p: options.dropout ?? 0.2,
    use_trainable_adapters: options.trains === "all",
    global_scaling_weight: options.scale ?? 1,
  };
  return part(xlora(options), options, out / names.length, fields, spec);
}

/** The fields with the experts' folders as seen from outside. */
export function expertPaths(fields: PeftFields, folder: string): PeftFields {
  const adapters = fields["adapters"] as Readonly<Record<string, string>>;
  return {
    ...fields,
    adapters: Object.fromEntries(Object.entries(adapters).map(([name, path]) => [name, `${folder}/${path}`])),
  };
}

/** The experts inside an X-LoRA adapter, to be saved: methods by name and options alone. Gradients have none. */
export function expertsOf({ parts = {} }: Method, params: Tree): Experts {
  const held = ((params["frozen"] as Tree | undefined)?.["experts"] ?? params["experts"]) as Tree | undefined;
  return Object.fromEntries(
    Object.entries(parts).map(([name, method]) => [name, { method, params: (held?.[name] ?? {}) as Tree }]),
  );
}

/** The router alone. @throws {TypeError} when X-LoRA is part of a composition. */
export function withoutExperts(adapter: Adapter): Adapter {
  const { router } = adapter.params;
  if (adapter.method.name === "xlora" && router !== undefined) return { ...adapter, params: { router } };
  throw new TypeError(`Cannot save "${adapter.method.name}" for PEFT: a folder holds X-LoRA alone`);
}

/** Adds the experts' parameters to the router's. */
export function withExperts(config: PeftConfig, params: Tree, experts: Experts): Tree {
  const held = { experts: Object.fromEntries(Object.entries(experts).map(([name, e]) => [name, e.params])) };
  return config.fields["use_trainable_adapters"] === true
    ? { ...params, ...held }
    : { ...params, frozen: held };
}

/** @throws {RangeError} when the file's router is incomplete, as written by PEFT. */
export function checkRouter(folder: string, { main }: FolderParts, keys: ReadonlyMap<string, unknown>): void {
  const lost = main?.tensors.find(({ key }) => key.startsWith(ROUTER) && !keys.has(key));
  if (lost === undefined) return;
  throw new RangeError(
    `Cannot load "${folder}": it has no "${lost.key}". PEFT drops parts of X-LoRA's router when it saves, since it takes ".0." ` +
      "in their names for another adapter: get them with get_peft_model_state_dict before they are lost, or train it anew",
  );
}

function part(
  method: Method,
  { experts, depth = 1, size = 2048, dropout = 0.2 }: XloraOptions,
  layers: number,
  fields: PeftFields,
  spec: Spec,
): MainPart {
  const sizes = [
    onlyStack(spec, "xlora").width,
    ...Array.from({ length: depth - 1 }, () => size),
    layers * Object.keys(experts).length,
  ];
  const tensors = sizes.slice(1).flatMap((out, i): readonly PeftTensor[] => {
    const key = `${ROUTER}.${i * (dropout > 0 ? 3 : 2)}`;
    return [
      { path: `router.${i}.weight`, key: `${key}.weight`, shape: [out, sizes[i]!] },
      { path: `router.${i}.bias`, key: `${key}.bias`, shape: [out] },
    ];
  });
  return { type: "XLORA", method, places: [], tensors, fields };
}

/** The number of layers that the experts adapt, with one λ each. */
function layersOf(method: Method, experts: Experts, spec: Spec): number {
  const params = Object.fromEntries(Object.entries(experts).map(([name, e]) => [name, e.params]));
  const edits = method.edits({ router: {}, experts: params, frozen: { experts: params } }, spec);
  return edits.filter((edit) => edit.kind === "linear").length;
}
