/** Prompts at slots, prompts of earlier stages, and PEFT's golden prompts. */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Batch,
  dispose,
  generateIds,
  graft,
  keep,
  leaves,
  lossAndGrad,
  type Method,
  type Model,
  read,
  type Tensor,
} from "../../core/mod.ts";
import { type PromptSources, promptTuning } from "../../methods/mod.ts";
import { assertClose } from "./assert.ts";
import { goldenNumbers, methodFile } from "./golden.ts";
import { assertGolden, goldenBatch, onGolden } from "./golden_method.ts";

/** The token that marks a slot in texts of tiny models. */
export const SLOT = 10;

/** Two slots before the text and one behind its first token; the text itself has none. */
export function slotted({ inputIds, attentionMask, labels }: Batch): Batch {
  const among = <T>(row: readonly T[], slot: T): readonly T[] => [slot, slot, row[0]!, slot, ...row.slice(1)];
  return {
    inputIds: inputIds.map((row) => among(row.map((id) => id === SLOT ? 0 : id), SLOT)),
    attentionMask: attentionMask!.map((row) => among(row, 1)),
    labels: labels!.map((row) => among((row as readonly number[]).map((id) => id === SLOT ? 0 : id), -100)),
  };
}

/** Two prompts that an earlier stage gave. */
export function earlierPrompts(model: Model): { readonly prompts: PromptSources; dispose(): void } {
  const method = promptTuning({ length: 3 }) as Method;
  const roots = [0, 1].map((seed) => keep(method.init({ model, key: seed })));
  const [one, two] = roots.map((root) => ({ method, params: root.tree }));
  return { prompts: { one: one!, two: two! }, dispose: () => roots.forEach((root) => root.dispose()) };
}

/** A prompt of rows. */
export const promptOf = (rows: Tensor): Adapter => ({
  method: promptTuning({ length: rows.shape[0]! }) as Method,
  params: { rows },
});

/** Registers the test of a golden prompt of PEFT's (tests/oracles/soft_prompts.py). */
export function peftPrompt(name: string, method: Method): void {
  Deno.test(`${name} equals PEFT's logits, loss, gradients, rows and continuations`, () =>
    onGolden(name, async (model, params) => {
      await assertGolden(name, model, { method, params });
      const expected = goldenNumbers(methodFile(name));
      const { inputIds, attentionMask } = goldenBatch();
      const labels = inputIds.map((row, b) => row.map((id, i) => attentionMask![b]![i] === 1 ? id : -100));
      const { loss, grads } = await lossAndGrad(model, { method, params }, {
        inputIds,
        attentionMask: attentionMask!,
        labels,
      });
      assertClose([loss], expected.get("loss_all")!, 1e-5, "loss with the first token");
      for (const [path, g] of leaves(grads)) {
        assertClose(
          await read(g),
          expected.get(`all.${path}`)!,
          1e-4,
          `gradient of ${path} with the first token`,
        );
      }
      dispose(grads);
      const finalized: Adapter = method.finalize?.(params, model.spec) ?? { method, params };
      assertClose(await read(finalized.params["rows"] as Tensor), expected.get("rows")!, 1e-5, "rows");
      // Together they are padded on the left; alone they are not.
      const prompts = [[5, 9, 31, 2], [7]];
      const wanted = prompts.map((_, i) => [...expected.get(`generated.${i}`)!]);
      const tuned = graft(model, finalized);
      assert.deepEqual(await generateIds(tuned, prompts, { maxNewTokens: 8, eos: [] }), wanted);
      assert.deepEqual(await generateIds(tuned, prompts[1]!, { maxNewTokens: 8, eos: [] }), wanted[1]);
      if (finalized.params !== params) dispose(finalized.params);
    }));
}
