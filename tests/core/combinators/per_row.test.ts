/** Adapters by rows: loss, gradients, caches, generation, encoders and heads. The laws of methods test each method's rows. */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Batch,
  count,
  dispose,
  forward,
  generateIds,
  graft,
  leaves,
  lossAndGrad,
  merge,
  type Method,
  type Model,
  perRow,
  read,
  type Tree,
} from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import {
  fullFineTune,
  ladderSideTuning,
  lora,
  pfeiffer,
  prefixTuning,
  promptTuning,
  pTuningV2,
} from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { GOLDEN } from "../../support/golden.ts";
import { trained } from "../../support/subject.ts";
import { tinyGpt2, tinyLlama } from "../../support/tiny_models.ts";

const METHODS: Readonly<Record<string, Method>> = {
  prompt: promptTuning({ length: 3 }) as Method,
  prefix: prefixTuning({ length: 2, network: "none" }),
  lora: lora({ rank: 2, initialization: "none", targets: "all-linear" }) as Method,
  full: fullFineTune(),
  side: ladderSideTuning({ reduction: 2 }),
};
const NAMES = ["side", "lora", null, "prompt", "full", "prefix", "lora"];
const PROMPTS = [[3, 1, 4, 1], [5], [9, 2, 6], [8, 8], [1, 2, 3, 4, 5], [7], [2, 6]];

const alone = (model: Model, adapters: Readonly<Record<string, Adapter>>, name: string | null): Model =>
  name === null ? model : graft(model, adapters[name]!);

async function onTiny(f: (model: Model) => Promise<void>): Promise<void> {
  for (const tiny of [tinyLlama, tinyGpt2]) {
    await assertNoLeak(async () => {
      const model = tiny(reference(), 11);
      await f(model);
      model.dispose();
    });
  }
}

Deno.test("generateIds() continues prompts under different methods as each alone", () =>
  onTiny(async (model) => {
    const { adapters, dispose } = trained(model, METHODS);
    const tuned = graft(model, perRow(adapters));
    const options = { maxNewTokens: 6, eos: [] };
    const together = await generateIds(tuned, PROMPTS, { ...options, rows: NAMES });
    for (const [i, name] of NAMES.entries()) {
      assert.deepEqual(
        together[i],
        await generateIds(alone(model, adapters, name), PROMPTS[i]!, options),
        `prompt ${i}, ${name}`,
      );
    }
    dispose();
  }));

Deno.test("generateIds() fills the context of each prompt under its own adapter, whose rows take room", () =>
  assertNoLeak(async () => {
    const model = tinyGpt2(reference(), 11);
    const { adapters, dispose } = trained(model, METHODS);
    const tuned = graft(model, perRow(adapters));
    const options = { maxNewTokens: 40, eos: [] }; // the context holds 32
    for (const prompts of [PROMPTS, PROMPTS.map(([first]) => [first!])]) {
      const together = await generateIds(tuned, prompts, { ...options, rows: NAMES });
      for (const [i, name] of NAMES.entries()) {
        const expected = await generateIds(alone(model, adapters, name), prompts[i]!, options);
        assert.deepEqual(together[i], expected, `prompt ${i}, ${name}`);
      }
    }
    dispose();
    model.dispose();
  }));

Deno.test("lossAndGrad() under adapters by rows is the mean over all labels, and each adapter's own gradient", () =>
  onTiny(async (model) => {
    const { adapters, dispose: done } = trained(model, METHODS);
    const inputIds = [[3, 1, 4, 1], [5, 9, 2, 6], [5, 3, 5, 8]];
    const labels = [[3, 1, 4, 1], [-100, -100, 2, 6], [-100, -100, -100, 8]]; // 4 (the first by the prompt), 2 and 1
    const rows = ["prompt", "lora", "prompt"];
    const { loss, grads } = await lossAndGrad(model, perRow(adapters), { inputIds, labels, rows });
    const part = async (name: string, at: readonly number[]) => {
      const batch = { inputIds: at.map((i) => inputIds[i]!), labels: at.map((i) => labels[i]!) };
      return await lossAndGrad(model, adapters[name]!, batch, { labelCount: 7 });
    };
    const [prompt, one] = [await part("prompt", [0, 2]), await part("lora", [1])];
    assertClose([loss], [prompt.loss + one.loss], 1e-6);
    for (const [name, expected] of [["prompt", prompt], ["lora", one]] as const) {
      const found = new Map(leaves(grads[name] as Tree));
      for (const [path, g] of leaves(expected.grads)) {
        assertClose(await read(found.get(path)!), await read(g), 1e-5, path);
      }
      dispose(expected.grads);
    }
    for (const [path, g] of leaves(grads["full"] as Tree)) {
      assert.ok(
        (await read(g)).every((x) => x === 0),
        `${path} of an adapter that no row names has no gradient`,
      );
    }
    dispose(grads);
    done();
  }));

/** Encoders and a decoder of its own: rows of a batch under adapters of their own equal each alone. */
async function onGolden(base: string, methods: Readonly<Record<string, Method>>): Promise<void> {
  await assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}encoders/${base}`, { backend: reference() });
    const batch: Batch = JSON.parse(Deno.readTextFileSync(`${GOLDEN}encoders/${base}/case.json`));
    const { adapters, dispose } = trained(model, methods);
    const names = Object.keys(methods);
    const rows = batch.inputIds.map((_, i) => names[i % names.length]!);
    const numbers = async (model: Model, batch: Batch): Promise<Float32Array> => {
      const { logits } = forward(model, batch);
      const found = await read(logits);
      logits.storage.free();
      return found as Float32Array;
    };
    const together = await numbers(graft(model, perRow(adapters)), { ...batch, rows });
    const n = together.length / rows.length;
    for (const [i, name] of rows.entries()) {
      const one = Object.fromEntries(
        Object.entries(batch).map(([field, values]) => [field, [(values as readonly unknown[])[i]]]),
      ) as unknown as Batch;
      const expected = await numbers(alone(model, adapters, name), one);
      assertClose(together.subarray(i * n, (i + 1) * n), expected, 1e-5, `row ${i}, ${name}`);
    }
    dispose();
    model.dispose();
  });
}

Deno.test("loss() refuses rows under adapters of their own that have no labels", () =>
  onTiny(async (model) => {
    const { adapters, dispose: done } = trained(model, METHODS);
    const batch = { inputIds: [[3, 1], [5, 9]], labels: [[3, 1]], rows: ["prompt", "lora"] };
    await assert.rejects(lossAndGrad(model, perRow(adapters), batch), {
      name: "RangeError",
      message: "Cannot take a loss: 2 rows of the batch have 1 labels",
    });
    done();
  }));

Deno.test("rows of BERT and T5 have adapters and classifiers of their own", async () => {
  await onGolden("bert_text", {
    v2: pTuningV2({ length: 2 }) as Method,
    prompt: promptTuning({ length: 3 }) as Method,
  });
  await onGolden("t5", {
    prompt: promptTuning({ length: 3 }) as Method,
    adapter: pfeiffer({ reduction: 4 }),
  });
});

Deno.test("perRow() counts its parts, finalizes them, and refuses what it cannot do", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 3);
    const { adapters, dispose: done } = trained(model, {
      lora: lora({ rank: 1 }) as Method,
      prefix: prefixTuning({ length: 2, network: { hidden: 3 } }),
    });
    const both = perRow(adapters);
    assert.equal(
      count(model, both).trainable,
      count(model, adapters["lora"]!).trainable + count(model, adapters["prefix"]!).trainable,
    );
    const finalized = both.method.finalize!(both.params, model.spec);
    assert.equal(finalized.method.name, "perRow(lora, prefix)");
    const inputIds = [[1, 2, 3], [1, 2, 3]];
    const rows = ["prefix", "lora"];
    const logits = async (adapter: Adapter) => {
      const out = forward(graft(model, adapter), { inputIds, rows }).logits;
      const numbers = await read(out);
      out.storage.free();
      return numbers;
    };
    assertClose(await logits(finalized), await logits(both), 1e-6);
    dispose((finalized.params as Tree)["prefix"]);

    const run = (model: Model, batch: Batch) => forward(model, batch);
    const tuned = graft(model, both);
    assert.throws(
      () => run(tuned, { inputIds }),
      /Expected an adapter's name for each of 2 rows \(lora, prefix, or null\)/,
    );
    assert.throws(() => run(tuned, { inputIds, rows: ["lora"] }), /for each of 2 rows/);
    assert.throws(() => run(tuned, { inputIds, rows: ["lora", "lora2"] }), /but found "lora2"/);
    assert.throws(() => run(model, { inputIds, rows }), /graft perRow/);
    assert.throws(() => merge(model, both), TypeError);
    assert.throws(() => graft(model, perRow({ both })), /itself one by rows/);
    assert.throws(() => perRow({}), /at least one adapter/);
    const first = forward(tuned, { inputIds, rows }, { keepCache: true });
    assert.throws(
      () => forward(tuned, { inputIds, rows: ["lora", "prefix"] }, { cache: first.cache! }),
      TypeError,
    );
    dispose(first);
    done();
    model.dispose();
  }));

Deno.test("an adapter grafted besides adapters by rows holds for every row, in the order of grafting", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 3);
    const { adapters, dispose } = trained(model, {
      shared: pfeiffer({ reduction: 4 }),
      own: pfeiffer({ reduction: 3 }),
    });
    const { shared, own } = adapters as { readonly shared: Adapter; readonly own: Adapter };
    const inputIds = [[1, 2, 3], [1, 2, 3]];
    const logits = async (model: Model, batch: Batch) => {
      const out = forward(model, batch).logits;
      const numbers = await read(out);
      out.storage.free();
      return numbers;
    };
    const rows = ["own", null];
    const one = { inputIds: [inputIds[0]!] };
    const first = await logits(graft(graft(model, shared), perRow({ own })), { inputIds, rows });
    const last = await logits(graft(graft(model, perRow({ own })), shared), { inputIds, rows });
    const n = first.length / 2;
    assertClose(first.subarray(0, n), await logits(graft(graft(model, shared), own), one), 1e-6);
    assertClose(last.subarray(0, n), await logits(graft(graft(model, own), shared), one), 1e-6);
    for (const rest of [first.subarray(n), last.subarray(n)]) {
      assertClose(rest, await logits(graft(model, shared), one), 1e-6);
    }
    dispose();
    model.dispose();
  }));
