/** ipt(): the laws of methods, and a golden case. */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  dispose,
  keep,
  leaves,
  mapTree,
  type Method,
  read,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../../core/mod.ts";
import { knownMethods } from "../../../io/records/known_methods.ts";
import { ipt, iptAutoencoder, lora, promptTuning } from "../../../methods/mod.ts";
import { iptDefinition } from "../../../methods/soft_prompts/ipt.ts";
import { multiply } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { goldenNumbers } from "../../support/golden.ts";
import { assertGolden, goldenParams, onGolden } from "../../support/golden_method.ts";
import { WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { preparing } from "../../support/preparing.ts";
import { earlierPrompts, promptOf } from "../../support/prompts.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

methodLaws("ipt()", {
  method: (model) => {
    const { prompts, dispose } = earlierPrompts(model);
    const method = iptAutoencoder({ prompts, task: "one", intrinsic: 4 }) as Method;
    const params = keep(method.init({ model, key: 3 }));
    return {
      method: ipt({ autoencoder: { method, params: params.tree } }) as Method,
      dispose: () => {
        params.dispose();
        dispose();
      },
    };
  },
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({ trainable: 4, changed: 0 }),
});

Deno.test("ipt() equals a transcription of the paper's stage 3", () =>
  onGolden("ipt", async (model, params) => {
    const coder = goldenParams("ipt_autoencoder", model.backend);
    const source = goldenParams("ipt_autoencoder", model.backend, "frozen.");
    const prompts = { one: promptOf(source.tree["one"] as Tensor) };
    const autoencoder: Adapter = {
      method: iptAutoencoder({ prompts, task: "one", intrinsic: 3, hidden: 7 }) as Method,
      params: coder.tree,
    };
    const method = ipt({ autoencoder }) as Method;
    const all = { ...params, frozen: { decoder: coder.tree["decoder"]! } } as Tree;
    await assertGolden("ipt", model, { method, params: all });
    const finalized = method.finalize!(all, model.spec);
    assertClose(
      await read(finalized.params["rows"] as Tensor),
      goldenNumbers("soft_prompts/ipt.safetensors").get("rows")!,
      1e-5,
      "rows",
    );
    dispose(finalized.params);
    source.dispose();
    coder.dispose();
  }));

Deno.test("ipt() is prepared from a trained autoencoder, of which the decoder stays, or from a fresh one", async () => {
  const model = tinyLlama(reference(), 1);
  const prompt = promptTuning({ length: 3 }) as unknown as Method;
  const prompts = { one: adapt(model, prompt, 3), two: adapt(model, prompt, 4) };
  const coder = adapt(
    model,
    iptAutoencoder({ prompts, task: "one", intrinsic: 4, hidden: 6 }) as unknown as Method,
    5,
  );
  const folders = { a: prompt, b: prompt, other: lora({ rank: 1 }) };
  const sources = { one: "a", two: "b" };
  const prepared = (options: Readonly<Record<string, unknown>>) =>
    iptDefinition.prepare!({
      ...preparing(model, options, folders),
      ...options["autoencoder"] === "coder" && { load: () => Promise.resolve(copied(coder)) },
    });
  for (const options of [{ sources, intrinsic: 4, hidden: 6 }, { autoencoder: "coder" }]) {
    await assertNoLeak(async () => {
      const { adapter: { params } } = await prepared(options);
      const paths = ["weight", "bias"].flatMap((leaf) =>
        ["inner", "outer"].map((layer) => `frozen.decoder.${layer}.${leaf}`)
      );
      assert.deepEqual(leaves(params).map(([path]) => path).sort(), [...paths, "v"].sort());
      dispose(params);
    });
  }
  await assertNoLeak(() =>
    assert.rejects(prepared({ autoencoder: "other" }), /Expected a trained ipt-autoencoder/)
  );
  await assertNoLeak(() =>
    assert.rejects(prepared({ sources, task: "three" }), /a prompt for the task "three"/)
  );
  await assert.rejects(prepared({}), /ipt's option "sources" to be at least one trained adapter/);
  const planned = iptDefinition.plan!({
    model,
    options: { sources },
    stored: () => ({ prompt_embeddings: [3, WIDTH] }),
    method: knownMethods().get,
  });
  assert.deepEqual(planned.config, { length: 3 });
  model.dispose();
});

/** An adapter with tensors of its own, as one that was loaded. */
function copied({ method, params }: Adapter): Adapter {
  return { method, params: scope((): Synchronous<Tree> => mapTree(params, (t) => multiply(t, 1))) };
}
