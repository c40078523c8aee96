/**
 * Prediction heads of AdapterHub folders. A model of a transformers class ("static") has its head under the
 * checkpoint's names; a model of the library has named heads, `heads.<name>.<number>`, which are mapped to
 * the head here where both compute the same.
 */
import {
  checkCounts,
  lookup,
  type Method,
  type Model,
  nest,
  scope,
  type Synchronous,
  type Tensor,
  trainableCopy,
  type Tree,
} from "../../core/mod.ts";
import { ADAPTERS_FILES } from "../../formats/adapters_config.ts";
import { ADAPTERS_COUNTS } from "../../formats/counted_fields.ts";
import { isObject } from "../../formats/strict_json.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import { SAVED, type SavedLeaf, type SavedModules } from "../../methods/peft_beside.ts";
import { bertConfig } from "../../models/bert_config.ts";
import { headPaths } from "../../models/bert_spec.ts";
import { architectureOf, classNames } from "../../models/mod.ts";
import { isThere } from "../adapter_folder.ts";
import { withTensors } from "./read.ts";
import { readJson } from "../inspect_contents.ts";
import { equalValues, loadTensor } from "../stored_values.ts";
import { rangeError } from "../../errors/error.ts";

/** A head that differs from the model's. */
export interface LoadedHead {
  readonly method: Method;
  readonly params: Tree;
}

type Fields = Readonly<Record<string, unknown>>;
type HeadConfig = NonNullable<SavedModules["head"]>["config"];

/**
 * The head of a folder, if it is for the model's task and has different weights; a head for another task is
 * ignored, as in the library.
 *
 * @throws {RangeError} when a head for the model's task computes something else than the model's.
 */
export async function loadHead(folder: string, model: Model): Promise<LoadedHead | undefined> {
  const configPath = `${folder}/${ADAPTERS_FILES.headConfig}`;
  if (!await isThere(configPath)) return undefined;
  const config = readJson(configPath);
  checkCounts(configPath, config, ADAPTERS_COUNTS);
  const paths = isObject(config["config"])
    ? flexiblePaths(configPath, String(config["name"]), config["config"], model)
    : staticPaths(config, model);
  if (paths === undefined) return undefined;
  checkLabels(configPath, config, model);
  const head = isObject(config["config"])
    ? { name: String(config["name"]), config: config["config"] as HeadConfig }
    : undefined;
  return await withTensors(
    folder,
    ADAPTERS_FILES.head,
    ADAPTERS_FILES.headPickle,
    (stored) => headOf(folder, paths, head, stored, model),
  );
}

/** Our path for a key of the file; undefined for keys that do not belong to a head. */
type Paths = (key: string) => string | undefined;

const BASE = /prefix_tunings\.|prompt_tunings\.|invertible_adapters\.|shared_parameters\./;

function staticPaths(config: Fields, model: Model): Paths | undefined {
  if (config["model_class"] !== classOf(model)) return undefined;
  const { weightPath } = architectureOf(model.config);
  return (key) => BASE.test(key) ? undefined : weightPath(key);
}

/** The model's class in transformers. */
export function classOf({ config }: Model): string {
  const [given] = (config["architectures"] ?? []) as readonly string[];
  const usual: Readonly<Record<string, string>> = {
    gpt2: "GPT2LMHeadModel",
    t5: "T5ForConditionalGeneration",
    mt5: "MT5ForConditionalGeneration",
    llama: "LlamaForCausalLM",
    mistral: "MistralForCausalLM",
    qwen2: "Qwen2ForCausalLM",
    bert: "BertModel",
    roberta: "RobertaModel",
  };
  return given ?? usual[config.model_type] ?? "";
}

/** The library's head that computes the same as the model's, and the paths of its layers. */
interface Likeness {
  readonly type: readonly string[];
  readonly fields: Fields;
  readonly layers: Readonly<Record<string, string>>;
}

function likeness(model: Model): readonly Likeness[] {
  if (model.architecture.name !== "bert") {
    const type = model.architecture.name === "t5" ? "seq2seq_lm" : "causal_lm";
    return [{ type: [type], fields: { layers: 1 }, layers: { "0": "lm_head" } }];
  }
  const c = bertConfig(model.config);
  const { dense = "", norm = "", out = "" } = headPaths(c);
  switch (c.head) {
    case "none":
      return [];
    case "token":
      return [{ type: ["tagging"], fields: { layers: 1 }, layers: { "1": out } }];
    case "mask":
      return [{
        type: ["masked_lm"],
        fields: { layers: 2, layer_norm: true, activation_function: model.config["hidden_act"] ?? "gelu" },
        layers: { "0": dense, "2": norm, "3": out },
      }];
    case "text": {
      const type = ["classification", "multilabel_classification"];
      return [
        {
          type,
          fields: { layers: 2, activation_function: "tanh", use_pooler: false },
          layers: { "1": dense, "4": out },
        },
        ...c.family === "bert"
          ? [{ type, fields: { layers: 1, use_pooler: true }, layers: { "1": out } }]
          : [],
      ];
    }
    default:
      return c.head satisfies never;
  }
}

/** Where the layers of a head of the library's lie, by their numbers; undefined where it computes what the model's does not. */
export function layersOfHead(head: Fields, model: Model): Readonly<Record<string, string>> | undefined {
  return likeness(model).find(({ type, fields }) =>
    type.includes(String(head["head_type"])) &&
    Object.entries(fields).every(([field, value]) => head[field] === value)
  )?.layers;
}

/** The weights of a head's layer: our paths, and the leaves that they start from. */
export function leavesOfLayer(module: string, model: Model): readonly SavedLeaf[] {
  return SAVED.leaves(model, { modules: [module] }).filter(({ path }) => moduleOf(path) === module);
}

function flexiblePaths(where: string, name: string, head: Fields, model: Model): Paths | undefined {
  const alike = likeness(model);
  if (!alike.some(({ type }) => type.includes(String(head["head_type"])))) return undefined;
  const layers = layersOfHead(head, model);
  if (layers === undefined) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot load the head of ${where}: it is ${JSON.stringify(head)}, but the model's own is ${
        alike.map(({ fields }) => JSON.stringify(fields)).join(" or ")
      }`,
    );
  }
  return (key) => {
    const [, of, number, leaf] = /^heads\.(.*)\.(\d+)\.([^.]+)$/.exec(key) ?? [];
    const module = of === name ? layers[number!] : undefined;
    return module === undefined ? key : `${module}.${leaf}`;
  };
}

/** Classes with other names or another order would be confused. */
function checkLabels(where: string, config: Fields, model: Model): void {
  const inner = isObject(config["config"]) ? config["config"] : config;
  const ids = inner["label2id"];
  const own = classNames(model);
  if (!isObject(ids) || own.length === 0) return;
  const theirs = Object.entries(ids).sort(([, a], [, b]) => Number(a) - Number(b)).map(([label]) => label);
  const plain = (names: readonly string[]): boolean => names.every((name) => /^LABEL_\d+$/.test(name));
  if (plain(theirs) || plain(own) || theirs.join("\n") === own.join("\n")) return;
  throw rangeError(
    "FILE_INVALID",
    `Cannot load the head of ${where}: its classes are ${theirs.join(", ")}, but the model's are ${
      own.join(", ")
    }`,
  );
}

async function headOf(
  folder: string,
  paths: Paths,
  head: SavedModules["head"],
  stored: ReadonlyMap<string, StoredTensor>,
  model: Model,
): Promise<LoadedHead | undefined> {
  const found = new Map(
    [...stored.values()].flatMap((tensor): readonly (readonly [string, StoredTensor])[] => {
      const path = paths(tensor.name);
      return path === undefined ? [] : [[path, tensor]];
    }),
  );
  const known = new Map(
    [...new Set([...found.keys()].map(moduleOf))].flatMap((module) =>
      hasModule(model, module)
        ? leavesOfLayer(module, model).map((leaf) => [leaf.path, leaf.source] as const)
        : []
    ),
  );
  const odd = [...found.keys()].find((path) => !known.has(path));
  if (odd !== undefined) {
    throw rangeError(
      "ADAPTER_MISMATCH",
      `Cannot load the head of "${folder}" for this model: "${found.get(odd)!.name}" is not expected`,
    );
  }
  const changed = new Set<string>();
  for (const [path, source] of known) {
    const tensor = found.get(path);
    const own = lookup(model.weights, source) as Tensor;
    if (tensor === undefined) {
      throw rangeError(
        "ADAPTER_MISMATCH",
        `Cannot load the head of "${folder}" for this model: "${path}" is missing`,
      );
    }
    if (tensor.shape.join() !== own.shape.join()) {
      throw rangeError(
        "ADAPTER_MISMATCH",
        `Cannot load the head of "${folder}" for this model: "${tensor.name}": expected [${own.shape}] but found [${tensor.shape}]`,
      );
    }
    if (!await equalValues(() => loadTensor(tensor, model), () => trainableCopy(model, source))) {
      changed.add(moduleOf(path));
    }
  }
  if (changed.size === 0) return undefined;
  const modules = [...changed];
  const params = scope((): Synchronous<Tree> =>
    nest(
      [...known.keys()].filter((path) => changed.has(moduleOf(path)))
        .map((path) => [path, loadTensor(found.get(path)!, model)] as const),
    ) as Synchronous<Tree>
  );
  return { method: SAVED.method({ modules, ...head && { head } }), params };
}

const moduleOf = (path: string): string => path.slice(0, path.lastIndexOf("."));

const hasModule = (model: Model, module: string): boolean =>
  lookup(model.weights, module) !== undefined || model.spec.heads.some(({ path }) => path === module);
