/**
 * DEFT, PaRa and PEANuT against PEFT (tests/oracles/peft_subspace.py): logits, loss, gradients, the merged model and three
 * AdamW steps, on each backend. The signs of LAPACK's QR against PyTorch's.
 */
import type { Method } from "../../core/mod.ts";
import { deft, peanut } from "../../methods/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { assertGolden, goldenBase, goldenParams } from "../support/golden_method.ts";
import { assertMerged, assertShapes, assertSteps } from "../support/golden_training.ts";

const targets = ["q_proj", "v_proj", "down_proj"];

const CASES: Readonly<Record<string, Method>> = {
  deft: deft({ rank: 3, targets }),
  deft_scaled: deft({ rank: 5, alpha: 8, initialization: "normal", targets }),
  deft_qr: deft({ rank: 4, projection: "qr", targets }),
  para: deft({ rank: 4, projection: "qr", form: "para", targets }),
  peanut: peanut({ rank: 5, scale: 0.7, targets }),
  peanut_deep: peanut({ rank: 4, depth: 2, activation: "silu", targets }),
};

for (const backendName of ALL_BACKENDS) {
  for (const [name, method] of Object.entries(CASES)) {
    Deno.test(`${name} equals its golden case (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        assertNoLeak(async () => {
          const model = await goldenBase(backend);
          const params = goldenParams(name, backend);
          const adapter = { method, params: params.tree };
          assertShapes(model, adapter);
          await assertGolden(name, model, adapter);
          await assertMerged(name, model, adapter);
          await assertSteps(name, model, adapter);
          params.dispose();
          model.dispose();
        })));
  }
}
