/** Tasks: the head with which a checkpoint is loaded, regardless of the one it was saved with. */
import type { HeadPlace, Model, ModelConfig } from "../core/mod.ts";
import { TEXT_HEAD } from "./decoder_head.ts";
import { rangeError } from "../errors/error.ts";

/** The task of a model: any of one with an encoder, that of whole texts of a decoder. */
export type Task =
  /** One of several classes per text or pair of texts; `names` in the order of their ids. */
  | { readonly kind: "classify"; readonly names: readonly string[] }
  /** Any number of classes per text. */
  | { readonly kind: "flag"; readonly names: readonly string[] }
  /** A score per text. */
  | { readonly kind: "score" }
  /** One of several classes per token. */
  | { readonly kind: "tag"; readonly names: readonly string[] }
  /** The masked words. */
  | { readonly kind: "mask" }
  /** No head: states, for `embed`. */
  | { readonly kind: "embed" };

/** The class names of each family in transformers. */
const FAMILIES: Readonly<Record<string, string>> = {
  "bert": "Bert",
  "roberta": "Roberta",
  "xlm-roberta": "XLMRoberta",
};

/** The class names of decoders, which have heads for whole texts alone. */
const DECODERS: Readonly<Record<string, string>> = {
  "llama": "Llama",
  "mistral": "Mistral",
  "qwen2": "Qwen2",
  "qwen3": "Qwen3",
  "smollm3": "SmolLM3",
  "gemma": "Gemma",
  "gemma3_text": "Gemma3Text",
};

/**
 * The config of the same model with another head, as transformers writes it.
 *
 * @throws {RangeError} when the model has no such head, or a task has no classes.
 * @example
 * ```ts
 * import { taskConfig } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const config = taskConfig({ model_type: "bert" }, { kind: "classify", names: ["bad", "good"] });
 * assert.deepEqual(config["architectures"], ["BertForSequenceClassification"]);
 * ```
 */
export function taskConfig(config: ModelConfig, task: Task): ModelConfig {
  const ofTexts = task.kind === "classify" || task.kind === "flag" || task.kind === "score";
  const known = ofTexts ? { ...FAMILIES, ...DECODERS } : FAMILIES;
  const family = known[config.model_type];
  if (family === undefined) {
    throw rangeError(
      "MODEL_UNSUPPORTED",
      `Cannot load a ${config.model_type} with the task "${task.kind}": known are ${
        Object.keys(known).join(", ")
      }`,
    );
  }
  const { num_labels: _, problem_type: __, ...rest } = config;
  const headed = (head: string): ModelConfig => ({
    ...rest as ModelConfig,
    architectures: [head === "Model" ? `${family}Model` : `${family}For${head}`],
  });
  switch (task.kind) {
    case "classify":
      return {
        ...headed("SequenceClassification"),
        ...named(task.names),
        problem_type: "single_label_classification",
      };
    case "flag":
      return {
        ...headed("SequenceClassification"),
        ...named(task.names),
        problem_type: "multi_label_classification",
      };
    case "score":
      return { ...headed("SequenceClassification"), ...named(["LABEL_0"]), problem_type: "regression" };
    case "tag":
      return { ...headed("TokenClassification"), ...named(task.names) };
    case "mask":
      return headed("MaskedLM");
    case "embed":
      return headed("Model");
    default:
      return task satisfies never;
  }
}

function named(names: readonly string[]): Pick<ModelConfig, "id2label" | "label2id"> {
  if (names.length === 0) throw rangeError("INVALID_ARGUMENT", "Expected at least one class but found none");
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw rangeError("INVALID_ARGUMENT", `Expected classes of different names but found "${twice}" twice`);
  }
  return {
    id2label: Object.fromEntries(names.map((name, id) => [id, name])),
    label2id: Object.fromEntries(names.map((name, id) => [name, id])),
  };
}

/**
 * The names of a classifier's or tagger's classes by id; empty where the model has no such head.
 *
 * @example
 * ```ts
 * import { classNames, freshModel, reference, smallConfig } from "@graft/peft";
 * import { taskConfig } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const config = taskConfig(smallConfig("bert"), { kind: "classify", names: ["bad", "good"] });
 * assert.deepEqual(classNames(freshModel(config, { backend: reference(), key: 0 })), ["bad", "good"]);
 * ```
 */
export function classNames(model: Model): readonly string[] {
  const head = classHead(model);
  const names = (model.config["id2label"] ?? {}) as Readonly<Record<string, string>>;
  return Array.from({ length: head?.outFeatures ?? 0 }, (_, id) => names[id] ?? `LABEL_${id}`);
}

/**
 * The modules to train as a whole along with an adapter, as in PEFT: a classifier's head, which is randomly
 * initialized. For `modulesToSave`.
 *
 * @example
 * ```ts
 * import { freshModel, headModules, reference, smallConfig } from "@graft/peft";
 * import { taskConfig } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const options = { backend: reference(), key: 0 };
 * const config = taskConfig(smallConfig("bert"), { kind: "score" });
 * assert.deepEqual(headModules(freshModel(config, options)), ["classifier"]);
 * assert.deepEqual(headModules(freshModel(smallConfig("llama"), options)), []);
 * ```
 */
export function headModules(model: Model): readonly string[] {
  const head = classHead(model);
  return head === undefined ? [] : [head.path.split(".")[0]!];
}

/** The place of a head with classes or scores. */
function classHead({ spec }: Model): HeadPlace | undefined {
  return spec.heads.find(({ path }) => ["classifier", TEXT_HEAD].includes(path.split(".")[0]!));
}

/**
 * PEFT's name of the task type of a model; null where there is none.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { taskType } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const typeOf = (family: "gpt2" | "t5") => taskType(freshModel(smallConfig(family), { backend: reference(), key: 0 }));
 * assert.deepEqual([typeOf("gpt2"), typeOf("t5")], ["CAUSAL_LM", "SEQ_2_SEQ_LM"]);
 * ```
 */
export function taskType(model: Model): "CAUSAL_LM" | "SEQ_2_SEQ_LM" | "SEQ_CLS" | "TOKEN_CLS" | null {
  if (model.architecture.decoderStart !== undefined) return "SEQ_2_SEQ_LM";
  const isClassifier = classNames(model).length > 0;
  if (!isClassifier && model.spec.stacks.some((place) => place.stack === "decoder")) return "CAUSAL_LM";
  return !isClassifier ? null : model.architecture.labels(model) === "token" ? "TOKEN_CLS" : "SEQ_CLS";
}
