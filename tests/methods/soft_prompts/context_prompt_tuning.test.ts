/** contextPromptTuning(): the laws of methods, golden cases and what is refused. */
import assert from "node:assert/strict";
import {
  type Adapter,
  dispose,
  graft,
  loss,
  lossAndGrad,
  type Method,
  read,
  scope,
} from "../../../core/mod.ts";
import {
  type ContextPromptParams,
  contextPromptTuning,
  type ContextPromptTuningOptions,
  promptTuning,
} from "../../../methods/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { assertGolden, goldenBatch, onGolden } from "../../support/golden_method.ts";
import { assertSteps } from "../../support/golden_training.ts";
import { just, WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";

methodLaws("contextPromptTuning()", {
  method: just(
    contextPromptTuning({ tokens: [1, 5, 2, 7], types: [1, 2, 3, 4], epsilon: 9, templateEpsilon: 9 }),
  ),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({ trainable: 4 * WIDTH, changed: 0 }), // n d
});

const CONTEXT: ContextPromptTuningOptions = {
  tokens: [0, 5, 9, 31, 2, 7, 11, 12, 30, 8, 4],
  types: [0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 8],
  epsilon: 3,
  templateEpsilon: 5,
  decay: 0.7,
};

Deno.test("contextPromptTuning() equals PEFT's logits, loss over the context too, gradients and bounded steps", () =>
  onGolden("context_prompt", async (model, params) => {
    const adapter: Adapter = { method: contextPromptTuning(CONTEXT), params };
    await assertGolden("context_prompt", model, adapter);
    await assertSteps("context_prompt", model, adapter, 7 / 11); // four tokens are labels or none
    // The text alone is judged where the context is not wanted.
    const alone = async (context: "scored" | "ignored"): Promise<number> => {
      const value = scope(() => loss(graft(model, adapter), goldenBatch(), { context }));
      const [number] = await read(value);
      value.storage.free();
      return number!;
    };
    const rows: Adapter = {
      method: promptTuning({ length: 11 }) as unknown as Method,
      params: {
        rows: (adapter.method.finalize!(params, model.spec).params as ContextPromptParams).frozen.tokens,
      },
    };
    const plain = await lossAndGrad(model, rows, goldenBatch());
    assertClose([await alone("ignored")], [plain.loss], 1e-6);
    assert.ok(Math.abs(await alone("scored") - plain.loss) > 1e-3);
    dispose([plain.grads, rows.params]);
  }));

Deno.test("contextPromptTuning() refuses what cannot be", () => {
  const refused = (options: ContextPromptTuningOptions, message: RegExp): void =>
    assert.throws(() => contextPromptTuning(options), message);
  refused({ tokens: [] }, /^RangeError: Expected a context of at least one token but found none$/);
  refused(
    { tokens: [1, 2], types: [1] },
    /^RangeError: Expected types to be 2, one for each token, but found \[1\]$/,
  );
  refused(
    { tokens: [1], types: [-1] },
    /option "types" to be a list, each a non-negative integer of at most \d+ but found \[-1\]$/,
  );
  refused({ tokens: [1], decay: -1 }, /option "decay" to be a number of at least 0 but found -1$/);
});
