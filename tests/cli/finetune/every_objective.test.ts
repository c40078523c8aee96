/** Every objective by every method, and resumed to the same bits, on tiny models. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import type { RunFlags } from "../../../cli/finetune/run_flags.ts";
import { graftProgram } from "../../../cli/program.ts";
import { Exit, runProgram } from "../../../cli/terminal/arguments.ts";
import { oneLine } from "../../../cli/terminal/one_line.ts";
import { trainableNames } from "../../../tuning/chosen_method.ts";
import { hearStreams } from "../../support/standard_streams.ts";
import { finetuned } from "../in_process.ts";
import { numbersOf, temporaryFolder, tinyData, tinyModel } from "../tiny.ts";

const WORDS = ["cat", "dog", "sun", "sea", "map", "tea"];
const next = (i: number): string => WORDS[(i + 1) % 6]!;

/** Records for each kind of data. */
const DATA = {
  preferences: (word: string, i: number) => ({
    prompt: `${word}:`,
    chosen: ` ${word}`,
    rejected: ` ${next(i)}`,
  }),
  pairs: (word: string, i: number) => ({ anchor: word, positive: `${word} ${next(i)}` }),
  triplets: (word: string, i: number) => ({ anchor: word, positive: `${word} a`, negative: next(i) }),
  scored: (word: string, i: number) => ({
    sentence1: `${word} and ${word}`,
    sentence2: `${next(i)} and a ${word}`,
    score: i / 6,
  }),
  answers: undefined,
} as const;

interface Aim {
  readonly data: keyof typeof DATA;
  readonly flags: Partial<RunFlags>;
}

/** Data and flags of each objective. */
const AIMS: Readonly<Record<string, Aim>> = {
  sft: { data: "answers", flags: {} },
  dpo: { data: "preferences", flags: { objective: "dpo" } },
  ipo: { data: "preferences", flags: { objective: "ipo" } },
  orpo: { data: "preferences", flags: { objective: "orpo" } },
  reward: { data: "preferences", flags: { objective: "reward" } },
  distill: { data: "answers", flags: { objective: "distill", teacherPrompt: "sun and sea" } },
  ranking: { data: "pairs", flags: { objective: "ranking" } },
  triplet: { data: "triplets", flags: { objective: "triplet" } },
  cosent: { data: "scored", flags: { objective: "cosent" } },
};

function dataOf(folder: string, kind: keyof typeof DATA): string {
  const of = DATA[kind];
  if (of === undefined) return tinyData(folder);
  const path = `${folder}/${kind}.jsonl`;
  writeFileSync(path, WORDS.map((word, i) => JSON.stringify(of(word, i))).join("\n"));
  return path;
}

/** Runs `graft sweep` in this process, interrupted at a text that it notes, if one is given. */
async function sweep(args: readonly string[], at?: string): Promise<string> {
  let said = "";
  using _ = hearStreams(() => {}, (chunk) => {
    if (at !== undefined && chunk.startsWith(at)) process.emit("SIGINT");
  });
  await runProgram(graftProgram(), ["sweep", ...args], (error) => said = oneLine(error));
  return said;
}

/** Flags as the command line has them. */
const asArguments = (flags: Partial<RunFlags>): readonly string[] =>
  Object.entries(flags).flatMap(([name, value]) => [
    `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    String(value),
  ]);

/** Another model in a folder's place: all of its numbers a third larger. */
function larger(folder: string): string {
  const bytes = readFileSync(`${folder}/model.safetensors`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 8 + Number(view.getBigUint64(0, true)); at < bytes.length; at += 4) {
    view.setFloat32(at, 1.3 * view.getFloat32(at, true), true);
  }
  writeFileSync(`${folder}/model.safetensors`, bytes);
  return folder;
}

/** The loss of a run's first step. */
function firstLoss(output: string): number {
  const log = readFileSync(`${output}/metrics.jsonl`, "utf8").trim().split("\n").map((line) =>
    JSON.parse(line)
  );
  return log.find((line) => "loss" in line).loss;
}

/** Methods that need more than a name under any objective: tokens, sources, other models. */
const NEED_MORE = [
  ...["adapter-fusion", "s4", "cross-attention", "only", "trainable-tokens", "xlora"],
  ...["context-prompt-tuning", "ipt", "spot"],
];

for (const [name, { data: kind, flags }] of Object.entries(AIMS)) {
  if (name === "sft") continue; // tests/cli/finetune_methods.test.ts
  Deno.test(`every method that trains takes a step of ${name}`, async () => {
    using folder = temporaryFolder();
    const [model, data] = [tinyModel(folder.path), dataOf(folder.path, kind)];
    const methods = trainableNames().filter((method) => !NEED_MORE.includes(method));
    assert.ok(methods.length >= 70);
    const failed: string[] = [];
    for (const [i, method] of methods.entries()) {
      const output = `${folder.path}/${i}`;
      try {
        const { steps } = await finetuned({ ...flags, model, data, output, method, maxSteps: 1, heldOut: 0 });
        assert.equal(steps, 1);
        assert.ok(Number.isFinite(firstLoss(output)));
      } catch (error) {
        failed.push(`${method}: ${(error as Error).message.replaceAll(folder.path, "")}`);
      }
    }
    assert.deepEqual(failed, []);
  });

  Deno.test(`a run of ${name} that is interrupted and resumed ends with the same bits`, async () => {
    using folder = temporaryFolder();
    const [model, data] = [tinyModel(folder.path), dataOf(folder.path, kind)];
    const all = {
      ...flags,
      model,
      data,
      method: "lora",
      maxSteps: 4,
      epochs: 9,
      saveEvery: 1,
      heldOut: 0,
    } as const;
    await finetuned({ ...all, output: `${folder.path}/whole` });
    const output = `${folder.path}/parts`;
    await assert.rejects(
      () =>
        finetuned({ ...all, output }, (text, interrupt) => {
          if (text.startsWith("step 1/4")) interrupt();
        }),
      Exit,
    );
    await finetuned({ ...all, output, resume: true });
    const file = "adapter_model.safetensors";
    assert.deepEqual(numbersOf(`${output}/${file}`), numbersOf(`${folder.path}/whole/${file}`));
  });

  Deno.test(`a sweep of ${name} that is interrupted and goes on ends with the same bits`, async () => {
    using folder = temporaryFolder();
    const [model, data] = [tinyModel(folder.path), dataOf(folder.path, kind)];
    const args = [
      ...[
        "-m",
        model,
        "-d",
        data,
        "--backend",
        "reference",
        "--held-out",
        "2",
        "--max-steps",
        "3",
        "--save-every",
        "1",
      ],
      ...[
        "--epochs",
        "9",
        "--accumulate",
        "1",
        "--schedule",
        "constant",
        "--grid",
        "rank=2,3",
        ...asArguments(flags),
      ],
    ];
    const [whole, parts] = [`${folder.path}/whole`, `${folder.path}/parts`];
    assert.equal(await sweep([...args, "-o", whole]), "");
    await sweep([...args, "-o", parts], "step 1/3");
    const points = readdirSync(`${whole}/runs`);
    assert.equal(points.length, 2);
    const file = (folder: string, point: string) => `${folder}/runs/${point}/adapter_model.safetensors`;
    assert.ok(points.every((point) => !existsSync(file(parts, point))), "it was interrupted");
    assert.equal(await sweep([...args, "-o", parts, "--resume"]), "");
    for (const point of points) {
      assert.deepEqual(numbersOf(file(parts, point)), numbersOf(file(whole, point)));
    }
  });
}

for (const [name, more] of [["sft", {}], ["distill", { objective: "distill" }]] as const) {
  Deno.test(`${name} has the same steps from packed rows as from buckets`, async () => {
    using folder = temporaryFolder();
    const [model, data] = [tinyModel(folder.path), tinyData(folder.path)];
    const other = `${folder.path}/teacher`;
    mkdirSync(other);
    const teacher = name === "distill" ? { teacher: larger(tinyModel(other)) } : {};
    const flags = {
      ...more,
      ...teacher,
      model,
      data,
      method: "lora",
      heldOut: 0,
      maxSteps: 1,
      batchSize: 12,
      learningRate: 1,
    } as const;
    const losses: number[] = [];
    for (const packing of [undefined, true] as const) {
      const output = `${folder.path}/${String(packing)}`;
      await finetuned({ ...flags, output, maxLength: 48, ...packing && { packing } });
      losses.push(firstLoss(output));
    }
    assert.ok(losses[0]! > 0.01 && Math.abs(losses[0]! - losses[1]!) < 1e-4 * losses[0]!, losses.join(" "));
  });
}
