/**
 * X-LoRA in PEFT folders: the router at the root, and paths of the folders that hold the experts.
 *
 *   base_model.internal_xlora_classifier.layers.<i>.weight, .bias     i counts ReLU and dropout too: 0, 3, 6, …
 *
 * PEFT names experts "0", "1", … and raises an error on loading others. When PEFT itself saves, it drops the
 * router's layer 0, mistaking ".0." for another adapter's name: such a folder is refused. A folder saved here
 * is complete, with the experts alongside the router, and PEFT loads it.
 */
import {
  type Adapter,
  type ComponentMethod,
  type Method,
  type Model,
  onlyStack,
  type Spec,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { knownFields, type PeftConfig } from "../../formats/peft_config.ts";
import {
  flagField,
  type MainPart,
  numberField,
  type PeftFields,
  type PeftTensor,
  type ReadPart,
  type WrittenPart,
} from "../peft/codec.ts";
import type { HeldAdapters, HeldFolders, PeftForm } from "../peft/form.ts";
import { xlora, xloraDefinition, type XloraOptions } from "./xlora.ts";
import { rangeError, typeError } from "../../errors/error.ts";

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

/** The part of a folder that a config describes. @throws {RangeError} when PEFT would compute something else. */
function read(config: PeftConfig, { spec }: Model, experts: HeldAdapters): ReadPart {
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
  return { main: part(method, options, layers, fields, spec), fields: config.fields };
}

/** The part of a folder for an adapter's piece. @throws {RangeError} when PEFT cannot load its experts by name. */
function write({ of, options: config, params }: ComponentMethod, { spec }: Model): WrittenPart {
  const experts = expertsOf(of, params);
  const options = { ...config, experts } as XloraOptions;
  const names = Object.keys(experts);
  const odd = names.findIndex((name, i) => name !== `${i}`);
  if (odd >= 0) {
    throw rangeError(
      "CANNOT_SAVE",
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
    adapters: Object.fromEntries(names.map((name) => [name, folderOf(name)])),
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
  return { main: part(xlora(options), options, out / names.length, fields, spec), targets: {} };
}

const folderOf = (name: string): string => `experts/${name}`;

/** The experts of an adapter: methods by name and options alone, of which gradients have no parameters. */
function expertsOf({ components = {} }: Method, params: Tree): HeldAdapters {
  const held = ((params["frozen"] as Tree | undefined)?.["experts"] ?? params["experts"]) as Tree | undefined;
  return Object.fromEntries(
    Object.entries(components).map((
      [name, method],
    ) => [name, { method, params: (held?.[name] ?? {}) as Tree }]),
  );
}

const experts: HeldFolders = {
  called: "expert",
  field: "adapters",
  folder: folderOf,
  of: expertsOf,
  without: (adapter: Adapter): Adapter => {
    const { router } = adapter.params;
    if (adapter.method.definition === xloraDefinition && router !== undefined) {
      return { ...adapter, params: { router } };
    }
    throw typeError(
      "CANNOT_SAVE",
      `Cannot save "${adapter.method.name}" for PEFT: a folder holds X-LoRA alone`,
    );
  },
  join: (fields, params, experts) => {
    const held = {
      experts: Object.fromEntries(Object.entries(experts).map(([name, { params }]) => [name, params])),
    };
    return fields["use_trainable_adapters"] === true ? { ...params, ...held } : { ...params, frozen: held };
  },
  check: (folder, { tensors }, keys) => {
    const lost = tensors.find(({ key }) => key.startsWith(ROUTER) && !keys.has(key));
    if (lost === undefined) return;
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot load "${folder}": it has no "${lost.key}". PEFT drops parts of X-LoRA's router when it saves, since it takes ".0." ` +
        "in their names for another adapter: get them with get_peft_model_state_dict before they are lost, or train it anew",
    );
  },
};

/** Folders of `peft_type` "XLORA". */
export const xloraPeft: PeftForm = {
  types: ["XLORA"],
  methods: [xloraDefinition],
  read,
  write,
  held: experts,
};

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
function layersOf(method: Method, experts: HeldAdapters, spec: Spec): number {
  const params = Object.fromEntries(Object.entries(experts).map(([name, e]) => [name, e.params]));
  const edits = method.edits({ router: {}, experts: params, frozen: { experts: params } }, spec);
  return edits.filter((edit) => edit.kind === "linear").length;
}
