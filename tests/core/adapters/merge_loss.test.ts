/** What rounding takes from a merge, against the same sums taken with JavaScript's own half floats. */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  dispose,
  fn,
  lookup,
  mapTree,
  memory,
  merge,
  mergeLoss,
  type Method,
  quantize,
  read,
  type Tensor,
} from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import { lora } from "../../../methods/mod.ts";
import { zeros } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { wasm } from "../../../ops/wasm/mod.ts";
import { GOLDEN } from "../../support/golden.ts";

/** Bases, and two layers of a block; GPT-2's lie [in, out]. */
const BASES = {
  "llama_lora/base": ["model.layers", "self_attn.q_proj", "mlp.down_proj"],
  "peft_folders/bases/gpt2": ["transformer.h", "attn.c_attn", "mlp.c_proj"],
} as const;

for (
  const [backend, base] of [reference(), await wasm({ threads: 1 })].flatMap((backend) =>
    (["llama_lora/base", "peft_folders/bases/gpt2"] as const).map((base) => [backend, base] as const)
  )
) {
  Deno.test(`mergeLoss() is what Math.f16round loses, of ${base} on ${backend.name}`, async () => {
    const before = memory(backend).live;
    const [blocks, ...targets] = BASES[base];
    const paths = targets.flatMap((name) => [0, 1].map((i) => `${blocks}.${i}.${name}.weight`));
    const model = await loadModel(`${GOLDEN}${base}`, { backend, dtype: "f16" });
    // So small that most entries round back to the base.
    const method = lora({ rank: 2, alpha: 2e-3, targets, initialization: "none" });
    const fresh = adapt(model, method, 9);
    // A weight whose update is zero everywhere: its entries count neither as changed nor as lost.
    const untouched = lookup(fresh.params, `${blocks}.0.${targets[1]}.b`) as Tensor;
    const nothing = zeros(untouched.shape, backend);
    const params = mapTree(fresh.params, (leaf) => leaf === untouched ? nothing : leaf);
    const adapter = { ...fresh, params };
    const exact = merge(model, adapter);
    const sums = [0, 0, 0, 0];
    for (const path of paths) {
      const [w, merged] = [
        await read(lookup(model.weights, path) as Tensor),
        await read(lookup(exact.weights, path) as Tensor),
      ];
      merged.forEach((x, i) => {
        const stored = Math.f16round(x);
        sums[0]! += (stored - x) ** 2;
        sums[1]! += (x - w[i]!) ** 2;
        if (x !== w[i]) {
          sums[2]! += Number(stored === w[i]);
          sums[3]! += 1;
        }
      });
    }
    const loss = await mergeLoss(model, adapter, { dtype: "f16" });
    assert.ok(sums[2]! > 0.1 * sums[3]! && sums[2]! < sums[3]!, "the case is neither trivial");
    assert.ok(Math.abs(loss.lost / (sums[0]! / sums[1]!) - 1) < 1e-4); // f32 sums
    assert.equal(loss.unchanged, sums[2]! / sums[3]!);
    assert.deepEqual(
      loss.weights.map((w) => [w.path, w.dtype]).sort(),
      paths.map((path) => [path, "f16"]).sort(),
    );
    assert.deepEqual(await mergeLoss(model, adapter), {
      lost: 0,
      unchanged: 0,
      weights: loss.weights.map(({ path }) => ({ path, dtype: "f32", lost: 0, unchanged: 0 })),
    });
    exact.dispose();
    dispose([fresh.params, nothing]);
    model.dispose();
    assert.equal(memory(backend).live, before);
  });
}

Deno.test("mergeLoss() of a merge that requantizes loses more the fewer bits there are", async () => {
  const backend = reference();
  const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend });
  const adapter = adapt(model, lora({ rank: 2, targets: "all-linear", initialization: "none" }), 2);
  const lost = async (base: typeof model, dtype: "same" | "nf4" | "int8" | "bf16" | "f16"): Promise<number> =>
    (await mergeLoss(base, adapter, { dtype })).lost;
  const small = quantize(model, { dtype: "nf4" });
  const same = await lost(small, "same");
  assert.equal(same, await lost(small, "nf4"));
  assert.ok(same > await lost(small, "int8") && await lost(small, "int8") > await lost(small, "bf16"));
  assert.ok(await lost(small, "bf16") > await lost(small, "f16") && await lost(small, "f16") > 0);
  small.dispose();
  dispose(adapter.params);
  model.dispose();
  assert.equal(memory(backend).live, 0);
});

Deno.test("mergeLoss() measures a tied head's update from the table that it had", async () => {
  const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend: reference() });
  const adapter = adapt(
    model,
    lora({ rank: 2, alpha: 1e-3, targets: ["lm_head"], initialization: "none" }),
    4,
  );
  const { weights: [head, ...rest], lost } = await mergeLoss(model, adapter, { dtype: "f16" });
  assert.deepEqual([head!.path, rest.length], ["lm_head.weight", 0]);
  // The update is 1e-3 of the size of the weights' own steps, so most of it is lost.
  assert.ok(lost > 0.1);
  dispose(adapter.params);
  model.dispose();
});

Deno.test("mergeLoss() refuses what merge refuses", async () => {
  const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend: reference() });
  const method: Method = {
    name: "gate",
    config: {},
    init: () => ({}),
    edits: () => [{
      kind: "hidden",
      path: "model.layers.0.mlp",
      reads: "output",
      delta: fn({}, (_, call) => call.y),
    }],
  };
  const adapter: Adapter = { method, params: {} };
  await assert.rejects(mergeLoss(model, adapter, { dtype: "f16" }), /Cannot merge the hidden edit/);
  model.dispose();
});
