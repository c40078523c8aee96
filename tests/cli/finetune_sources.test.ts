/** Methods made of others, and those with side networks or groups, from the command line on the embedded model: a few steps each. */
import assert from "node:assert/strict";
import { UsageError } from "../../cli/arguments.ts";
import type { MethodName } from "../../cli/method_table.ts";
import { finetuned, type Result } from "./in_process.ts";
import { temporaryFolder, tinyData } from "./tiny.ts";

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
