/**
 * `deno task preferences MODEL DATA [FOLDER] [STEPS] [BACKEND]`: what preference tuning does on real input. DATA has lines of `dialogue`
 * and `summary`. A pair is a dialogue's own summary against that of another dialogue. The model is tuned by supervision on the summaries,
 * by DPO from there, and by ORPO from the start, through the command line as a user would; 100 dialogues are held out, on which rewards,
 * ROUGE-L and the length of what is written are measured, before and after. Finished parts are kept in FOLDER and not repeated, so it can
 * be stopped and resumed.
 */
import { graft, type Model } from "../core/mod.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { loadAdapter } from "../io/load_adapter.ts";
import { loadModel } from "../io/load_model.ts";
import { native } from "../ops/native/mod.ts";
import { wasm } from "../ops/wasm/mod.ts";
import { dpo, evaluateObjective, openPreferences, orpo, preferenceRows, readExamples } from "../train/mod.ts";
import { encodeExample } from "../train/encode.ts";

/** The longest row: of longer dialogues a step would be about the dialogue alone. */
const LENGTH = 256;
const HELD_OUT = 100;

const [model, data, folder = "runs/preferences", steps = "200", backend = "native"] = Deno.args;
if (model === undefined || data === undefined) {
  console.error("Usage: deno task preferences MODEL DATA.jsonl [FOLDER] [STEPS] [BACKEND]");
  Deno.exit(2);
}
await Deno.mkdir(folder, { recursive: true });
const cli = new URL("../cli/main.ts", import.meta.url).pathname;
const exists = (path: string): Promise<boolean> => Deno.stat(path).then(() => true, () => false);

/** What a part found, read from disk if it ran before. */
async function once<T>(name: string, work: () => Promise<T>): Promise<T> {
  const path = `${folder}/${name}.json`;
  const kept = await Deno.readTextFile(path).catch(() => undefined);
  if (kept !== undefined) return JSON.parse(kept);
  console.error(`== ${name}`);
  const result = await work();
  await Deno.writeTextFile(path, JSON.stringify(result, null, 2));
  return result;
}

/** Runs a command of graft and returns the JSON that it prints. */
async function command(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", cli, ...args, "--backend", backend, "--json"],
    stdout: "piped",
    stderr: "inherit",
  }).output();
  if (code !== 0) throw new Error(`graft ${args.join(" ")} ended with ${code}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

const opened = async (): Promise<Model<Tokenizer>> =>
  await loadModel(model, { backend: backend === "native" ? await native() : await wasm() });

interface Dialogue {
  readonly dialogue: string;
  readonly summary: string;
}

/** Writes the files of examples and of preferences, for training and held out. */
async function writeData(): Promise<{ readonly train: number; readonly heldOut: number }> {
  const { tokenizer, backend, dispose } = await opened();
  const short: Dialogue[] = [];
  const lines = (await Deno.readTextFile(data!)).trim().split("\n").map((line) =>
    JSON.parse(line) as Dialogue
  );
  let n = 0;
  for await (const example of readExamples(data!)) {
    const { inputIds } = encodeExample(example, tokenizer, { maxLength: 2 ** 20, longPrompt: "refuse" });
    const { dialogue, summary } = lines[n++]!;
    if (inputIds.length <= LENGTH) short.push({ dialogue, summary });
  }
  dispose();
  backend.close();
  const parts = { train: short.slice(0, -HELD_OUT), heldOut: short.slice(-HELD_OUT) };
  for (const [part, rows] of Object.entries(parts)) {
    const pairs = rows.map(({ dialogue, summary }, i) => ({
      prompt: [{ role: "user", content: `Summarize the conversation.\n\n${dialogue}` }],
      chosen: [{ role: "assistant", content: summary }],
      rejected: [{ role: "assistant", content: rows[(i + 1) % rows.length]!.summary }],
    }));
    const write = (name: string, records: readonly unknown[]): Promise<void> =>
      Deno.writeTextFile(
        `${folder}/${name}.jsonl`,
        records.map((record) => `${JSON.stringify(record)}\n`).join(""),
      );
    await write(part, rows);
    await write(`${part}-pairs`, pairs);
  }
  return { train: parts.train.length, heldOut: parts.heldOut.length };
}

/** Trains, or goes on training. */
async function trained(name: string, file: string, ...extra: readonly string[]): Promise<string> {
  const output = `${folder}/${name}`;
  const resume = await exists(output) ? ["--resume"] : [];
  await once(`${name}.train`, () =>
    command(
      ...["finetune", "-m", model!, "--data", `${folder}/${file}.jsonl`, "--held-out", "0", "-o", output],
      ...["--max-length", "320", "--batch-size", "2", "--accumulate", "1", "--epochs", "100"],
      ...["--max-steps", steps, "--save-every", "10", ...extra, ...resume],
    ));
  return output;
}

interface Found {
  readonly rougeL: number;
  readonly words: number;
  /** How often the reward of the right summary is the higher one: by log-ratio to the untuned model, and by likelihood alone. */
  readonly ratio: number;
  readonly likelihood: number;
  readonly margin: number;
  readonly kl: number;
}

/** ROUGE-L and length of what is written, and rewards of the held-out pairs. */
function measured(name: string, adapter: string | undefined): Promise<Found> {
  return once(`${name}.eval`, async () => {
    const subject = ["-m", model!, ...adapter === undefined ? [] : ["--adapter", adapter]];
    const written = await command(
      ...["evaluate", ...subject, "--data", `${folder}/heldOut.jsonl`, "--rouge", String(HELD_OUT)],
      ...["--samples", String(HELD_OUT), "--batch-size", "8", "--max-new-tokens", "96"],
    ) as unknown as { readonly rougeL: number; readonly samples: readonly { readonly written: string }[] };
    const base = await opened();
    const tuned = adapter === undefined ? base : graft(base, await loadAdapter(adapter, base));
    using file = await openPreferences(`${folder}/heldOut-pairs.jsonl`);
    const rows = preferenceRows(file, base.tokenizer, { maxLength: 320, longPrompt: "refuse" });
    const options = { batchSize: 2, pad: 0, base };
    const ratios = (await evaluateObjective(tuned, rows, dpo(), options)).metrics;
    const likelihood = (await evaluateObjective(tuned, rows, orpo(), options)).metrics;
    base.dispose();
    base.backend.close();
    const words = written.samples.map(({ written }) => written.trim().split(/\s+/).length);
    return {
      rougeL: written.rougeL,
      words: words.reduce((a, b) => a + b, 0) / words.length,
      ratio: ratios["rewards/accuracies"]!,
      margin: ratios["rewards/margins"]!,
      likelihood: likelihood["rewards/accuracies"]!,
      kl: ratios["kl"] ?? NaN,
    };
  });
}

const sizes = await once("data", writeData);
const untuned = await measured("untuned", undefined);
const sft = await trained("sft", "train");
const supervised = await measured("sft", sft);
const afterwards = await measured(
  "dpo",
  await trained("dpo", "train-pairs", "--objective", "dpo", "--from", sft, "--learning-rate", "5e-5"),
);
const odds = await measured("orpo", await trained("orpo", "train-pairs", "--objective", "orpo"));

console.log(`${sizes.train} pairs to train on, ${sizes.heldOut} held out, ${steps} steps of 2`);
console.log(`${"".padEnd(14)} log-ratio  margin  likelihood  ROUGE-L  words`);
const show = (name: string, { ratio, margin, likelihood, rougeL, words }: Found): void =>
  console.log(
    `${name.padEnd(14)} ${ratio.toFixed(2).padStart(9)}  ${margin.toFixed(3).padStart(6)}  ` +
      `${likelihood.toFixed(2).padStart(10)}  ${rougeL.toFixed(4).padStart(7)}  ${
        words.toFixed(1).padStart(5)
      }`,
  );
show("untuned", untuned);
show("SFT", supervised);
show("DPO after SFT", afterwards);
show("ORPO", odds);
