/** `graft compare` on a tiny model: one table from four processes. */
import assert from "node:assert/strict";
import { quantize, weightBytes } from "../../core/mod.ts";
import { DESKS } from "../../embedded/conversations/desks/mod.ts";
import { conversation } from "../../embedded/conversations/mod.ts";
import { comparison } from "../../cli/compare/report.ts";
import { writeConversations } from "../../cli/compare/data.ts";
import type { MethodResult } from "../../cli/compare/method.ts";
import { loadModel } from "../../io/load_model.ts";
import { fold, key } from "../../core/mod.ts";
import { withBackend } from "../support/backends.ts";
import { graft, temporaryFolder, tinyData, tinyModel } from "./tiny.ts";

const SHORT = ["--batch-size", "2", "--rouge", "2", "--max-new-tokens", "3", "--rank", "2", "--threads", "1"];
const RATES = ["--rates", "full=1e-3,lora=5e-3,qlora=5e-3,ia3=3e-2"];

Deno.test("graft compare --json gives every method's counts, bytes and losses", async () => {
  using folder = temporaryFolder();
  const [model, data] = [tinyModel(folder.path), tinyData(folder.path, 20)];
  const ran = await graft([
    "compare",
    "-m",
    model,
    "-d",
    data,
    "--held-out",
    "4",
    "--steps",
    "30",
    "--json",
    ...SHORT,
    ...RATES,
  ]);
  assert.equal(ran.code, 0, ran.err);
  const methods: readonly MethodResult[] = JSON.parse(ran.out).methods;
  assert.deepEqual(methods.map((m) => m.method), ["full-fine-tune", "lora", "qlora", "ia3"]);
  const [full, lora, qlora, ia3] = methods as readonly [
    MethodResult,
    MethodResult,
    MethodResult,
    MethodResult,
  ];
  // Rank 2 on q, k, v, o, gate, up, down of two layers; (IA)³ on k, v and the input of down.
  const factors = 2 * 2 * (2 * (24 + 24) + 2 * (24 + 12) + 3 * (24 + 28));
  assert.deepEqual(methods.map((m) => m.trainable), [8496, factors, factors, 2 * (12 + 12 + 28)]);
  assert.ok(methods.every((m) => m.base === 8496));
  await withBackend("reference", async (backend) => {
    const base = await loadModel(model, { backend });
    const small = quantize(base, { dtype: "nf4_double" });
    const bytes = [weightBytes(base), weightBytes(small)];
    assert.deepEqual(methods.map((m) => m.weights), [bytes[0], bytes[0], bytes[1], bytes[0]]);
    small.dispose();
    base.dispose();
  });
  assert.deepEqual(methods.map((m) => m.learningRate), [1e-3, 5e-3, 5e-3, 3e-2]);
  // The base's numbers do not depend on the method, except under four bits.
  assert.deepEqual([lora.before, ia3.before], [full.before, full.before]);
  assert.notEqual(qlora.before.loss, full.before.loss);
  for (const m of methods) {
    assert.ok(m.after.loss < m.before.loss, `${m.method} learns`);
    assert.ok(m.peak > m.weights && m.tokensPerSecond > 0 && m.steps === 30);
    assert.equal(m.after.samples.length, 2);
  }
  // f32 parameters of the whole model against f32 factors: headers come on top.
  assert.ok(full.file > 4 * 8496 && full.file < 4 * 8496 + 4096);
  assert.ok(lora.file > 4 * factors && lora.file < 4 * factors + 8192);
  assert.ok(full.peak > lora.peak && lora.peak > ia3.peak);
});

Deno.test("graft compare prints a table and samples, on generated conversations without --data", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  const some = ["--methods", "ia3", "--examples", "4", "--held-out", "1", "--steps", "1", "--samples", "1"];
  const ran = await graft(["compare", "-m", model, "--max-length", "60", ...some, ...SHORT]);
  // Summaries are longer than the tiny model's context, which is said once, by the method's process.
  assert.equal(ran.code, 1);
  assert.match(ran.err, /graft: .*conversations\.jsonl.*line 1.*\n[^]*graft: \(IA\)³ failed, see above\n$/);
  const good = await graft(["compare", "-m", model, "-d", tinyData(folder.path), ...some, ...SHORT]);
  assert.equal(good.code, 0, good.err);
  assert.match(
    good.out,
    /^method +trainable +peak +loss +ROUGE-L +precision +recall +file\n\(IA\)³ +104 .* → .*\n/,
  );
  for (const line of good.out.split("\n")) assert.ok(line.length <= 80, line);
  assert.match(good.out, /\nwanted +\w+ \w+\nuntrained .*\n\(IA\)³ .*\n$/);
  const wide = await graft([
    "compare",
    "-m",
    model,
    "-d",
    tinyData(folder.path),
    ...some,
    ...SHORT,
    "--wide",
  ]);
  assert.match(wide.out, /^method +trainable +share .*\n\(IA\)³ +104 +1\.22 % +34\.0 kB .* → .*\n/);
  assert.equal([...Deno.readDirSync(folder.path)].length, 2);
});

Deno.test("writeConversations() writes generated conversations of a seed, none of them a pretraining text's", async () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/data.jsonl`;
  await writeConversations(path, 5, 3);
  const lines = Deno.readTextFileSync(path).trimEnd().split("\n").map((line) => JSON.parse(line));
  const { dialogue, summary } = conversation(fold(key(3), "compare"), 4);
  assert.equal(lines.length, 5);
  assert.deepEqual(lines[4], { dialogue, summary });
});

Deno.test("writeConversations() of one desk has its intents alone", async () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/data.jsonl`;
  await writeConversations(path, 12, 3, "delivery");
  const ids = new Set(DESKS.delivery.intents.map(({ id }) => id));
  const dialogues = Deno.readTextFileSync(path).trimEnd().split("\n").map((line) =>
    JSON.parse(line).dialogue
  );
  dialogues.forEach((dialogue, i) => {
    const made = conversation(fold(key(3), "compare"), i, "delivery");
    assert.equal(dialogue, made.dialogue);
    assert.ok(ids.has(made.intent), made.intent);
  });
});

Deno.test("comparison() of four methods fits 80 columns and says of each what is true and what was wanted", () => {
  const measured = { loss: 2.125, rougeL: 0.25, precision: 0.5, recall: 0.75, samples: [] };
  const result: MethodResult = {
    method: "full-fine-tune",
    title: "full fine-tuning",
    trainable: 12_754_624,
    base: 12_754_624,
    weights: 5.5e6,
    peak: 210e6,
    tokensPerSecond: 2000,
    learningRate: 1e-3,
    steps: 80,
    seconds: 65,
    file: 552e3,
    before: { loss: 7.5, samples: [] },
    after: measured,
  };
  const lines = comparison([result], { steps: 80, batchSize: 8, seed: 0, seconds: 260 }).split("\n");
  for (const line of lines) assert.ok(line.length <= 80, `${line.length}: ${line}`);
  assert.match(lines[1]!, /^full fine-tuning +12,754,624 +210 MB +2\.13 +– → 0\.25 +0\.50 +0\.75 +552 kB$/);
});

/** Pairs of answers, and texts that belong together, of the same words. */
function tinyOthers(
  folder: string,
): { readonly pairs: string; readonly texts: string; readonly labels: string } {
  const words = ["cat", "dog", "sun", "sea", "map", "tea"];
  const write = (name: string, record: (word: string, i: number) => object): string => {
    Deno.writeTextFileSync(
      `${folder}/${name}`,
      words.map((word, i) => JSON.stringify(record(word, i))).join("\n"),
    );
    return `${folder}/${name}`;
  };
  return {
    pairs: write(
      "pairs.jsonl",
      (word, i) => ({ prompt: `${word}:`, chosen: ` ${word}`, rejected: ` ${words[(i + 1) % 6]}` }),
    ),
    texts: write("texts.jsonl", (word) => ({ anchor: word, positive: `the ${word}` })),
    labels: write("labels.jsonl", (word, i) => ({ text: word, label: i % 2 === 0 ? "even" : "odd" })),
  };
}

Deno.test("graft compare trains for every objective, and reports what that measures", async () => {
  using folder = temporaryFolder();
  const [model, answers] = [tinyModel(folder.path), tinyData(folder.path)];
  const { pairs, texts, labels } = tinyOthers(folder.path);
  const cases = [
    { data: pairs, flags: ["--objective", "dpo", "--beta", "0.5"], column: "accuracy", metric: "kl" },
    { data: pairs, flags: ["--objective", "ipo"], column: "margin", metric: "rewards/margins" },
    { data: pairs, flags: ["--objective", "orpo"], column: "margin", metric: "rewards/accuracies" },
    { data: pairs, flags: ["--objective", "reward"], column: "accuracy", metric: "rewards/accuracies" },
    {
      data: texts,
      flags: ["--objective", "ranking", "--pooling", "mean"],
      column: "loss",
      metric: undefined,
    },
    {
      data: answers,
      flags: ["--objective", "distill", "--teacher-prompt", "sun and sea"],
      column: "ROUGE-L",
      metric: undefined,
    },
    { data: labels, flags: [], column: "F1", metric: "accuracy" },
  ] as const;
  for (const { data, flags, column, metric } of cases) {
    const name = flags.join(" ");
    const output = `${folder.path}/${cases.findIndex((one) => one.flags === flags)}`;
    const args = [
      ...[
        "compare",
        "-m",
        model,
        "-d",
        data,
        "-o",
        output,
        "--methods",
        "lora,ia3",
        "--rates",
        "lora=5e-2,ia3=2e-2",
      ],
      ...["--held-out", "2", "--steps", "6", ...flags, ...SHORT],
    ];
    const ran = await graft(args);
    assert.equal(ran.code, 0, `${name}: ${ran.err}`);
    assert.ok(ran.out.split("\n")[0]!.includes(column), `${name}: ${ran.out}`);
    for (const line of ran.out.split("\n")) assert.ok(line.length <= 80, line);
    const told = await graft([...args, "--table", "--json"]);
    const methods: readonly MethodResult[] = JSON.parse(told.out).methods;
    for (const { method, before, after } of methods) {
      assert.notEqual(before.loss, after.loss, `${name}: ${method}`);
      if (metric !== undefined) assert.ok(metric in after.metrics!, `${name}: ${method}`);
    }
    // Compared with itself, a model has no margin and no divergence.
    if (name.includes("dpo")) assert.ok(Math.abs(methods[0]!.before.metrics!["kl"]!) < 1e-6);
    const other = await graft([...args, "--table", "--objective", name.includes("orpo") ? "ipo" : "orpo"]);
    assert.notEqual(other.code, 0, name); // results for another objective are not shown as this one's
  }
  const refused = await graft(["compare", "-m", model, "--objective", "dpo", ...SHORT]);
  assert.match(refused.err, /Expected --data with --objective dpo: generated talk has summaries alone/);
  const foreign = await graft(["compare", "-m", model, "-d", pairs, "--beta", "0.1", ...SHORT]);
  assert.match(foreign.err, /Expected --objective dpo with --beta but found sft/);
});
