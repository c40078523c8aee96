/**
 * Multitask prompt tuning in PEFT folders: `prompt_embeddings` [n, d], `prefix_task_cols` [T, n, r] and
 * `prefix_task_rows` [T, r, d]. For an encoder and a decoder there may be 2 n rows, the second half before
 * the decoder's text. PEFT numbers its tasks: ours are named "0", "1" and so on.
 */
import { withDefaults } from "../peft/layers.ts";
import type { Spec } from "../../core/mod.ts";
import { knownFields } from "../../formats/peft_config.ts";
import { type MainPart, numberField, type PeftFields, type PeftTensor, wrong } from "../peft/codec.ts";
import type { PeftForm } from "../peft/form.ts";
import {
  multitaskPromptStacks,
  multitaskPromptTuning,
  type MultitaskPromptTuningOptions,
} from "./multitask_prompt_tuning.ts";
import { PROMPT_TUNING_FIELDS, writePrompt } from "./prompt_peft.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Fields of `peft_type` "MULTITASK_PROMPT_TUNING". How the prompt was initialized no longer matters when it
 * is loaded.
 */
export const MULTITASK_PROMPT_FIELDS: PeftFields = {
  ...PROMPT_TUNING_FIELDS,
  prompt_tuning_init_state_dict_path: null,
  prompt_tuning_init_task: 0,
  num_ranks: 1,
  num_tasks: 1,
};

const STARTS = [
  "RANDOM",
  "SAMPLE_VOCAB",
  "TEXT",
  "AVERAGE_SOURCE_TASKS",
  "EXACT_SOURCE_TASK",
  "ONLY_SOURCE_SHARED",
];

/**
 * Reads the fields.
 *
 * @throws {TypeError} when one has the wrong kind.
 * @example
 * ```ts
 * import { MULTITASK_PROMPT_FIELDS, readMultitaskPrompt } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const { tasks } = readMultitaskPrompt({ ...MULTITASK_PROMPT_FIELDS, num_virtual_tokens: 8, num_tasks: 2 });
 * assert.deepEqual(tasks, ["0", "1"]);
 * ```
 */
export function readMultitaskPrompt(fields: PeftFields): MultitaskPromptTuningOptions {
  const start = fields["prompt_tuning_init"];
  if (typeof start !== "string" || !STARTS.includes(start)) {
    return wrong("prompt_tuning_init", STARTS.join(" or "), start);
  }
  const stacks = fields["num_transformer_submodules"] ?? 1;
  if (stacks !== 1 && stacks !== 2) return wrong("num_transformer_submodules", "1 or 2", stacks);
  return {
    length: numberField(fields, "num_virtual_tokens"),
    rank: numberField(fields, "num_ranks"),
    tasks: Array.from({ length: numberField(fields, "num_tasks") }, (_, i) => `${i}`),
    ...stacks === 2 && { stacks: "both" },
  };
}

/**
 * The fields that options set.
 *
 * @throws {RangeError} when one of several tasks is selected: PEFT takes the task from each batch.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { writeMultitaskPrompt } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.equal(writeMultitaskPrompt({ tasks: ["mnli", "squad"] }, spec)["num_tasks"], 2);
 * ```
 */
export function writeMultitaskPrompt(
  options: MultitaskPromptTuningOptions,
  spec: Spec,
): PeftFields {
  const { length, rank, tasks, task, stacks } = withDefaults(multitaskPromptTuning, options);
  if (task !== undefined && tasks.length > 1) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save the task "${task}" of ${tasks.length} for PEFT, where each batch names its tasks: save all, or newTask of it`,
    );
  }
  const { fields } = writePrompt({ length }, spec);
  return {
    ...MULTITASK_PROMPT_FIELDS,
    ...fields,
    num_transformer_submodules: multitaskPromptStacks(spec, stacks).length,
    num_ranks: rank,
    num_tasks: tasks.length,
  };
}

/**
 * The tensors of the folder.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { multitaskPromptTensors } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const shapes = multitaskPromptTensors({ length: 8, rank: 2 }, spec).map(({ shape }) => shape);
 * assert.deepEqual(shapes, [[8, 16], [1, 8, 2], [1, 2, 16]]);
 * ```
 */
export function multitaskPromptTensors(
  options: MultitaskPromptTuningOptions,
  spec: Spec,
): readonly PeftTensor[] {
  const { length, rank, tasks, stacks } = withDefaults(multitaskPromptTuning, options);
  const places = multitaskPromptStacks(spec, stacks);
  const [n, { width }] = [length * places.length, places[0]!];
  return [
    { path: "rows", key: "prompt_embeddings", shape: [n, width] },
    { path: "u", key: "prefix_task_cols", shape: [tasks.length, n, rank] },
    { path: "v", key: "prefix_task_rows", shape: [tasks.length, rank, width] },
  ];
}

/** Folders of `peft_type` "MULTITASK_PROMPT_TUNING". */
export const multitaskPromptPeft: PeftForm = {
  types: ["MULTITASK_PROMPT_TUNING"],
  methods: [multitaskPromptTuning.definition],
  read: (config, { spec }) => {
    const fields = knownFields(config, MULTITASK_PROMPT_FIELDS, {});
    return { main: part(readMultitaskPrompt(fields), fields, spec), fields };
  },
  write: ({ options }, { spec }) => {
    const own = options as MultitaskPromptTuningOptions;
    return { main: part(own, writeMultitaskPrompt(own, spec), spec), targets: {} };
  },
};

function part(options: MultitaskPromptTuningOptions, fields: PeftFields, spec: Spec): MainPart {
  return {
    type: "MULTITASK_PROMPT_TUNING",
    method: multitaskPromptTuning(options),
    places: [],
    tensors: multitaskPromptTensors(options, spec),
    fields,
    savedPrefix: "base_model.",
  };
}
