/** Every command that computes, with `--backend gpu`: the same results as on wasm. */
import assert from "node:assert/strict";
import { assertClose } from "../support/assert.ts";
import { gpuTest } from "../support/gpu.ts";
import { finetuned } from "./in_process.ts";
import { graft, numbersOf, temporaryFolder, tinyData, tinyModel } from "./tiny.ts";

/** Runs a command that must succeed. */
async function run(args: readonly string[]): Promise<{ readonly out: string; readonly err: string }> {
  const { code, out, err } = await graft(args);
  assert.equal(code, 0, err);
  return { out, err };
}

gpuTest("commands compute on --backend gpu what they compute on wasm", async () => {
  using folder = temporaryFolder();
  const { path } = folder;
  const [model, data] = [tinyModel(path), tinyData(path)];
  const on = (backend: string) => ["-m", model, "--backend", backend];
  const adapters: string[] = [];
  for (const backend of ["wasm", "gpu"]) {
    const output = `${path}/adapter-${backend}`;
    adapters.push(output);
    const steps = [
      "--max-steps",
      "3",
      "--batch-size",
      "2",
      "--accumulate",
      "1",
      "--rank",
      "2",
      "--eval-every",
      "50",
    ];
    const profile = backend === "gpu" ? ["--profile"] : [];
    const { err } = await run(["finetune", ...on(backend), "-d", data, "-o", output, ...steps, ...profile]);
    if (backend === "gpu") {
      assert.match(
        err,
        /A step on .*: \d+ kernels in [1-3] submissions, .* bound, .* G in products and attention, [\d.]+ a byte/,
      );
      assert.match(err, /kernel +calls +bytes +operations +operations a byte/);
      assert.match(err, /\nadamw +\d/);
    }
  }
  const weights = adapters.map((folder) => numbersOf(`${folder}/adapter_model.safetensors`));
  for (const [name, numbers] of weights[0]!) assertClose(weights[1]!.get(name)!, numbers, 1e-3, name);

  const results = { wasm: new Map<string, string>(), gpu: new Map<string, string>() };
  for (const backend of ["wasm", "gpu"] as const) {
    const tuned = [...on(backend), "--adapter", adapters[0]!];
    const evaluated = await run([
      "evaluate",
      ...tuned,
      "-d",
      data,
      "--rouge",
      "2",
      "--max-new-tokens",
      "4",
      "--json",
    ]);
    results[backend].set("loss", JSON.parse(evaluated.out).loss.toFixed(3));
    const written = await run(["generate", ...tuned, "--prompt", "cat and dog:", "--max-new-tokens", "6"]);
    results[backend].set("text", written.out);
    await run(["merge", ...tuned, "-o", `${path}/merged-${backend}`]);
    await run(["quantize", ...on(backend), "--type", "nf4", "-o", `${path}/quantized-${backend}`]);
  }
  assert.deepEqual(results.gpu, results.wasm);
  const [merged, other] = ["gpu", "wasm"].map((backend) =>
    numbersOf(`${path}/merged-${backend}/model.safetensors`)
  );
  for (const [name, numbers] of other!) assertClose(merged!.get(name)!, numbers, 1e-5, name);
});

Deno.test("graft finetune refuses --profile on another backend before it makes the folder", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  const args = [
    "finetune",
    "-m",
    model,
    "-d",
    data,
    "-o",
    `${folder.path}/a`,
    "--backend",
    "wasm",
    "--profile",
  ];
  const { code, err } = await graft(args);
  assert.notEqual(code, 0);
  assert.match(err, /Expected --backend gpu with --profile/);
  assert.throws(() => Deno.statSync(`${folder.path}/a`), Deno.errors.NotFound);
});

gpuTest("graft finetune --precision f16 logs the loss' scale, and continues to the same bits", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  const [whole, cut] = [`${folder.path}/whole`, `${folder.path}/cut`];
  const flags = {
    ...{ model, data, method: "lora", rank: 2, backend: "gpu", precision: "f16" } as const,
    ...{ maxSteps: 6, epochs: 2, saveEvery: 2 },
  };
  const result = await finetuned({ ...flags, output: whole });
  assert.deepEqual(result.lossScale, { scale: 65536, good: 6, skipped: 0 });
  const lines = metricsOf(whole).filter((line) => "loss" in line);
  assert.deepEqual(lines.map(({ lossScale }) => lossScale), Array(6).fill(65536));

  // Ctrl-C after the first step.
  const stopped = finetuned({ ...flags, output: cut }, (said, interrupt) => {
    if (said.includes("step 1/6")) interrupt();
  });
  await assert.rejects(stopped, (error: { code?: number }) => error.code === 130);
  const f32 = { ...flags, precision: "f32" } as const;
  await assert.rejects(
    finetuned({ ...f32, output: cut, resume: true }),
    /--precision was "f16" and is not given now; give the options that it began with/,
  );
  const resumed = await finetuned({ ...flags, output: cut, resume: true });
  assert.deepEqual(resumed.lossScale, result.lossScale);
  assert.deepEqual(metricsOf(cut), metricsOf(whole));
  const bytes = (folder: string) => Deno.readFileSync(`${folder}/adapter_model.safetensors`);
  assert.deepEqual(bytes(cut), bytes(whole));
});

Deno.test("graft finetune refuses --precision f16 on another backend before it makes the folder", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  const args = ["finetune", "-m", model, "-d", data, "-o", `${folder.path}/a`, "--precision", "f16"];
  const { code, err } = await graft(args);
  assert.equal(code, 2);
  assert.match(err, /Expected --backend gpu with --precision f16: other backends multiply in f32/);
  assert.throws(() => Deno.statSync(`${folder.path}/a`), Deno.errors.NotFound);
});

gpuTest("graft finetune --backend gpu keeps to --memory, and says what would help", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  const args = ["finetune", "-m", model, "-d", data, "-o", `${folder.path}/a`, "--memory", "30kB"];
  const { code, err } = await graft([...args, "--backend", "gpu"]);
  assert.equal(code, 1);
  assert.match(
    err,
    /Cannot allocate .* on the GPU: .* held and the budget is 29\.3 KiB; use a quantized base/,
  );
  const other = await graft(args);
  assert.equal(other.code, 2);
  assert.match(other.err, /Expected --plan or --backend gpu with --memory/);
});

/** What a run logged, without times. */
function metricsOf(folder: string): readonly Record<string, unknown>[] {
  return Deno.readTextFileSync(`${folder}/metrics.jsonl`).trimEnd().split("\n").map((line) => {
    const { seconds: _, tokensPerSecond: __, ...entry } = JSON.parse(line);
    return entry;
  });
}
