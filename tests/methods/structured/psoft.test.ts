/**
 * PSOFT: the laws of methods, PEFT's numbers (tests/oracles/peft_subspace.py), bad options, its own folder, and the folders that PEFT
 * has of it.
 */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  chooseTargets,
  dispose,
  fold,
  forward,
  graft,
  keep,
  key,
  leaves,
  type Model,
  read,
  scope,
  sizesOf,
  type Synchronous,
  type TargetOptions,
  type Tree,
} from "../../../core/mod.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { principalSubspace, psoft, type PsoftOptions, toLora } from "../../../methods/mod.ts";
import { normal, orthogonalRows } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { inFolder } from "../../support/folder.ts";
import { goldenCase } from "../../support/golden_case.ts";
import { ALL, each } from "../../support/linear_laws.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { noised } from "../../support/subject.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

async function logitsOf(model: Model, adapter: Adapter): Promise<Float32Array> {
  const { logits } = forward(graft(model, adapter), { inputIds: [[1, 2, 3, 4]] });
  const numbers = await read(logits);
  logits.storage.free();
  return numbers as Float32Array;
}

Deno.test("psoft() and principalSubspace() refuse what a layer cannot have, by its name", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const q = "model.layers.0.self_attn.q_proj"; // [16, 12]
    await assert.rejects(
      principalSubspace(model, { rank: 13 }),
      /rank 13 from ".*q_proj" \[16, 12\]: choose at most 12/,
    );
    await assert.rejects(principalSubspace(model, { rank: 0 }), /rank to be a positive integer but found 0/);
    await assert.rejects(
      principalSubspace(model, { rank: 2, targets: ["embed_tokens"] }),
      /Cannot turn the embedding "model\.embed_tokens" within a subspace/,
    );
    const one = await principalSubspace(model, { rank: 1, targets: ["q_proj"] });
    assert.throws(
      () => psoft({ subspace: one }),
      /subspace of ".*q_proj" to be \[r, in\] with r of 2 or more but/,
    );
    assert.throws(() => psoft({ subspace: {} }), /Expected a subspace of at least one layer but found none/);
    const { [q]: v } = await principalSubspace(model, { rank: 3, targets: [q] });
    assert.throws(
      () => psoft({ subspace: { [q]: v! }, dropout: 1 }),
      /option "dropout" to be a number from 0 up to 1 but found 1/,
    );
    assert.throws(
      () => psoft({ subspace: { [q]: v! }, rotation: { terms: 0 } }),
      /option "rotation" to be .* \{"terms": a positive integer of at most 256\} but found \{"terms":0\}/,
    );
    assert.throws(
      () => adapt(model, psoft({ subspace: { q: v! } })),
      /psoft on "q": the model has no such layer/,
    );
    assert.throws(
      () => adapt(model, psoft({ subspace: { "model.layers.0.mlp.down_proj": v! } })),
      /down_proj": its input has 10 features and the subspace 12/,
    );
    dispose([one, v]);
    model.dispose();
  }));

Deno.test("psoft() comes back from our own folder, is refused for PEFT's, and is plain LoRA of its rank", () =>
  assertNoLeak(() =>
    inFolder(async (folder) => {
      const model = tinyLlama(reference(), 1);
      const subspace = await principalSubspace(model, { rank: 3 });
      const method = psoft({ subspace, rotation: { terms: 6 }, vectors: "before", dropout: 0.1 });
      const fresh = adapt(model, method);
      const adapter: Adapter = { method, params: noised(fresh.params as Tree, key(2)) };
      await assert.rejects(
        saveAdapter(folder, adapter, model, { format: "peft" }),
        /^TypeError: Cannot save "psoft" as a PEFT folder: PEFT finds its subspaces anew/,
      );
      await saveAdapter(folder, adapter, model, { format: "graft" });
      const again = await loadAdapter(folder, model);
      assert.deepEqual(again.method.config, method.config);
      assert.deepEqual(await logitsOf(model, again), await logitsOf(model, adapter));
      const lora = await toLora(model, adapter, { rank: 3 });
      assertClose(await logitsOf(model, lora.adapter), await logitsOf(model, adapter), 1e-4, "as LoRA");
      dispose([again.params, adapter.params, fresh.params, lora.adapter.params]);
      model.dispose();
    })
  ));

Deno.test("loadAdapter() says why it cannot read PEFT's folders of PSOFT", () =>
  assertNoLeak(() =>
    inFolder(async (folder) => {
      const model = tinyLlama(reference(), 1);
      Deno.writeTextFileSync(`${folder}/adapter_config.json`, JSON.stringify({ peft_type: "PSOFT", r: 4 }));
      Deno.writeFileSync(
        `${folder}/adapter_model.safetensors`,
        Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 123, 125),
      );
      await assert.rejects(
        loadAdapter(folder, model),
        /type PSOFT: .* whose signs LAPACK chose .* merge it in PEFT/,
      );
      model.dispose();
    })
  ));

/** PSOFT within random subspaces: laws know of no principal ones, which a GPU finds on the host alone. */
const within =
  (targets: TargetOptions, rank: number, options: Omit<PsoftOptions, "subspace">) => (model: Model) => {
    const root = keep(scope(() =>
      Object.fromEntries(
        chooseTargets(model.spec, targets).map((place) => {
          const shape = [rank, sizesOf(place).inFeatures] as const;
          return [place.path, orthogonalRows(normal(fold(key(1), place.path), shape, model.backend))];
        }),
      ) as Synchronous<PsoftOptions["subspace"]>
    ));
    return { method: psoft({ ...options, subspace: root.tree }), dispose: () => root.dispose() };
  };

methodLaws("psoft()", {
  method: within({}, 4, { dropout: 0.2 }),
  atInit: "base",
  merges: "and unmerges",
  counts: (model) => ({
    ...each({}, () => 6 + 2 * 4)(model),
    stored: each({}, (i) => 6 + 2 * 4 + 4 * i)(model).trainable!,
  }),
  runs: 2,
});

methodLaws("psoft() by a series, with β alone", {
  method: within(ALL, 3, { rotation: { terms: 5 }, vectors: "after" }),
  atInit: "base",
  merges: "only",
  counts: each(ALL, () => 3 + 3),
  runs: 2,
});

methodLaws("psoft() with a free matrix", {
  method: within({}, 3, { rotation: "free", vectors: "none" }),
  atInit: "base",
  merges: "only",
  counts: each({}, () => 9),
  runs: 2,
});

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
