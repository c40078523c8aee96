/**
 * DEFT, PaRa, PEANuT, Lily and PSOFT against PEFT (tests/oracles/peft_subspace.py): logits, loss, gradients, the merged model and three
 * AdamW steps, on each backend. The signs of LAPACK's QR against PyTorch's.
 */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Batch,
  dispose,
  forward,
  graft,
  leaves,
  type Method,
  type Model,
  read,
  type Tree,
} from "../../core/mod.ts";
import { deft, lily, peanut, principalSubspace, psoft, type PsoftOptions } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { goldenNumbers } from "../support/golden.ts";
import { goldenCase } from "../support/golden_case.ts";
import { goldenBase, goldenBatch, goldenParams } from "../support/golden_method.ts";

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

for (const [name, method] of Object.entries(CASES)) {
  goldenCase(name, {
    adapter: (params) => ({ method, params }),
    merging: method.name === "lily" ? "apart" : "merges",
  });
}

const PSOFT: Readonly<Record<string, Omit<PsoftOptions, "subspace">>> = {
  psoft: {},
  psoft_terms: { rotation: { terms: 6 }, vectors: "after" },
  psoft_free: { rotation: "free", vectors: "none" },
};

/** V by layer's path among parameters. */
const subspaceIn = (params: Tree): PsoftOptions["subspace"] =>
  Object.fromEntries(
    leaves(params).filter(([path]) => path.endsWith(".frozen.v"))
      .map(([path, v]) => [path.slice(0, -".frozen.v".length), v]),
  );

for (const [name, options] of Object.entries(PSOFT)) {
  goldenCase(name, {
    adapter: (params) => ({ method: psoft({ ...options, subspace: subspaceIn(params) }), params }),
  });
}

for (const backendName of ALL_BACKENDS) {
  Deno.test(`principalSubspace() finds PEFT's directions but for their signs (${backendName})`, () =>
    withBackend(backendName, (backend) =>
      assertNoLeak(async () => {
        const model = await goldenBase(backend);
        const expected = goldenNumbers("methods/psoft.safetensors");
        for (const svd of ["exact", { iterations: 10 }] as const) {
          const subspace = await principalSubspace(model, { rank: 5, targets, svd });
          assert.equal(Object.keys(subspace).length, 6);
          for (const [path, v] of Object.entries(subspace)) {
            const [found, wanted] = [await read(v), expected.get(`param.${path}.frozen.v`)!];
            const width = v.shape[1]!;
            const signed = found.map((x, i) => {
              const row = Math.floor(i / width) * width;
              const dot = found.slice(row, row + width).reduce((sum, y, j) => sum + y * wanted[row + j]!, 0);
              return dot < 0 ? -x : x;
            });
            // 1e-4: vectors turn by f32's rounding over the gap between singular values.
            assertClose(signed, wanted, 1e-4, path);
          }
          dispose(subspace);
        }
        model.dispose();
      })));
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
