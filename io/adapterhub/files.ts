/** The files of one AdapterHub folder: components of an adapter as configurations and tensors. */
import {
  type Adapter,
  areGradients,
  byteLength,
  bytesOf,
  type Json,
  leaves,
  lookup,
  type Model,
  sameShape,
  scope,
  showShape,
  type Synchronous,
  Tensor,
  type Tree,
} from "../../core/mod.ts";
import {
  ADAPTERS_FILES,
  ADAPTERS_VERSION,
  type AdaptersConfig,
  adaptersConfigJson,
  adaptersConfigText,
} from "../../formats/adapters_config.ts";
import type { AdaptersFields } from "../../formats/adapters_fields.ts";
import type { WritableTensor } from "../../formats/tensor_file.ts";
import { describe, type Described, writingOf } from "./fields.ts";
import type { Leaf } from "./branches.ts";
import { classOf } from "./head.ts";
import { prefixed, type Writing } from "../../methods/adapterhub/layout.ts";
import { partsOf } from "./parts.ts";
import type { Component } from "../../methods/adapterhub/components.ts";
import { rangeError } from "../../errors/error.ts";

/** A file of a folder, ready to be written. */
export type HubFile =
  | { readonly path: string; readonly text: string }
  | { readonly path: string; readonly tensors: readonly CheckedTensor[] };

/** A tensor to be written, with a look at its parameters before anything is. */
export interface CheckedTensor extends WritableTensor {
  check?(): Promise<void>;
}

/** A name that is valid in keys and folders. @throws {RangeError} when it is not. */
export function checkedName(name: string): string {
  if (/^[^./\\,\0][^./\\,\0]*$/.test(name)) return name;
  throw rangeError(
    "CANNOT_SAVE",
    `Cannot save an adapter under the name "${name}" for AdapterHub: it must have no dots, commas and slashes`,
  );
}

/** The text of a folder's config, including its fields about the model. */
export function configText(
  name: string,
  model: Model,
  modelClass: string,
  config: Json,
  more?: AdaptersFields,
): string {
  const folder = {
    name,
    modelClass,
    modelType: model.config.model_type,
    hiddenSize: model.spec.stacks[0]!.width,
    version: ADAPTERS_VERSION,
    source: model.source ?? "",
  };
  return adaptersConfigText(folder, config, more);
}

/** The content of an adapter's `adapter_config.json`, in parts. */
export function leafOf(name: string, components: readonly Component[], model: Model): Leaf {
  const modelClass = classFor(components, model);
  const configs = grouped(components.map((component) => describe(component, model))).map(({ config }) =>
    config
  );
  return {
    name,
    configs,
    parts: configs.flatMap((config) => partsOf(config, model, { name, modelClass }, new Map())),
  };
}

/** `adapter_config.json` and `adapter.safetensors`. */
export function adapterFiles(
  name: string,
  components: readonly Component[],
  adapter: Adapter,
  model: Model,
): readonly HubFile[] {
  checkedName(name);
  const groups = grouped(components.map((component) => describe(component, model)));
  const modelClass = classFor(components, model);
  const writes = groups.flatMap(({ config, described }) =>
    partsOf(config, model, { name, modelClass }, new Map()).flatMap((part) => {
      const own = described.find(({ kind }) => kind === part.kind);
      if (own === undefined) {
        throw rangeError(
          "CANNOT_SAVE",
          `Cannot save this adapter for AdapterHub: its ${part.kind.name} part is missing`,
        );
      }
      checkShapes(own.component, adapter.params, prefixed(own.component.prefix, part).reads);
      return prefixed(own.component.prefix, part).writes;
    })
  );
  checkLeftOver(components, adapter, writes);
  checkMade(writes, adapter);
  const prefix = keyPrefix(model, modelClass);
  const text = configText(name, model, modelClass, adaptersConfigJson(groups.map(({ config }) => config)));
  return [
    { path: ADAPTERS_FILES.config, text },
    { path: ADAPTERS_FILES.weights, tensors: writableTensors(writes, adapter.params, prefix) },
  ];
}

/** The model's class in transformers, or the library's where heads undo what an adapter does to the embedded text. */
function classFor(components: readonly Component[], model: Model): string {
  const isUndone = components.some((component) => writingOf(component)?.writing.undone?.(component.options));
  const rows = model.spec.embeddings.find(({ role }) => role === "token")?.rows;
  const undone = isUndone && model.spec.heads.some(({ outFeatures }) => outFeatures === rows);
  return undone ? libraryClass(model) : classOf(model);
}

interface Group {
  readonly config: AdaptersConfig;
  readonly described: readonly Described[];
}

/** Groups components that form one configuration. */
function grouped(all: readonly Described[]): readonly Group[] {
  const groups: Group[] = all.filter(({ kind }) => kind.joins === undefined)
    .map((one) => ({ config: one.config, described: [one] }));
  for (const one of all) {
    const { joins } = one.kind;
    if (joins === undefined) continue;
    const i = groups.findIndex(({ described }) => described.some(({ kind }) => kind === joins.kind));
    if (i < 0) {
      groups.push({ config: one.config, described: [one] });
      continue;
    }
    const { config, described } = groups[i]!;
    const { fields } = one.config;
    const odd = joins.shared.find((name) =>
      JSON.stringify(fields[name]) !== JSON.stringify(config.fields[name])
    );
    if (odd !== undefined) {
      throw rangeError(
        "CANNOT_SAVE",
        `Cannot save ${one.component.method} beside ${
          described[0]!.component.method
        } for AdapterHub: one configuration has one ${odd}`,
      );
    }
    groups[i] = {
      config: { ...config, fields: { ...config.fields, ...joins.fields(fields) } },
      described: [...described, one],
    };
  }
  return groups;
}

function checkShapes(
  { method }: Component,
  params: Tree,
  reads: readonly { readonly path: string; readonly shape: readonly number[] }[],
): void {
  for (const { path, shape } of reads) {
    if (path === "") continue;
    const found = lookup(params, path);
    if (!(found instanceof Tensor)) {
      throw rangeError("CANNOT_SAVE", `Cannot save ${method} for AdapterHub: it has no parameter "${path}"`);
    }
    if (!sameShape(found.shape, shape)) {
      throw rangeError(
        "CANNOT_SAVE",
        `Cannot save ${method} for AdapterHub: ${path}: expected ${showShape(shape)} but found ${
          showShape(found.shape)
        }`,
      );
    }
  }
}

function checkLeftOver(
  components: readonly Component[],
  { params, method }: Adapter,
  writes: readonly Writing[],
): void {
  const taken = new Set(writes.flatMap(({ from }) => from));
  const within = (path: string): boolean =>
    components.some(({ prefix }) => prefix === "" || path.startsWith(`${prefix}.`));
  const extra = leaves(params).map(([path]) => path).filter((path) => within(path) && !taken.has(path));
  if (extra.length > 0) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save ${method.name} for AdapterHub: a folder has no place for "${
        extra.slice(0, 6).join('", "')
      }"`,
    );
  }
}

/** @throws {RangeError} when the parameters are gradients and the folder stores something derived from parameters. */
function checkMade(writes: readonly Writing[], { params, method }: Adapter): void {
  const made = writes.find(({ made }) => made !== undefined);
  if (made === undefined || !areGradients(params)) return;
  throw rangeError(
    "CANNOT_SAVE",
    `Cannot save the gradients of ${method.name} for AdapterHub: there "${
      made.from[0]
    }" is ${made.made}, of which it has none`,
  );
}

/** The tensors of a layout, with what the model's class puts before their keys. */
export function writableTensors(
  writes: readonly Writing[],
  params: Tree,
  prefix: string,
): readonly CheckedTensor[] {
  return writes.map(({ key, shape, from, write, check }): CheckedTensor => {
    const held = from.map((path) => {
      const leaf = lookup(params, path);
      if (leaf instanceof Tensor) return leaf;
      throw rangeError(
        "CANNOT_SAVE",
        `Cannot save this adapter for AdapterHub: it has no parameter "${path}"`,
      );
    });
    return {
      ...check && { check: () => check(held) },
      name: prefix + key,
      dtype: "f32",
      shape,
      byteLength: byteLength("f32", shape),
      read: async () => {
        const made = scope((): Synchronous<Tensor> => write(held) as Synchronous<Tensor>);
        const bytes = await bytesOf(made);
        if (!held.some(({ storage }) => storage === made.storage)) made.storage.free();
        return bytes;
      },
    };
  });
}

/** The key prefix of the model's class. */
export function keyPrefix(model: Model, modelClass: string): string {
  if (/^(Bert|Roberta|XLMRoberta|Llama|Mistral|Qwen2|GPT2|T5|MT5)Model$/.test(modelClass)) return "";
  switch (model.architecture.name) {
    case "bert":
      return model.config.model_type === "bert" ? "bert." : "roberta.";
    case "gpt2":
      return "transformer.";
    case "t5":
      return modelClass.endsWith("AdapterModel") ? "transformer." : "";
    default:
      return "model.";
  }
}

/** The library's own class for a model. */
export function libraryClass({ config }: Model): string {
  const families: Readonly<Record<string, string>> = {
    bert: "Bert",
    roberta: "Roberta",
    "xlm-roberta": "XLMRoberta",
    t5: "T5",
    mt5: "MT5",
    gpt2: "GPT2",
    llama: "Llama",
    mistral: "Mistral",
  };
  return `${families[config.model_type] ?? config.model_type}AdapterModel`;
}
