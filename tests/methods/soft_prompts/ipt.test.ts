/** ipt(): the laws of methods, and a golden case. */
import { type Adapter, dispose, keep, type Method, read, type Tensor, type Tree } from "../../../core/mod.ts";
import { ipt, iptAutoencoder } from "../../../methods/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { goldenNumbers } from "../../support/golden.ts";
import { assertGolden, goldenParams, onGolden } from "../../support/golden_method.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { earlierPrompts, promptOf } from "../../support/prompts.ts";

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
    const prompts = { one: promptOf(source.tree.one as Tensor) };
    const autoencoder: Adapter = {
      method: iptAutoencoder({ prompts, task: "one", intrinsic: 3, hidden: 7 }) as Method,
      params: coder.tree,
    };
    const method = ipt({ autoencoder }) as Method;
    const all = { ...params, frozen: { decoder: coder.tree.decoder! } } as Tree;
    await assertGolden("ipt", model, { method, params: all });
    const finalized = method.finalize!(all, model.spec);
    assertClose(
      await read(finalized.params.rows as Tensor),
      goldenNumbers("soft_prompts/ipt.safetensors").get("rows")!,
      1e-5,
      "rows",
    );
    dispose(finalized.params);
    source.dispose();
    coder.dispose();
  }));
