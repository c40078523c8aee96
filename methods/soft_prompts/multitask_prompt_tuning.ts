/**
 * Multitask prompt tuning. Wang, Panda, Karlinsky, Feris, Sun and Kim 2023, "Multitask Prompt Tuning Enables
 * Parameter-Efficient Transfer Learning", arXiv 2303.02861, equation 1.
 *
 *   X' = [P ∘ (U_k V_k); E(x)]        P [n, d] of all tasks        U_k [n, r] and V_k [r, d] of task k, r = 1 in the paper
 *
 * Source tasks are trained together; a new task starts with P and the mean of the sources' factors
 * (`newTask`). The paper's loss has a term that keeps each source close to its own teacher prompt, which
 * belongs to training and is omitted, as in PEFT. In a model with two stacks the encoder reads the prompt;
 * PEFT may put n more rows before the decoder's text (`stacks`).
 */
import {
  type DefinedMethod,
  defineMethod,
  fn,
  fold,
  key as keyOf,
  scope,
  type Spec,
  type StackPlace,
  type Synchronous,
  type Tensor,
} from "../../core/mod.ts";
import { list, oneOf, option, text } from "../../core/options/mod.ts";
import { matmul, mean, multiply, normal, reshape, slice } from "../../ops/mod.ts";
import { lengthOption, startOption } from "./prompt_options.ts";
import { promptStack, type PromptStart, promptStart } from "./prompt_rows.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rowsSetting } from "../shared/model_sizes.ts";
import { rankSchema } from "../shared/target_options.ts";
import { checkTasks, type TaskOptions, tasksOf } from "../shared/tasks.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of multitask prompt tuning. */
export interface MultitaskPromptTuningOptions extends TaskOptions {
  /** n, default 20; the paper's is 100. */
  readonly length?: number;
  /** r, default 1, the paper's. */
  readonly rank?: number;
  /**
   * Initialization of P, default uniform in ±0.5. The factors are normal with standard deviation 0.02, as in
   * the authors' code in PEFT.
   */
  readonly start?: PromptStart;
  /**
   * Which of two stacks have rows: the encoder ("reading", default), or each its own n ("both", possible in
   * PEFT).
   */
  readonly stacks?: "reading" | "both";
}

/** P [n, d] (or [2n, d], the decoder's rows last), and the factors of T tasks: u [T, n, r], v [T, r, d]. */
export type MultitaskPrompt = { readonly rows: Tensor; readonly u: Tensor; readonly v: Tensor };

/**
 * Multitask prompt tuning as a method. Parameters: `rows` [n, d], `u` [T, n, r] and `v` [T, r, d]; n counts both stacks' rows.
 *
 * @throws {RangeError} when the length or the rank is not a positive integer, or there are no tasks or two
 * have the same name; at init, when a start names unknown token ids, or `stacks` is "both" and the model has
 * one.
 * @example
 * ```ts
 * import { adapt, forward, freshModel, graft, multitaskPromptTuning, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const method = multitaskPromptTuning({ length: 3, tasks: ["mnli", "squad"] });
 * const tuned = graft(model, adapt(model, method));
 * const { logits } = forward(tuned, { inputIds: [[1, 2], [3, 4]], rows: ["squad", "mnli"] });
 * assert.deepEqual(logits.shape, [2, 2, 32]);
 * ```
 */
export const multitaskPromptTuning: DefinedMethod<MultitaskPromptTuningOptions, MultitaskPrompt> =
  defineMethod<
    MultitaskPromptTuningOptions,
    MultitaskPrompt
  >({
    name: "multitask-prompt-tuning",
    summary: "A prompt that tasks share, times a low-rank matrix of each task's own.",
    facts: { "parameters kept": "n d and r (n + d) a task", "parameters trained": "the same" },
    aliases: ["multitask-prompt", "mpt"],
    title: "multitask prompt tuning",
    options: {
      length: lengthOption(20),
      rank: option(rankSchema, "r, the rank of a task's factors", 1),
      tasks: option(list(text), "the tasks' names", ["0"]),
      task: option(text, "the task of every row; by default the batch says it"),
      start: startOption,
      stacks: option(oneOf("reading", "both"), "which of two stacks have rows", "reading"),
    },
    create: (options) => {
      const { length, rank, tasks, start, stacks } = options;
      checkTasks(options);
      return {
        init: ({ model, key }) =>
          freshParams(() => {
            const seed = keyOf(key);
            const [{ width }, ...others] = multitaskPromptStacks(model.spec, stacks) as [
              StackPlace,
              ...StackPlace[],
            ];
            const all = length * (1 + others.length);
            const factor = (part: string, shape: readonly number[]): readonly [string, Tensor] => [
              part,
              normal(fold(seed, part), [tasks.length, ...shape], model.backend, 0.02),
            ];
            return [
              ["rows", promptStart(model, fold(seed, "rows"), all, start, "multitask-prompt-tuning")],
              factor("u", [all, rank]),
              factor("v", [rank, width]),
            ];
          }) as MultitaskPrompt,
        edits: (params, spec) =>
          tasksOf(options).flatMap(({ number, rows: held }) =>
            multitaskPromptStacks(spec, stacks).map(({ path }, i) => ({
              kind: "prompt",
              path,
              length,
              rows: fn(params, ({ rows, u, v }) => {
                const part = (t: Tensor): Tensor => slice(t, 0, i * length, (i + 1) * length);
                return multiply(part(rows), matmul(part(ofTask(u, number)), ofTask(v, number))); // [n, d]
              }),
              ...held,
            }))
          ),
      };
    },
    cli: { rate: 3e-2, flags: ["length", "rank"] },
    published: rowsSetting(100, " times factors of r 1"),
  });

/**
 * The stacks that have rows, the reading one first.
 *
 * @throws {RangeError} when both are requested and the model has only one.
 * @example
 * ```ts
 * import { freshModel, multitaskPromptStacks, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("t5"), { backend: reference(), key: 0 });
 * const names = multitaskPromptStacks(spec, "both").map(({ stack }) => stack);
 * assert.deepEqual(names, ["encoder", "decoder"]);
 * ```
 */
export function multitaskPromptStacks(
  spec: Spec,
  stacks: MultitaskPromptTuningOptions["stacks"],
): readonly StackPlace[] {
  const first = promptStack(spec, "multitask-prompt-tuning");
  if (stacks !== "both") return [first];
  const other = spec.stacks.find((place) => place !== first);
  if (other === undefined) {
    throw rangeError("METHOD_DOES_NOT_FIT", 'Cannot give both stacks rows, stacks "both": the model has one');
  }
  return [first, other];
}

/** [T, a, b] → [a, b]. */
function ofTask(factors: Tensor, task: number): Tensor {
  return reshape(slice(factors, 0, task, task + 1), factors.shape.slice(1));
}

/**
 * The initial parameters of a new task: the shared prompt, with the mean of the sources' factors (as in the
 * paper, default) or those of the source with a given index. For a method of one task. The caller owns the
 * tensors.
 *
 * @example
 * ```ts
 * import { adapt, freshModel, multitaskPromptTuning, newTask, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const sources = adapt(model, multitaskPromptTuning({ length: 3, tasks: ["mnli", "squad"] }));
 * const params = newTask(sources.params);
 * assert.deepEqual([params.u.shape, params.v.shape], [[1, 3, 1], [1, 1, 16]]);
 * ```
 */
export function newTask({ rows, u, v }: MultitaskPrompt, from: "mean" | number = "mean"): MultitaskPrompt {
  const one = (factors: Tensor): Tensor =>
    from === "mean" ? mean(factors, { axis: 0, keepAxes: true }) : slice(factors, 0, from, from + 1);
  return scope((): Synchronous<MultitaskPrompt> => ({ rows: multiply(rows, 1), u: one(u), v: one(v) }));
}
