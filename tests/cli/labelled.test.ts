/** Classification, tagging, scoring and T5 through the command line, on tiny fresh models. */
import assert from "node:assert/strict";
import type { ModelConfig } from "../../core/mod.ts";
import type { RunFlags } from "../../cli/finetune/run_flags.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { tokenizer } from "../../formats/tokenizer.ts";
import { saveModel } from "../../io/save_model.ts";
import { freshModel } from "../../models/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { GOLDEN } from "../support/golden.ts";
import { finetuned, loadedLoss } from "./in_process.ts";
import { graft, temporaryFolder } from "./tiny.ts";

const SIZES = {
  bert_uncased: {
    model_type: "bert",
    hidden_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    intermediate_size: 24,
    max_position_embeddings: 40,
  },
  roberta: {
    model_type: "roberta",
    hidden_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    intermediate_size: 24,
    max_position_embeddings: 42,
  },
  t5: {
    model_type: "t5",
    d_model: 16,
    d_kv: 8,
    d_ff: 24,
    num_layers: 1,
    num_heads: 2,
    decoder_start_token_id: 0,
  },
} as const;

/** A fresh model with a real tokenizer, in a folder. */
async function freshFolder(path: string, name: keyof typeof SIZES): Promise<string> {
  const files = JSON.parse(Deno.readTextFileSync(`${GOLDEN}tokenizer_goldens/${name}.json`));
  const { vocabSize, pad, eos } = tokenizer(files);
  const config: ModelConfig = {
    ...SIZES[name],
    vocab_size: vocabSize,
    ...pad !== undefined && { pad_token_id: pad },
    ...eos !== undefined && { eos_token_id: eos },
  };
  const model = freshModel(config, { backend: reference(), key: 1, deviation: 0.2 });
  await saveModel(`${path}/${name}`, model);
  model.dispose();
  Deno.writeTextFileSync(`${path}/${name}/tokenizer.json`, JSON.stringify(files.tokenizer));
  Deno.writeTextFileSync(`${path}/${name}/tokenizer_config.json`, JSON.stringify(files.config ?? {}));
  return `${path}/${name}`;
}

const WORDS = ["cat", "dog", "sun", "sea", "map", "tea"] as const;

/** The first word decides. */
function written(path: string, kind: "class" | "pair" | "tags" | "score"): string {
  const lines = Array.from({ length: 24 }, (_, i) => {
    const [a, b] = [WORDS[i % 6]!, WORDS[(i * 5 + 1) % 6]!];
    const good = i % 6 < 3;
    switch (kind) {
      case "class":
        return { text: `${a} ${b}`, label: good ? "good" : "bad" };
      case "pair":
        return { text: a, pair: b, label: good ? 1 : 0 };
      case "score":
        return { text: `${a} ${b}`, score: i % 6 / 3 };
      case "tags":
        return { tokens: [a, b], tags: [a, b].map((word) => WORDS.indexOf(word) < 3 ? "B-X" : "O") };
    }
  });
  const file = `${path}/${kind}.jsonl`;
  Deno.writeTextFileSync(file, lines.map((line) => JSON.stringify(line)).join("\n"));
  return file;
}

const LEARN: Partial<RunFlags> = { maxSteps: 100, epochs: 20, batchSize: 4, learningRate: 0.006, heldOut: 4 };

/** What `graft evaluate` prints of the held-out examples. */
async function measured(model: string, data: string, adapter?: string): Promise<Record<string, number>> {
  const ran = await graft([
    ...[
      "evaluate",
      "-m",
      model,
      "-d",
      data,
      "--held-out",
      "4",
      "--batch-size",
      "4",
      "--backend",
      "reference",
    ],
    ...adapter === undefined ? [] : ["--adapter", adapter],
    "--json",
  ]);
  assert.equal(ran.code, 0, ran.err);
  return JSON.parse(ran.out);
}

const close = (a: number, b: number): void =>
  assert.ok(Math.abs(a - b) <= 1e-5 * Math.abs(b), `${a} for ${b}`);

Deno.test("graft finetune trains a classifier of texts: head trained, saved, loaded and scored", async () => {
  using folder = temporaryFolder();
  const [model, data] = [await freshFolder(folder.path, "bert_uncased"), written(folder.path, "class")];
  const output = `${folder.path}/adapter`;
  const { evaluations } = await finetuned({ ...LEARN, model, data, output, method: "lora", rank: 4 });
  const [first, last] = [evaluations[0]!, evaluations.at(-1)!];
  assert.ok(last.loss < 0.3 * first.loss, `${first.loss} → ${last.loss}`);
  assert.equal(last["accuracy"], 1);
  assert.equal(last["perplexity"], undefined);
  const config = JSON.parse(Deno.readTextFileSync(`${output}/adapter_config.json`));
  assert.deepEqual([config.task_type, config.modules_to_save], ["SEQ_CLS", [
    "bert.pooler.dense",
    "classifier",
  ]]);
  assert.deepEqual(JSON.parse(Deno.readTextFileSync(`${output}/task.json`)), {
    kind: "classify",
    names: ["bad", "good"],
  });
  const file = openSafetensors(`${output}/adapter_model.safetensors`);
  assert.deepEqual(file.tensors.get("base_model.model.classifier.weight")?.shape, [2, 16]);
  file.close();
  const log = Deno.readTextFileSync(`${output}/metrics.jsonl`).trimEnd().split("\n").map((line) =>
    JSON.parse(line)
  );
  const logged = log.filter((entry) => "evalLoss" in entry);
  assert.equal(logged.at(-1).accuracy, 1);
  assert.equal(typeof logged.at(-1).matthews, "number");

  const again = await measured(model, data, output);
  close(again["loss"]!, last.loss);
  assert.deepEqual([again["examples"], again["accuracy"], again["f1"]], [4, 1, 1]);

  const merged = `${folder.path}/merged`;
  const ran = await graft(["merge", "-m", model, "-a", output, "-o", merged, "--backend", "reference"]);
  assert.equal(ran.code, 0, ran.err);
  close((await measured(merged, data))["loss"]!, last.loss);

  const generated = await graft([
    "generate",
    "-m",
    model,
    "-a",
    output,
    "-p",
    "cat",
    "--backend",
    "reference",
  ]);
  assert.match(generated.err, /Cannot generate with bert: it has no decoder/);
  const texts = `${folder.path}/texts.jsonl`;
  Deno.writeTextFileSync(texts, '{"prompt": "cat", "completion": "dog"}\n');
  const refused = await graft(["evaluate", "-m", merged, "-d", texts, "--backend", "reference"]);
  assert.match(refused.err, /Cannot read .*texts\.jsonl with bert, which writes no answers/);
  const headless = await graft(["evaluate", "-m", model, "-d", data, "--backend", "reference"]);
  assert.match(headless.err, /Cannot read the labels of .*class\.jsonl with a bert whose head is for none/);
});

Deno.test("graft finetune by methods of each kind trains a head beside itself", async () => {
  using folder = temporaryFolder();
  const model = await freshFolder(folder.path, "roberta");
  const data = written(folder.path, "pair");
  const methods = ["houlsby", "pissa", "adamix", "bitfit", "fish-mask", "eva", "p-tuning-v2", "ia3"] as const;
  for (const method of methods) {
    const output = `${folder.path}/${method}`;
    const flags = method === "fish-mask" ? { options: { ratio: 0.1 } } : method === "eva" ? { rank: 2 } : {};
    const { evaluations } = await finetuned({ ...LEARN, ...flags, maxSteps: 4, model, data, output, method });
    const again = await loadedLoss(model, data, output, 4);
    close(again, evaluations.at(-1)!.loss);
    const config = JSON.parse(Deno.readTextFileSync(`${output}/adapter_config.json`));
    const form = { pissa: "LORA", eva: "LORA", ia3: "IA3" }[method as string];
    assert.equal(config.peft_type, form, method);
  }
  const output = `${folder.path}/full`;
  const { evaluations } = await finetuned({ ...LEARN, maxSteps: 4, model, data, output, method: "full" });
  close((await measured(output, data))["loss"]!, evaluations.at(-1)!.loss);
  const long = finetuned({ model, data, output: `${folder.path}/long`, method: "lora", maxLength: 41 });
  await assert.rejects(long, /Expected --max-length of at most 40, the model's context, but found 41/);
});

Deno.test("graft finetune tags words and scores texts", async () => {
  using folder = temporaryFolder();
  const model = await freshFolder(folder.path, "bert_uncased");
  const tags = written(folder.path, "tags");
  const [tagger, scorer] = [`${folder.path}/tagger`, `${folder.path}/scorer`];
  const tagged = await finetuned({ ...LEARN, model, data: tags, output: tagger, method: "lora", rank: 4 });
  assert.equal(tagged.evaluations.at(-1)!["accuracy"], 1);
  close(await loadedLoss(model, tags, tagger, 4), tagged.evaluations.at(-1)!.loss);
  const scores = written(folder.path, "score");
  const scored = await finetuned({
    ...LEARN,
    model,
    data: scores,
    output: scorer,
    method: "lora",
    rank: 4,
    learningRate: 0.01,
  });
  const last = scored.evaluations.at(-1)!;
  assert.ok(Number.isFinite(last["pearson"]) && Number.isFinite(last["spearman"]), JSON.stringify(last));
  const { loss } = JSON.parse(Deno.readTextFileSync(`${scorer}/metrics.jsonl`).trimEnd().split("\n").at(-2)!);
  assert.ok(loss < 0.2, `a mean squared error of ${loss}, where the scores' variance is 0.32`);
  close(await loadedLoss(model, scores, scorer, 4), scored.evaluations.at(-1)!.loss);
  const mixed = finetuned({
    model,
    data: tags,
    evalData: scores,
    output: `${folder.path}/x`,
    method: "lora",
  });
  const alike = `${folder.path}/alike.jsonl`;
  Deno.writeTextFileSync(
    alike,
    '{"text": "cat", "label": "good"}\n{"text": "dog", "label": "good"}\n'.repeat(4),
  );
  await assert.rejects(
    finetuned({ model, data: alike, output: `${folder.path}/x`, method: "lora" }),
    /Cannot tell classes apart in .*alike\.jsonl: all examples are "good"/,
  );
  await assert.rejects(mixed, /Cannot read the scores of .*score\.jsonl with a bert whose head is for token/);
});

Deno.test("graft finetune learns several classes of a text, from a list or from columns of a table", async () => {
  using folder = temporaryFolder();
  const model = await freshFolder(folder.path, "bert_uncased");
  const texts = Array.from({ length: 24 }, (_, i) => [WORDS[i % 6]!, WORDS[(i * 5 + 1) % 6]!] as const);
  const listed = `${folder.path}/listed.jsonl`;
  Deno.writeTextFileSync(
    listed,
    texts.map(([a, b]) =>
      JSON.stringify({ text: `${a} ${b}`, labels: [a, b].filter((word) => word < "map") })
    ).join("\n"),
  );
  const table = `${folder.path}/table.csv`;
  Deno.writeTextFileSync(
    table,
    `words,animal,place\n${
      texts.map(([a, b]) => `${a} ${b},${[a, b].some((word) => word < "map")},${a < "sea" ? "land" : "sky"}`)
        .join("\n")
    }\n`,
  );
  const flags = {
    ...LEARN,
    model,
    method: "lora",
    rank: 4,
    maxSteps: 160,
    epochs: 40,
    learningRate: 0.01,
  } as const;
  const output = `${folder.path}/listed`;
  const { evaluations } = await finetuned({ ...flags, data: listed, output });
  const [first, last] = [evaluations[0]!, evaluations.at(-1)!];
  assert.ok(
    last.loss < 0.5 * first.loss && last["accuracy"]! >= 0.75,
    `${first.loss} → ${last.loss} ${last["accuracy"]}`,
  );
  assert.deepEqual(JSON.parse(Deno.readTextFileSync(`${output}/task.json`)), {
    kind: "flag",
    names: ["cat", "dog"],
  });
  const again = await measured(model, listed, output);
  close(again["loss"]!, last.loss);
  assert.equal(again["accuracy"], last["accuracy"]);

  const columns = `${folder.path}/columns`;
  const fields = { text: "words", labels: "animal+place" };
  const second = await finetuned({ ...flags, data: table, output: columns, fields });
  assert.ok(second.evaluations.at(-1)!.loss < 0.5 * second.evaluations[0]!.loss);
  assert.deepEqual(JSON.parse(Deno.readTextFileSync(`${columns}/task.json`)), {
    kind: "flag",
    names: ["animal", "place: land", "place: sky"],
  });
  const unknown = `${folder.path}/unknown.jsonl`;
  Deno.writeTextFileSync(unknown, '{"text": "cat", "labels": ["cat"]}\n{"text": "cow", "labels": ["cow"]}\n');
  const refused = await graft([
    "evaluate",
    "-m",
    model,
    "-a",
    output,
    "-d",
    unknown,
    "--backend",
    "reference",
  ]);
  assert.match(refused.err, /unknown\.jsonl line 2: "cow" is none of the classes cat, dog/);
});

Deno.test("graft finetune trains a T5 on prompts and answers, without a limit of length", async () => {
  using folder = temporaryFolder();
  const model = await freshFolder(folder.path, "t5");
  const data = `${folder.path}/data.jsonl`;
  const lines = Array.from(
    { length: 12 },
    (_, i) => ({ prompt: `say ${WORDS[i % 6]}`, completion: WORDS[i % 6] }),
  );
  Deno.writeTextFileSync(data, lines.map((line) => JSON.stringify(line)).join("\n"));
  for (const method of ["lora", "cross-attention", "prefix"] as const) {
    const output = `${folder.path}/${method}`;
    const { evaluations } = await finetuned({
      ...{ ...LEARN, maxSteps: 6, maxLength: 900, model, data, output, method, rouge: 2 },
      ...method === "lora" && { rank: 4 },
    });
    assert.ok(evaluations.at(-1)!.loss < evaluations[0]!.loss);
    assert.equal(typeof evaluations[0]!["rougeL"], "number");
    close(await loadedLoss(model, data, output, 4), evaluations.at(-1)!.loss);
  }
});
