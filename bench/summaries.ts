/**
 * `deno task summaries MODEL DATA [FOLDER] [EPOCHS] [BACKEND]`: the real-input table. Fine-tunes a model on
 * 400 of the data's dialogues by each method, through the command line as a user would, and measures the 100
 * held out: loss, ROUGE, against the untuned model, a few-shot prompt and the first utterances. LoRA runs
 * with three seeds. Finished parts are kept in FOLDER and not repeated, so it can be stopped and resumed.
 */

interface Scores {
  readonly loss: number;
  readonly rougeL: number;
  readonly rouge1: number;
  readonly rouge2: number;
}

const [model, data, folder = "runs/summaries", epochs = "1", backend = "wasm"] = Deno.args;
if (model === undefined || data === undefined) {
  console.error("Usage: deno task summaries MODEL DATA.jsonl [FOLDER] [EPOCHS] [BACKEND]");
  Deno.exit(2);
}
await Deno.mkdir(folder, { recursive: true });

const split = ["--data", data, "--held-out", "100", "--split-seed", "0"];
/** Prompts are continued sixteen at a time, so that the quantized weights are dequantized once for all. */
const scoring = ["--rouge", "100", "--batch-size", "16", "--max-new-tokens", "96"];
const cli = new URL("../cli/main.ts", import.meta.url).pathname;

async function graft(...args: string[]): Promise<Record<string, unknown>> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", cli, ...args, "--backend", backend, "--json"],
    stdout: "piped",
    stderr: "inherit",
  });
  const { code, stdout } = await command.output();
  if (code !== 0) throw new Error(`graft ${args.join(" ")} ended with ${code}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** The JSON that a command printed, read from disk if it ran before. */
async function once(name: string, ...args: string[]): Promise<Record<string, unknown>> {
  const path = `${folder}/${name}.json`;
  const kept = await Deno.readTextFile(path).catch(() => undefined);
  if (kept !== undefined) return JSON.parse(kept);
  console.error(`== ${name}: graft ${args.join(" ")}`);
  const result = await graft(...args);
  await Deno.writeTextFile(path, JSON.stringify(result, null, 2));
  return result;
}

const exists = (path: string): Promise<boolean> => Deno.stat(path).then(() => true, () => false);

async function tuned(name: string, method: string, seed: number, ...extra: string[]): Promise<Scores> {
  const output = `${folder}/${name}`;
  const resume = await exists(output) ? ["--resume"] : [];
  const run = [
    "-m",
    model!,
    ...split,
    "-o",
    output,
    "--method",
    method,
    "--seed",
    String(seed),
    "--epochs",
    epochs,
  ];
  await once(
    `${name}.train`,
    "finetune",
    ...run,
    "--eval-every",
    "100000",
    "--keep",
    "last",
    "--save-every",
    "5",
    ...extra,
    ...resume,
  );
  const subject = method === "full" ? ["-m", output] : ["-m", model!, "--adapter", output];
  return scoresOf(await once(`${name}.eval`, "evaluate", ...subject, ...split, ...scoring));
}

function scoresOf({ loss, rouge1, rouge2, rougeL }: Record<string, unknown>): Scores {
  return {
    loss: loss as number,
    rouge1: rouge1 as number,
    rouge2: rouge2 as number,
    rougeL: rougeL as number,
  };
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const show = (label: string, runs: readonly Scores[]): void => {
  const cell = (name: keyof Scores): string => {
    const values = runs.map((run) => run[name]);
    const spread = Math.max(...values) - Math.min(...values);
    return `${mean(values).toFixed(3)}${values.length > 1 ? ` (spread ${spread.toFixed(3)})` : ""}`.padEnd(
      23,
    );
  };
  console.log(`${label.padEnd(22)} ${cell("loss")} ${cell("rouge1")} ${cell("rouge2")} ${cell("rougeL")}`);
};

const untuned = await once("untuned.eval", "evaluate", "-m", model, ...split, ...scoring);
const lora = [];
for (const seed of [0, 1, 2]) lora.push(await tuned(`lora-${seed}`, "lora", seed));
const ia3 = await tuned("ia3", "ia3", 0);
const qlora = await tuned("qlora", "qlora", 0);
const full = await tuned("full", "full", 0);
const few = await once(
  "few-shot.eval",
  "evaluate",
  "-m",
  model,
  ...split,
  "--few-shot",
  "2",
  ...scoring,
);

console.log(
  `${"".padEnd(22)} ${"held-out loss".padEnd(23)} ${"ROUGE-1".padEnd(23)} ${"ROUGE-2".padEnd(23)} ROUGE-L`,
);
show("untuned", [scoresOf(untuned)]);
show("2 examples in front", [scoresOf(few)]);
show("LoRA, three seeds", lora);
show("(IA)³", [ia3]);
show("QLoRA", [qlora]);
show("full fine-tuning", [full]);
console.log(`baselines of ${data}:`, JSON.stringify(untuned["baselines"] ?? {}));
const base = scoresOf(untuned);
console.log(
  `LoRA's loss is ${
    (100 * (1 - mean(lora.map((s) => s.loss)) / base.loss)).toFixed(1)
  } % under the untuned model's; its ` +
    `ROUGE-L is ${(mean(lora.map((s) => s.rougeL)) - base.rougeL).toFixed(3)} above it`,
);
