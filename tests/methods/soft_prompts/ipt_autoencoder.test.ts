/** iptAutoencoder(): the laws of methods, a golden case and counts that its paper prints. */
import assert from "node:assert/strict";
import {
  dispose,
  lossAndGrad,
  type Method,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../../core/mod.ts";
import { iptAutoencoder, type IptAutoencoderParams } from "../../../methods/mod.ts";
import { zeros } from "../../../ops/mod.ts";
import { iptGradients } from "../../../recipes/soft_prompts.ts";
import { assertClose } from "../../support/assert.ts";
import { goldenNumbers, methodFile } from "../../support/golden.ts";
import { assertGradients, goldenBatch, goldenParams, onGolden } from "../../support/golden_method.ts";
import { WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { earlierPrompts, promptOf } from "../../support/prompts.ts";
import { printedShares, publishedCount, trainableOf } from "../../support/published_counts.ts";
import { bertOf } from "../../support/published_shapes.ts";

/** W₁, W₂, W₃ with biases, for prompts of n numbers. */
const coder = (n: number, k: number, hidden: number): number =>
  (n * k + k) + (k * hidden + hidden) + (hidden * n + n);
methodLaws("iptAutoencoder()", {
  method: (model) => {
    const { prompts, dispose } = earlierPrompts(model);
    return {
      method: iptAutoencoder({ prompts, task: "two", intrinsic: 4, reconstruction: 2 }) as Method,
      dispose,
    };
  },
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({ trainable: coder(3 * WIDTH, 4, WIDTH), changed: 0 }),
});

Deno.test("iptAutoencoder() and iptGradients() equal a transcription of the paper's stage 2", () =>
  onGolden("ipt_autoencoder", async (model, params) => {
    const name = "ipt_autoencoder";
    const expected = goldenNumbers(methodFile(name));
    const frozen = goldenParams(name, model.backend, "frozen.");
    const prompts = Object.fromEntries(
      Object.entries(frozen.tree).map(([task, rows]) => [task, promptOf(rows as Tensor)]),
    );
    const all = { ...params, frozen: { prompts: frozen.tree } } as unknown as IptAutoencoderParams;
    const tasks = ["one", "two"].map((task, i) => {
      const row = <T>(rows: readonly T[]): readonly T[] => [rows[i]!];
      const { inputIds, attentionMask, labels } = goldenBatch();
      return {
        method: iptAutoencoder({ prompts, task, intrinsic: 3, hidden: 7 }),
        batch: {
          inputIds: row(inputIds),
          attentionMask: row(attentionMask!),
          labels: row(labels as readonly (readonly number[])[]),
        },
      };
    });
    for (const [i, { method, batch }] of tasks.entries()) {
      const { loss, grads } = await lossAndGrad(model, { method, params: all }, batch, {
        labelSmoothing: 0.1,
      });
      assertClose([loss], [expected.get("losses")![i]!], 1e-5, `loss of task ${i}`);
      dispose(grads);
    }
    const { value, gradients } = scope((): Synchronous<{ value: Tensor; gradients: Tree }> =>
      iptGradients(model, all, tasks)
    );
    assertClose(await read(value), expected.get("loss")!, 1e-5, "loss");
    await assertGradients(name, gradients, 1e-4);
    dispose([value, gradients]);
    frozen.dispose();
  }));

publishedCount(
  "iptAutoencoder() has its paper's sizes for prompts of 100 rows of 768, BART-base's width",
  () => {
    for (const [intrinsic, all] of [[250, 78_452_218], [5, 59_447_813]] as const) {
      const coder = ({ backend }: Model): Method => {
        const prompts = { t: promptOf(zeros([100, 768], backend)) };
        return iptAutoencoder({ prompts, task: "t", intrinsic }) as Method;
      };
      assert.equal(trainableOf(bertOf(768, 12, 28_996), coder), all);
    }
  },
);
printedShares("iptAutoencoder()", [
  ["IPT's autoencoder, BART-base k 250", 78_452_218, "BART-base", "56.27"],
]);
