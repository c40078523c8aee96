/**
 * DEFT, PaRa, PEANuT and Lily against PEFT (tests/oracles/peft_subspace.py): logits, loss, gradients, the merged model and three
 * AdamW steps, on each backend. The signs of LAPACK's QR against PyTorch's.
 */
import { type Adapter, type Batch, forward, graft, type Method, type Model, read } from "../../core/mod.ts";
import { deft, lily, peanut } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { assertGolden, goldenBase, goldenBatch, goldenParams } from "../support/golden_method.ts";
import { assertMerged, assertShapes, assertSteps } from "../support/golden_training.ts";

const targets = ["q_proj", "v_proj", "down_proj"];

const CASES: Readonly<Record<string, Method>> = {
  deft: deft({ rank: 3, targets }),
  deft_scaled: deft({ rank: 5, alpha: 8, initialization: "normal", targets }),
  deft_qr: deft({ rank: 4, projection: "qr", targets }),
  para: deft({ rank: 4, projection: "qr", form: "para", targets }),
  peanut: peanut({ rank: 5, scale: 0.7, targets }),
  peanut_deep: peanut({ rank: 4, depth: 2, activation: "silu", targets }),
  lily: lily({ rank: 5, experts: 3, scale: 1.5, mean: "batch", targets }),
  lily_shared: lily({ rank: 4, stride: 2, mean: "batch", targets }),
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
          if (method.name !== "lily") await assertMerged(name, model, adapter);
          await assertSteps(name, model, adapter);
          params.dispose();
          model.dispose();
        })));
  }
}

Deno.test("lily() averages over each text what the authors average over a batch: of one text the two are one", () =>
  assertNoLeak(async () => {
    const backend = reference();
    const model = await goldenBase(backend);
    const params = goldenParams("lily", backend);
    const { inputIds, attentionMask = [] } = goldenBatch();
    const logits = async (mean: "text" | "batch", batch: Batch): Promise<Float32Array> => {
      const method = lily({ rank: 5, experts: 3, scale: 1.5, mean, targets });
      return await logitsOf(model, { method, params: params.tree }, batch);
    };
    const alone = (i: number): Batch => ({ inputIds: [inputIds[i]!], attentionMask: [attentionMask[i]!] });
    const each = await Promise.all(inputIds.map((_, i) => logits("batch", alone(i))));
    const together = await logits("text", { inputIds, attentionMask });
    assertClose(together, each.flatMap((numbers) => [...numbers]), 1e-5, "logits");
    params.dispose();
    model.dispose();
  }));

async function logitsOf(model: Model, adapter: Adapter, batch: Batch): Promise<Float32Array> {
  const { logits } = forward(graft(model, adapter), batch);
  const numbers = await read(logits);
  logits.storage.free();
  return numbers as Float32Array;
}
