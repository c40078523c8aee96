/** Methods made of others, and those with side networks or groups, from the command line on the embedded model: a few steps each. */
import assert from "node:assert/strict";
import { UsageError } from "../../tuning/usage_error.ts";
import { sourced } from "../../tuning/sources.ts";
import type { MethodName } from "../../tuning/method_catalog.ts";
import { adapt, type Adapter, dispose, leaves, type Model } from "../../core/mod.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import { iptAutoencoder, lora, promptTuning } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { tinyLlama } from "../support/tiny_models.ts";
import { finetuned, type Result } from "../cli/in_process.ts";
import { temporaryFolder, tinyData } from "../cli/tiny.ts";

type Options = Readonly<Record<string, unknown>>;

const run = (
  folder: string,
  name: string,
  method: MethodName,
  options: Options = {},
): Promise<Result> =>
  finetuned({
    method,
    data: `${folder}/data.jsonl`,
    output: `${folder}/${name}`,
    backend: "wasm",
    ...Object.keys(options).length > 0 && { options: options as never },
  });

const losses = ({ evaluations }: Result): readonly number[] => evaluations.map(({ loss }) => loss);

Deno.test("finetune trains s4, attention-fusion, lets and sparse-adapter on the embedded model", async () => {
  using folder = temporaryFolder();
  Deno.renameSync(tinyData(folder.path), `${folder.path}/data.jsonl`);
  for (
    const [method, options] of [
      ["s4", {}],
      ["attention-fusion", { scale: "root" }],
      ["lets", { layers: [3, 4] }],
      ["sparse-adapter", { host: "pfeiffer", keep: 0.3, score: "magnitude" }],
      ["sparse-adapter", {}],
    ] as const
  ) {
    const name = `${method}-${Object.keys(options).length}`;
    const result = await run(folder.path, name, method, options);
    assert.equal(result.steps, 2, method);
    assert.ok(losses(result).every(Number.isFinite) && losses(result).length > 0, method);
    assert.ok(result.trainable > 0, method);
  }
});

Deno.test("finetune fuses trained adapters, mixes experts and starts prompts from others, by their folders", async () => {
  using folder = temporaryFolder();
  Deno.renameSync(tinyData(folder.path), `${folder.path}/data.jsonl`);
  const at = (name: string): string => `${folder.path}/${name}`;
  for (const name of ["one", "two"]) await run(folder.path, `pfeiffer-${name}`, "pfeiffer");
  for (const name of ["one", "two"]) await run(folder.path, `lora-${name}`, "lora", { rank: 2, alpha: 2 });
  for (const name of ["one", "two"]) await run(folder.path, `prompt-${name}`, "prompt", { length: 3 });

  const both = (kind: string) => ({ one: at(`${kind}-one`), two: at(`${kind}-two`) });
  const annealed = { from: 50, steps: 1000 };
  const fused = await run(folder.path, "fused", "adapter-fusion", {
    adapters: both("pfeiffer"),
    temperature: annealed,
  });
  assert.equal(fused.trainable, 5 * (3 * 192 * 192 + 2 * 192), "3 d² + 2 d a block");
  await run(folder.path, "mixed", "xlora", { experts: both("lora"), topK: 1 });
  const { graft } = JSON.parse(Deno.readTextFileSync(`${at("mixed")}/adapter_config.json`));
  assert.equal(graft.method, "xlora"); // PEFT gives experts numbers for names
  await run(folder.path, "from-one", "spot", { sources: { one: at("prompt-one") } });
  await run(folder.path, "from-nearest", "spot", {
    sources: both("prompt"),
    task: at("prompt-two"),
    nearest: 1,
  });
  const intrinsic = await run(folder.path, "intrinsic", "ipt", {
    sources: both("prompt"),
    intrinsic: 5,
    hidden: 8,
  });
  assert.equal(intrinsic.trainable, 5, "k numbers");
});

Deno.test("finetune says which folders a method made of others needs", async () => {
  using folder = temporaryFolder();
  Deno.renameSync(tinyData(folder.path), `${folder.path}/data.jsonl`);
  await assert.rejects(
    run(folder.path, "nothing", "xlora", { experts: { one: "somewhere" } }),
    (error) => error instanceof UsageError && /at least 2 trained adapters/.test(error.message),
  );
  await assert.rejects(run(folder.path, "odd", "adapter-fusion", { adaptors: {} }), /no option "adaptors"/);
});

/** Saves an adapter, frees it, and gives its folder. */
async function saved(model: Model, path: string, adapter: Adapter): Promise<string> {
  await saveAdapter(path, adapter, model, { format: "graft" });
  dispose(adapter.params);
  return path;
}

Deno.test("sourced() keeps of IPT's autoencoder the decoder alone, fresh and from a folder", async () => {
  using folder = temporaryFolder();
  const model = tinyLlama(reference(), 1);
  const prompt = (key: number): Adapter =>
    adapt(model, promptTuning({ length: 3 }), key) as unknown as Adapter;
  const sources = {
    one: await saved(model, `${folder.path}/one`, prompt(1)),
    two: await saved(model, `${folder.path}/two`, prompt(2)),
  };
  const prompts = { one: prompt(3), two: prompt(4) };
  const coder = adapt(model, iptAutoencoder({ prompts, task: "one", intrinsic: 4, hidden: 6 }), 5);
  const autoencoder = await saved(model, `${folder.path}/coder`, coder as unknown as Adapter);
  const other = await saved(model, `${folder.path}/other`, adapt(model, lora({ rank: 1 }), 6));
  const made = (options: Options): Promise<Adapter> =>
    sourced(model, { method: "ipt", seed: 0, options: options as never }, () => []);
  for (const options of [{ sources, intrinsic: 4, hidden: 6 }, { autoencoder }]) {
    await assertNoLeak(async () => {
      const { params } = await made(options);
      const paths = ["weight", "bias"].flatMap((leaf) =>
        ["inner", "outer"].map((layer) => `frozen.decoder.${layer}.${leaf}`)
      );
      assert.deepEqual(leaves(params).map(([path]) => path).sort(), [...paths, "v"].sort());
      dispose(params);
    });
  }
  await assertNoLeak(() =>
    assert.rejects(made({ autoencoder: other }), /Expected a trained ipt-autoencoder/)
  );
  await assertNoLeak(() => assert.rejects(made({ sources, task: "three" }), /a prompt for the task "three"/));
  model.dispose();
});
