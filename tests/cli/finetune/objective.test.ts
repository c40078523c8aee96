/** `graft finetune --objective` and `--from`, on tiny models. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { Exit } from "../../../cli/terminal/arguments.ts";
import { finetuned } from "../in_process.ts";
import { numbersOf, temporaryFolder, tinyData, tinyModel } from "../tiny.ts";

const WORDS = ["cat", "dog", "sun", "sea", "map", "tea"];

/** Pairs of answers: the word again is better than another one. */
function tinyPairs(folder: string): string {
  const lines = WORDS.map((word, i) =>
    JSON.stringify({
      prompt: [{ role: "user", content: word }],
      chosen: [{ role: "assistant", content: word }],
      rejected: [{ role: "assistant", content: WORDS[(i + 1) % 6] }],
    })
  );
  writeFileSync(`${folder}/pairs.jsonl`, lines.join("\n"));
  return `${folder}/pairs.jsonl`;
}

const metricsOf = (output: string): readonly Record<string, number>[] =>
  readFileSync(`${output}/metrics.jsonl`, "utf8").trim().split("\n").map((line) => JSON.parse(line));

for (const objective of ["dpo", "ipo", "orpo"] as const) {
  Deno.test(`--objective ${objective} prefers what is chosen, and logs rewards`, async () => {
    using folder = temporaryFolder();
    const [model, data, output] = [tinyModel(folder.path), tinyPairs(folder.path), `${folder.path}/out`];
    const common = { model, data, output, method: "lora", objective, learningRate: 0.02 } as const;
    const result = await finetuned({
      ...common,
      maxSteps: 12,
      epochs: 10,
      heldOut: 2,
      evalEvery: 12,
      keep: "last",
    });
    const log = metricsOf(output);
    const last = log.findLast((line) => "loss" in line)!;
    assert.ok(last["rewards/margins"]! > log.find((line) => "loss" in line)!["rewards/margins"]!);
    for (const name of ["chosen", "rejected", "margins", "accuracies"]) {
      assert.ok(`rewards/${name}` in result.evaluations.at(-1)!, name);
    }
    // At first it is its own reference, from which it then moves away.
    if (objective !== "orpo") {
      assert.ok(Math.abs(log[0]!["kl"]!) < 1e-5 && last["kl"]! > 1e-3, `${log[0]!["kl"]} ${last["kl"]}`);
      assert.ok(result.evaluations.at(-1)!["kl"]! > 1e-3);
    }
    // What is planned is what is used, to a tenth.
    assert.ok(Math.abs(result.peak / result.planned - 1) < 0.1, `${result.peak} of ${result.planned}`);
  });
}

Deno.test("--objective reward trains a head of one score beside the adapter, for PEFT and for us", async () => {
  using folder = temporaryFolder();
  const [model, data, output] = [tinyModel(folder.path), tinyPairs(folder.path), `${folder.path}/out`];
  const flags = { model, data, method: "lora", objective: "reward", learningRate: 0.02 } as const;
  await finetuned({ ...flags, output, maxSteps: 20, epochs: 20, heldOut: 0 });
  const log = metricsOf(output);
  assert.ok(log.at(-1)!["loss"]! < log[0]!["loss"]!);
  const numbers = numbersOf(`${output}/adapter_model.safetensors`);
  assert.deepEqual([...numbers.keys()].filter((name) => name.includes("score")), [
    "base_model.model.score.weight",
  ]);
  assert.match(readFileSync(`${output}/adapter_config.json`, "utf8"), /"task_type": "SEQ_CLS"/);
  // It goes on with the rewards that it had.
  const again = `${folder.path}/again`;
  await finetuned({ ...flags, output: again, from: output, maxSteps: 1, heldOut: 2 });
  assert.ok("rewards/accuracies" in metricsOf(again)[0]!);
});

Deno.test("--report tensorboard writes what the metrics file has, whole again after resuming", async () => {
  using folder = temporaryFolder();
  const [model, data, output] = [tinyModel(folder.path), tinyPairs(folder.path), `${folder.path}/out`];
  const flags = {
    model,
    data,
    output,
    method: "lora",
    objective: "dpo",
    maxSteps: 6,
    epochs: 9,
    saveEvery: 1,
  } as const;
  await assert.rejects(
    () =>
      finetuned({ ...flags, report: "tensorboard", evalEvery: 3 }, (text, interrupt) => {
        if (text.startsWith("step 1/6")) interrupt();
      }),
    Exit,
  );
  await finetuned({ ...flags, report: "tensorboard", evalEvery: 3, resume: true });
  const bytes = readFileSync(`${output}/events.out.tfevents.graft`);
  const records: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at));
    records.push(bytes.subarray(at + 12, at + 12 + length));
    at += length + 16;
  }
  const log = metricsOf(output);
  assert.equal(records.length, log.length + 1); // the first tells the version
  const text = records.map((record) => new TextDecoder("latin1").decode(record)).join("\n");
  for (const tag of ["train/loss", "eval/loss", "train/rewards/margins", "eval/rewards/accuracies"]) {
    assert.ok(text.includes(tag), tag);
  }
});

Deno.test("a decoder classifies texts", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), `${folder.path}/texts.csv`];
  writeFileSync(
    data,
    `text,label\n${WORDS.map((word, i) => `${word},${i % 2 ? "odd" : "even"}`).join("\n")}\n`,
  );
  const { evaluations } = await finetuned({
    ...{ model, data, output: `${folder.path}/out`, method: "lora", learningRate: 0.05 },
    ...{ maxSteps: 90, epochs: 30, heldOut: 0, evalData: data, evalEvery: 90 },
  });
  assert.equal(evaluations.at(-1)!["accuracy"], 1);
});

Deno.test("preference tuning that is interrupted and resumed ends with the same bits", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyPairs(folder.path)];
  const flags = {
    model,
    data,
    method: "lora",
    objective: "dpo",
    maxSteps: 6,
    epochs: 9,
    saveEvery: 1,
    heldOut: 0,
  } as const;
  await finetuned({ ...flags, output: `${folder.path}/whole` });
  const output = `${folder.path}/parts`;
  let said = "";
  await assert.rejects(
    () =>
      finetuned({ ...flags, output }, (text, interrupt) => {
        said += text;
        if (text.startsWith("step 1/6")) interrupt();
      }),
    Exit,
  );
  assert.match(said, /Computing the reference's log-probabilities of 6 pairs/);
  said = "";
  await finetuned({ ...flags, output, resume: true }, (text) => said += text);
  assert.match(said, /log-probabilities of 6 pairs are known from before/);
  assert.doesNotMatch(said, /Computing/);
  const file = "adapter_model.safetensors";
  assert.deepEqual(numbersOf(`${output}/${file}`), numbersOf(`${folder.path}/whole/${file}`));
});

Deno.test("a run of vectors is resumed with the pooling that it began with", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), `${folder.path}/pairs.csv`];
  writeFileSync(data, `anchor,positive\n${WORDS.map((word) => `${word},${word}`).join("\n")}\n`);
  const flags = { model, data, output: `${folder.path}/out`, method: "lora", objective: "ranking" } as const;
  const steps = { maxSteps: 4, epochs: 4, saveEvery: 1, heldOut: 0 };
  await assert.rejects(
    () =>
      finetuned({ ...flags, ...steps, pooling: "mean" }, (text, interrupt) => {
        if (text.startsWith("step 1/4")) interrupt();
      }),
    Exit,
  );
  await assert.rejects(
    () => finetuned({ ...flags, ...steps, pooling: "last", resume: true }),
    /--pooling was "mean" and is "last" now/,
  );
});

Deno.test("--from goes on from a saved adapter, which is the reference of preference tuning", async () => {
  using folder = temporaryFolder();
  const [model, pairs, data] = [tinyModel(folder.path), tinyPairs(folder.path), tinyData(folder.path)];
  const first = `${folder.path}/sft`;
  await finetuned({
    model,
    data,
    output: first,
    method: "dora",
    rank: 2,
    maxSteps: 4,
    epochs: 4,
    learningRate: 0.02,
  });
  const output = `${folder.path}/dpo`;
  await finetuned({
    model,
    data: pairs,
    output,
    method: "lora",
    from: first,
    objective: "dpo",
    maxSteps: 1,
    heldOut: 2,
  });
  // It is compared with itself at first, and stays the kind of adapter that it was.
  assert.deepEqual(metricsOf(output)[0]!["rewards/margins"], 0);
  assert.match(readFileSync(`${output}/adapter_config.json`, "utf8"), /"use_dora": true/);
  const file = "adapter_model.safetensors";
  const [before, after] = [numbersOf(`${first}/${file}`), numbersOf(`${output}/${file}`)];
  assert.deepEqual([...before.keys()].sort(), [...after.keys()].sort());
  // A step of size 0 leaves every number as it was.
  const same = `${folder.path}/same`;
  await finetuned({
    model,
    data,
    output: same,
    method: "lora",
    from: first,
    maxSteps: 1,
    learningRate: 1e-12,
    keep: "last",
  });
  for (const [name, numbers] of numbersOf(`${same}/${file}`)) {
    for (const [i, x] of numbers.entries()) assert.ok(Math.abs(x - before.get(name)![i]!) < 1e-6, name);
  }
  await assert.rejects(
    () => finetuned({ model, data, output: `${folder.path}/no`, method: "lora", from: first, rank: 8 }),
    /Cannot change --rank of the adapter that --from names/,
  );
});

Deno.test("--objective distill takes a teacher, or a prompt before the base", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
  const flags = {
    model,
    data,
    method: "lora",
    objective: "distill",
    learningRate: 0.02,
    epochs: 4,
    maxSteps: 8,
  } as const;
  const output = `${folder.path}/prompted`;
  await finetuned({ ...flags, output, teacherPrompt: "sun and sea" });
  const losses = metricsOf(output).flatMap((line) => "loss" in line ? [line["loss"]!] : []);
  assert.ok(losses.at(-1)! < losses[0]!, losses.join(" "));
  const itself = `${folder.path}/itself`;
  await finetuned({ ...flags, output: itself, teacher: model, maxSteps: 1 });
  assert.ok(metricsOf(itself).find((line) => "loss" in line)!["loss"]! < 1e-6);
});

Deno.test("objectives refuse other data and each other's flags", async () => {
  using folder = temporaryFolder();
  const [model, data, pairs] = [tinyModel(folder.path), tinyData(folder.path), tinyPairs(folder.path)];
  const bad = (flags: Omit<Parameters<typeof finetuned>[0], "output">, message: RegExp) =>
    assert.rejects(() => finetuned({ ...flags, model, output: `${folder.path}/out` }), message);
  const method = "lora";
  await bad(
    { data, method, objective: "dpo" },
    /Expected pairs of answers in .*but found prompt\/completion/,
  );
  await bad(
    { data: pairs, method, objective: "dpo", center: 1 },
    /Expected --objective reward with --center but found dpo/,
  );
  await bad({ data: pairs, method, beta: 0.1 }, /Expected --objective dpo with --beta but found sft/);
  await bad({ data, method, objective: "distill" }, /Expected --teacher with --objective distill/);
  await bad({ data: pairs, method, objective: "orpo", packing: true }, /Cannot pack texts that are compared/);
  await bad({ data: pairs, method }, /a preference record has no prompt with an answer/);
  const other = `${folder.path}/other`;
  Deno.mkdirSync(other);
  const teacher = tinyModel(other);
  const tokenizer = readFileSync(`${teacher}/tokenizer.json`, "utf8").replace('"a":4,"b":5', '"b":4,"a":5');
  writeFileSync(`${teacher}/tokenizer.json`, tokenizer);
  await bad(
    { data, method, objective: "distill", teacher },
    /Cannot distill from .*: its vocabulary is another one; token 4 is "b" there and "a" here/,
  );
});
