/** multitaskPromptTuning(), newTask(): the laws of methods and what is refused. */
import assert from "node:assert/strict";
import { adapt, dispose, type Method, read, type Tensor, tensor } from "../../../core/mod.ts";
import { multitaskPromptTuning, type MultitaskPromptTuningOptions, newTask } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { added, just, WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

methodLaws("multitaskPromptTuning(), one of three tasks", {
  method: just(
    multitaskPromptTuning({ length: 3, rank: 2, tasks: ["a", "b", "c"], task: "b" }) as unknown as Method,
  ),
  atInit: "other",
  merges: "no",
  counts: () => added(3 * WIDTH + 3 * 2 * (3 + WIDTH)), // n d + T r (n + d)
});

Deno.test("newTask() begins with the shared prompt and the sources' mean factors, or with one source's", () =>
  assertNoLeak(async () => {
    const backend = reference();
    const [rows, u, v] = [[[1, 2]], [[[1]], [[3]]], [[[2, 4]], [[6, 0]]]].map((t) =>
      tensor(t as number[][], { backend })
    ) as [Tensor, Tensor, Tensor];
    const numbers = async (from?: "mean" | number): Promise<readonly number[]> => {
      const params = newTask({ rows, u, v }, from);
      const all = [...await read(params.rows), ...await read(params.u), ...await read(params.v)];
      dispose(params);
      return all;
    };
    assert.deepEqual(await numbers(), [1, 2, 2, 4, 2]);
    assert.deepEqual(await numbers(1), [1, 2, 3, 6, 0]);
    dispose({ rows, u, v });
  }));

Deno.test("methods of several tasks refuse what names none, one twice, or another", () => {
  const refused = (options: MultitaskPromptTuningOptions, message: RegExp): void =>
    assert.throws(() => multitaskPromptTuning(options), message);
  refused({ tasks: [] }, /^RangeError: Expected at least one task but found none$/);
  refused({ tasks: ["a", "b", "a"] }, /^RangeError: Expected tasks of different names but found "a" twice$/);
  refused({ tasks: ["a", "b"], task: "c" }, /^RangeError: Expected task to name a, b but found "c"$/);
  const model = tinyLlama(reference(), 1);
  assert.throws(
    () => adapt(model, multitaskPromptTuning({ stacks: "both" })),
    /^RangeError: Cannot give both stacks rows, stacks "both": the model has one$/,
  );
  model.dispose();
  refused(
    { rank: 0 },
    /^RangeError: Expected multitask-prompt-tuning's option "rank" to be a positive integer of at most 65536 but found 0$/,
  );
});
