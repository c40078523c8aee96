/**
 * corda(): golden lives of PEFT's (tests/oracles/corda.py), the folder that PEFT converts to plain LoRA, the function it leaves, what
 * counts of its texts, and what is refused.
 */
import assert from "node:assert/strict";
import { type Batch, dispose, graft, leaves, memory, type Model, read } from "../../../core/mod.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { corda, type CordaOptions } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { GOLDEN, goldenNumbers } from "../../support/golden.ts";
import { goldenBase } from "../../support/golden_method.ts";
import { GOLDEN_LORA, goldenLogits, leavesFunction, preparedLives } from "../../support/prepared_life.ts";

const batches: readonly Batch[] = JSON.parse(Deno.readTextFileSync(`${GOLDEN}corda/batches.json`));
const KNOWLEDGE: CordaOptions = { ...GOLDEN_LORA, mode: "knowledge-preserved" };

preparedLives("corda", (model) => corda(model, batches, GOLDEN_LORA));
// The vectors of values 1e-3 of the largest are known to so many digits in f32.
preparedLives("corda_knowledge", (model) => corda(model, batches, KNOWLEDGE), { init: 1e-4 });

/** The embedding that other prepared methods take is refused here. */
const headAlone = (targets: CordaOptions["targets"]) =>
  Array.isArray(targets) ? targets.filter((name) => name !== "embed_tokens") : targets;
for (const mode of ["instruction-previewed", "knowledge-preserved"] as const) {
  leavesFunction(
    `corda(), ${mode},`,
    (model, { targets, ...rest }) =>
      corda(model, batches, { ...rest, mode, ...targets !== undefined && { targets: headAlone(targets)! } }),
  );
}

Deno.test("a folder of CorDA that PEFT converted is plain LoRA of the original base", () =>
  assertNoLeak(async () => {
    const model = await goldenBase(reference());
    const adapter = await loadAdapter(`${GOLDEN}corda/corda_converted`, model);
    assert.equal(adapter.method.config["rank"], 6);
    const expected = goldenNumbers("corda/corda_converted/logits.safetensors").get("logits")!;
    assertClose(await goldenLogits(graft(model, adapter)), expected, 1e-5);
    dispose(adapter.params);
    model.dispose();
  }));

/** Every factor of a fresh adapter, by path. */
async function factors(model: Model, data: readonly Batch[]): Promise<ReadonlyMap<string, Float32Array>> {
  const prepared = await corda(model, data, GOLDEN_LORA);
  const found = await Promise.all(
    leaves(prepared.adapter.params).map(async ([path, t]) => [path, await read(t)] as const),
  );
  prepared.dispose();
  return new Map(found);
}

Deno.test("corda() counts each text as much, in whatever batch it is, and no padding", () =>
  assertNoLeak(async () => {
    const model = await goldenBase(reference());
    const texts = batches.flatMap(({ inputIds, attentionMask }) =>
      inputIds.map((row, i): Batch => ({ inputIds: [row.filter((_, j) => attentionMask![i]![j] === 1)] }))
    );
    const padded = batches.map(({ inputIds, attentionMask }): Batch => ({
      inputIds: inputIds.map((row, i) => row.map((id, j) => attentionMask![i]![j] === 1 ? id : 11)),
      attentionMask: attentionMask!,
    }));
    const wanted = await factors(model, batches);
    for (const data of [texts, padded]) {
      for (const [path, numbers] of await factors(model, data)) {
        assertClose(numbers, wanted.get(path)!, 1e-4, path);
      }
    }
    const fewer = await factors(model, texts.slice(1));
    assert.ok([...fewer].some(([path, numbers]) => Math.abs(numbers[0]! - wanted.get(path)![0]!) > 1e-3));
    model.dispose();
  }));

Deno.test("corda() refuses an embedding, a rank above a layer's smaller size, and data without a batch", async () => {
  const model = await goldenBase(reference());
  const before = memory(model.backend).live;
  const refused: readonly (readonly [readonly Batch[], CordaOptions, RegExp])[] = [
    [batches, { targets: ["embed_tokens"] }, /embedding "model\.embed_tokens" by CorDA: its inputs are ids/],
    [batches, { rank: 13, targets: ["v_proj"] }, /rank 13 from ".*v_proj" \[12, 24\]: choose at most 12/],
    [[], { rank: 2 }, /there are no batches/],
    [batches, { targets: ["nowhere"] }, /"nowhere" matches no layer/],
    [batches, { rank: 0 }, /"rank" to be a positive integer/],
    [
      batches,
      { mode: "ipm" as "knowledge-preserved" },
      /corda's option "mode" to be "instruction-previewed" or "knowledge-preserved" but found "ipm"/,
    ],
  ];
  for (const [data, options, message] of refused) await assert.rejects(corda(model, data, options), message);
  assert.equal(memory(model.backend).live, before);
  model.dispose();
});
