/** `graft finetune` as a user runs it, on a tiny model: results, killed and interrupted runs, refusals. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { openSafetensors } from "../../formats/safetensors.ts";
import { openTrainingState } from "../../io/training_state.ts";
import { graft, graftArguments, temporaryFolder, tinyData, tinyModel } from "./tiny.ts";

/**
 * Long enough to be killed in the middle; everything that a checkpoint must carry is in use. The best step comes before
 * the second interruption, so the record of the best must survive it.
 */
const LONG = [
  ...[
    "--rank",
    "2",
    "--dropout",
    "0.05",
    "--learning-rate",
    "0.05",
    "--epochs",
    "16",
    "--accumulate",
    "2",
    "--packing",
  ],
  ...["--batch-size", "1", "--max-length", "40", "--optimizer", "adamw8bit", "--backend", "reference"],
  ...["--eval-every", "7", "--save-every", "5", "--seed", "3", "--schedule", "constant"],
];

function metricsOf(folder: string): readonly Record<string, unknown>[] {
  return Deno.readTextFileSync(`${folder}/metrics.jsonl`).trimEnd().split("\n").map((line) => {
    const { seconds: _, tokensPerSecond: __, ...entry } = JSON.parse(line);
    return entry;
  });
}

const adapterBytes = (folder: string): Uint8Array => Deno.readFileSync(`${folder}/adapter_model.safetensors`);

/** Starts a run and sends a signal when its log has so many lines. */
async function signalled(
  args: readonly string[],
  folder: string,
  lines: number,
  signal: Deno.Signal,
): Promise<{ readonly code: number; readonly err: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: graftArguments(args),
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const output = child.output();
  let over = false;
  output.then(() => over = true);
  while (!over) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    try {
      if (Deno.readTextFileSync(`${folder}/metrics.jsonl`).split("\n").length > lines) break;
    } catch {
      // Not there yet.
    }
  }
  if (!over) child.kill(signal);
  const { code, stderr } = await output;
  return { code, err: new TextDecoder().decode(stderr) };
}

Deno.test("graft finetune continues to the same bits after kill -9 and after Ctrl-C", async () => {
  using folder = temporaryFolder();
  const base = ["finetune", "-m", tinyModel(folder.path), "-d", tinyData(folder.path), ...LONG];
  const [whole, cut] = [`${folder.path}/whole`, `${folder.path}/cut`];
  const started = graft([...base, "-o", whole]);

  const killed = await signalled([...base, "-o", cut], cut, 12, "SIGKILL");
  assert.notEqual(killed.code, 0);
  assert.equal(await exists(`${cut}/adapter_model.safetensors`), false);
  const interrupted = await signalled([...base, "-o", cut, "--resume"], cut, 64, "SIGINT");
  assert.equal(interrupted.code, 130, interrupted.err);
  assert.match(
    interrupted.err,
    /Interrupted after step \d+ of \d+; to go on, repeat the command with --resume/,
  );
  const resumed = await graft([...base, "-o", cut, "--resume", "--json", "--keep-checkpoint"]);
  assert.equal(resumed.code, 0, resumed.err);

  assert.equal((await started).code, 0, (await started).err);
  assert.deepEqual(adapterBytes(cut), adapterBytes(whole));
  assert.deepEqual(metricsOf(cut), metricsOf(whole));
  const result = JSON.parse(resumed.out);
  assert.equal(result.outcome, "finished");
  const at = Number(/after step (\d+)/.exec(interrupted.err)![1]);
  assert.ok(result.best.step < at, `best at ${result.best.step}, interrupted at ${at}`);
  assert.equal(result.steps, result.totalSteps);
  assert.equal([...Deno.readDirSync(cut)].some(({ name }) => name.includes("partial")), false);

  const again = await graft([...base, "-o", cut, "--resume", "--learning-rate", "0.02"]);
  assert.equal(again.code, 1);
  assert.match(again.err, /Cannot resume .*cut: --learning-rate was 0.05 and is 0.02 now/);
  Deno.writeTextFileSync(`${folder.path}/data.jsonl`, '{"prompt": "x", "completion": "y"}\n', {
    append: true,
  });
  const changed = await graft([...base, "-o", cut, "--resume"]);
  assert.match(changed.err, /Cannot resume .*cut: --data has other bytes than when the run began/);
});

Deno.test("a cluster manager's warning and SIGTERM each write a checkpoint first, and the run goes on to the same bits", async () => {
  using folder = temporaryFolder();
  const base = ["finetune", "-m", tinyModel(folder.path), "-d", tinyData(folder.path), ...LONG];
  // No step of its own has a checkpoint: what is there was written for the signal.
  const args = [...base, "--save-every", "10000"];
  const [whole, cut] = [`${folder.path}/whole`, `${folder.path}/cut`];
  const started = graft([...args, "-o", whole]);
  let before = -1;
  for (const [signal, lines] of [["SIGUSR1", 12], ["SIGTERM", 30]] as const) {
    const { code, err } = await signalled([...args, "-o", cut, "--resume"], cut, lines, signal);
    assert.equal(code, 130, err);
    const step = Number(/Interrupted after step (\d+) of \d+/.exec(err)?.[1]);
    assert.ok(step > before, `${signal}: at step ${step}, after ${before}`);
    using state = openTrainingState(`${cut}/checkpoint/state.safetensors`);
    assert.equal(state.step, step);
    before = step;
  }
  const resumed = await graft([...args, "-o", cut, "--resume"]);
  assert.equal(resumed.code, 0, resumed.err);
  assert.equal((await started).code, 0, (await started).err);
  assert.deepEqual(adapterBytes(cut), adapterBytes(whole));
  assert.deepEqual(metricsOf(cut), metricsOf(whole));
});

Deno.test("graft finetune without --output writes to runs/<method>, and never twice", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  const args = ["finetune", "--model", model, "--data", data, "--method", "lora", "--max-steps", "1"];
  const first = await graft(args, undefined, folder.path);
  assert.equal(first.code, 0, first.err);
  assert.match(first.out, /written to runs\/lora/);
  const written = adapterBytes(`${folder.path}/runs/lora`);
  const second = await graft(args, undefined, folder.path);
  assert.equal(second.code, 1);
  assert.match(second.err, /Cannot write to runs\/lora: it exists; give another folder/);
  assert.deepEqual(adapterBytes(`${folder.path}/runs/lora`), written);
});

Deno.test("graft finetune writes an adapter that generate and evaluate use, and replaces a folder only when done", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  const output = `${folder.path}/adapter`;
  const args = ["finetune", "-m", model, "-d", data, "-o", output, "--backend", "reference", "--rank", "4"];
  const options = [
    "--learning-rate",
    "0.03",
    "--epochs",
    "12",
    "--accumulate",
    "1",
    "--rouge",
    "1",
    "--max-new-tokens",
    "9",
  ];
  const run = await graft([...args, ...options, "--licence", "apache-2.0", "--json"]);
  assert.equal(run.code, 0, run.err);
  const result = JSON.parse(run.out);
  // rank · (in + out) over q, o [24, 24], k, v [12, 24], gate, up, down of 28, in two layers.
  assert.equal(result.trainable, 2 * 4 * (2 * 48 + 2 * 36 + 3 * 52));
  assert.ok(result.evaluations.at(-1).loss < 0.8 * result.evaluations[0].loss, run.out);
  assert.ok(Math.abs(result.peak - result.planned) <= 0.1 * result.peak, `${result.planned} ${result.peak}`);
  assert.match(
    Deno.readTextFileSync(`${output}/README.md`),
    /apache-2\.0[^]*SHA-256 [0-9a-f]{64}[^]*graft finetune/,
  );
  const config = JSON.parse(Deno.readTextFileSync(`${output}/adapter_config.json`));
  assert.deepEqual([config.peft_type, config.r, config.lora_alpha], ["LORA", 4, 8]);
  const evaluated = metricsOf(output).filter((entry) => "evalLoss" in entry);
  for (const name of ["evalLoss", "perplexity", "rouge1", "rouge2", "rougeL"]) {
    assert.equal(typeof evaluated[0]![name], "number", name);
  }
  for (const name of ["loss", "learningRate", "gradientNorm", "tokens"]) {
    assert.equal(typeof metricsOf(output)[1]![name], "number", name);
  }

  const measure = async (...more: string[]) => {
    const ran = await graft([
      "evaluate",
      "-m",
      model,
      "-d",
      data,
      "--backend",
      "reference",
      "--json",
      ...more,
    ]);
    assert.equal(ran.code, 0, ran.err);
    return JSON.parse(ran.out);
  };
  const held = ["--held-out", "0.1", "--rouge", "0"];
  const [before, after] = [await measure(...held), await measure(...held, "--adapter", output)];
  // The adapter that was written is the best one seen, whichever command measures it (1e-5: f32 sums in another order).
  close(before.loss, result.evaluations[0].loss, 1e-5);
  close(after.loss, result.best.value, 1e-5);

  const write = async (seed: string, ...more: string[]) => {
    const ran = await graft([
      ...["generate", "-m", model, "--backend", "reference", "--max-new-tokens", "12", "--seed", seed],
      ...more,
    ], "cat and dog:\n");
    assert.equal(ran.code, 0, ran.err);
    return ran.out;
  };
  assert.notEqual(await write("0"), await write("0", "--adapter", output));
  const drawn = ["--temperature", "1.5", "--chat"];
  assert.equal(await write("1", ...drawn), await write("1", ...drawn));
  assert.notEqual(await write("1", ...drawn), await write("2", ...drawn));

  const old = adapterBytes(output);
  const refused = await graft([...args, ...options]);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /^graft: Cannot write to .*adapter: it exists; give .* --resume .* --overwrite/);
  const failed = await graft([
    ...args,
    "--overwrite",
    "--learning-rate",
    "1e30",
    "--schedule",
    "constant",
    "--clip",
    "1e30",
  ]);
  assert.equal(failed.code, 1);
  assert.match(failed.err, /graft: The loss of step \d+ is .*lower the learning rate/);
  assert.deepEqual(adapterBytes(output), old);
  Deno.removeSync(`${output}.new`, { recursive: true });
  const replaced = await graft([
    ...args,
    "--overwrite",
    "--epochs",
    "1",
    "--method",
    "rslora",
    "--seed",
    "9",
  ]);
  assert.equal(replaced.code, 0, replaced.err);
  assert.notDeepEqual(adapterBytes(output), old);
  assert.deepEqual([...Deno.readDirSync(folder.path)].map(({ name }) => name).sort(), [
    "adapter",
    "data.jsonl",
    "model",
  ]);
});

Deno.test("graft finetune trains by every method on wasm, and its result loads", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  for (const method of ["qlora", "dora", "ia3", "full"]) {
    const output = `${folder.path}/${method}`;
    const ran = await graft([
      ...["finetune", "-m", model, "-d", data, "-o", output, "--method", method, "--threads", "1"],
      ...[
        "--max-steps",
        "2",
        "--eval-data",
        data,
        "--checkpoint-blocks",
        "--learning-rate",
        "0.01",
        "--json",
      ],
    ]);
    assert.equal(ran.code, 0, ran.err);
    const { peak, planned, steps, evaluations } = JSON.parse(ran.out);
    assert.deepEqual(evaluations.map((found: { readonly step: number }) => found.step), [0, 1, 2]);
    assert.equal(steps, 2);
    assert.ok(Math.abs(peak - planned) <= 0.1 * peak, `${method}: planned ${planned}, measured ${peak}`);
    const place = method === "full" ? ["-m", output] : ["-m", model, "--adapter", output];
    const used = await graft(["evaluate", ...place, "-d", data, "--threads", "1", "--rouge", "0", "--json"]);
    assert.equal(used.code, 0, used.err);
    assert.ok(Number.isFinite(JSON.parse(used.out).loss));
  }
  const file = openSafetensors(`${folder.path}/full/model.safetensors`);
  const size = [...file.tensors.values()].reduce((n, { shape }) => n + shape.reduce((a, b) => a * b, 1), 0)
    .toLocaleString("en-US");
  const card = Deno.readTextFileSync(`${folder.path}/full/README.md`);
  const hash = createHash("sha256").update(Deno.readFileSync(data)).digest("hex");
  for (
    const line of [
      `base_model: ${JSON.stringify(model)}`,
      `| Base | ${model} |`,
      "| Licence | not stated; the base's terms apply to what is made from it |",
      "| Method | full-fine-tune |",
      `| Training data | 12 examples of ${data}, SHA-256 ${hash} |`,
      `| Trained parameters | ${size}, 100 % of the base's ${size} |`,
    ]
  ) assert.ok(card.split("\n").includes(line), `${line}\n${card}`);
  assert.match(card, /\ngraft finetune .* --method full --threads 1 .*--json\n/);
  assert.ok(file.tensors.has("model.embed_tokens.weight"));
  file.close();
});

Deno.test("graft finetune keeps the last checkpoint when a file cannot grow", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  const output = `${folder.path}/adapter`;
  const args = [
    "finetune",
    "-m",
    model,
    "-d",
    data,
    "-o",
    output,
    "--backend",
    "reference",
    "--held-out",
    "0",
  ];
  const first = await graft([...args, "--rank", "1", "--max-steps", "1", "--keep-checkpoint"]);
  assert.equal(first.code, 0, first.err);
  const state = Deno.readFileSync(`${output}/checkpoint/state.safetensors`);
  // A limit on file sizes stands in for a full disk: the write fails in the middle.
  const ran = await new Deno.Command("bash", {
    args: [
      "-c",
      `trap '' XFSZ; ulimit -f 8; exec "$0" "$@"`,
      Deno.execPath(),
      ...graftArguments([...args, "--overwrite", "--rank", "24", "--max-steps", "1"]),
    ],
    stdout: "piped",
    stderr: "piped",
  }).output();
  const err = new TextDecoder().decode(ran.stderr);
  assert.equal(ran.code, 1, err);
  assert.match(err, /graft: Cannot write .*state\.safetensors: .*; what was there before is whole/);
  assert.deepEqual(Deno.readFileSync(`${output}/checkpoint/state.safetensors`), state);
  const left = [...Deno.readDirSync(`${output}.new/checkpoint`)];
  assert.deepEqual(left, [], "no half-written file");
});

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

function close(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance * Math.abs(expected), `${actual} for ${expected}`);
}
