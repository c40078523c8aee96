/**
 * `deno task gain [FOLDER] [METHOD…]`: what each method makes of the same steps. Every method of `graft finetune` trains the
 * embedded model to summarize conversations, each at a learning rate of its own, and its part of LoRA's gain is measured:
 *
 *   share = (loss before − loss after) / (loss before − LoRA's loss after)      on held-out conversations
 *
 * A method that closes less than half at its first rate tries its other ones; all attempts are recorded. Finished parts are kept
 * in FOLDER, apart for each model and setting, and not run again, so it can be stopped and continued. Writes bench/gain.json.
 */
import { createHash } from "node:crypto";
import { defaultRate, type MethodName, METHODS } from "../cli/method_table.ts";
import { writeConversations } from "../cli/compare_data.ts";

const SETTINGS = { steps: 80, batchSize: 4, examples: 384, heldOut: 32, maxLength: 256, seed: 0 } as const;
const HALF = 0.5;

const here = (path: string): string => new URL(path, import.meta.url).pathname;
const [folder = "runs/gain", ...wanted] = Deno.args;

/**
 * Peak rates that suit a run this short of a model this small, the likeliest first. The others take ten and thirty times what
 * papers use in thousands of steps on large models.
 */
const RATES: Readonly<Partial<Record<MethodName, readonly number[]>>> = {
  "lora": [8e-3],
  "qlora": [8e-3],
  "lora-plus": [2e-3, 5e-3],
  "full": [1.5e-3],
  "top-layers": [2e-3, 5e-3],
  "only": [3e-3, 1e-2],
  "diff-pruning": [2e-3, 1e-2],
  "lt-sft": [2e-3, 1e-2],
  "far": [3e-3, 1e-2],
  "fish-mask": [5e-3, 2e-2],
  "ia3": [0.1],
  "layer-norm": [3e-2, 0.1],
  "bitfit": [2e-2, 5e-2],
  "trainable-tokens": [3e-2],
  "vera": [5e-2, 0.15],
  "fourierft": [0.1, 0.3],
  "prompt": [0.1, 0.3],
  "p-tuning": [1e-2, 3e-3],
  "intrinsic-said": [1e-2, 3e-2],
};

/** What a method must be told here. */
const OPTIONS: Readonly<Partial<Record<MethodName, readonly string[]>>> = {
  "only": ["--targets", "self_attn.v_proj.weight,self_attn.o_proj.weight"],
  "trainable-tokens": ["--options", JSON.stringify({ tokens: Array.from({ length: 64 }, (_, i) => i) })],
  "intrinsic-said": ["--dimension", "5000", "--options", JSON.stringify({ blocks: "vector" })],
};

/** Why a method does not close half of the gain, or does not run. */
const REASONS: Readonly<Partial<Record<MethodName, string>>> = {
  "cross-attention": "the model has no encoder to attend to",
  "trainable-tokens": "it is meant for new tokens: 64 rows of the table cannot tell how to summarize",
};

/** One run of a method. */
interface Attempt {
  readonly rate: number;
  /** Held-out loss before the first step and after the last. */
  readonly before: number;
  readonly after: number;
  readonly steps: number;
  readonly seconds: number;
  readonly trainable: number;
}

/** A method's attempts, or what it said instead. */
type Outcome = { readonly attempts: readonly Attempt[] } | { readonly refused: string };

const model = createHash("sha256").update(
  await Deno.readFile(here("../embedded/model/model.safetensors")),
).digest("hex").slice(0, 12);
const parts = `${folder}/${model}-${SETTINGS.steps}x${SETTINGS.batchSize}`;
const data = `${parts}/conversations.jsonl`;
await Deno.mkdir(parts, { recursive: true });
await writeConversations(data, SETTINGS.examples, SETTINGS.seed);

/** Runs a method at a rate, or reads what an earlier run of it left. */
async function attempt(method: MethodName, rate: number): Promise<Attempt | { readonly refused: string }> {
  const path = `${parts}/${method}-${rate}.json`;
  const kept = await Deno.readTextFile(path).catch(() => undefined);
  if (kept !== undefined) return JSON.parse(kept);
  const { steps, batchSize, heldOut, maxLength, seed } = SETTINGS;
  const output = `${parts}/${method}-${rate}`;
  const args = Object.entries({
    ...{ method, data, output, seed, "learning-rate": rate, "max-steps": steps, "batch-size": batchSize },
    ...{ accumulate: 1, epochs: 3, warmup: 0.1, "held-out": heldOut, "max-length": maxLength },
    ...{ "eval-every": steps, keep: "last", "save-every": steps },
  }).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      here("../cli/main.ts"),
      "finetune",
      ...args,
      ...OPTIONS[method] ?? [],
      "--overwrite",
      "--json",
    ],
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  if (code > 2) throw new Error(`${method} was stopped`); // by a signal: nothing to keep
  const result = code === 0 ? measured(rate, JSON.parse(text(stdout))) : { refused: lastLine(text(stderr)) };
  await Deno.remove(output, { recursive: true }).catch(() => {});
  await Deno.writeTextFile(path, JSON.stringify(result));
  return result;
}

interface FinetuneResult {
  readonly evaluations: readonly { readonly loss: number }[];
  readonly steps: number;
  readonly seconds: number;
  readonly trainable: number;
}

function measured(rate: number, { evaluations, steps, seconds, trainable }: FinetuneResult): Attempt {
  const [before, after] = [evaluations[0]!.loss, evaluations.at(-1)!.loss];
  return { rate, before, after, steps, seconds, trainable };
}

const lastLine = (text: string): string => text.trim().split("\n").at(-1)!.replace(/^graft: /, "");

/** Rates in turn until half of the gain is closed. */
async function outcome(method: MethodName, share: (attempt: Attempt) => number): Promise<Outcome> {
  const attempts: Attempt[] = [];
  for (const rate of RATES[method] ?? [10, 30].map((factor) => factor * defaultRate(method))) {
    const result = await attempt(method, rate);
    if ("refused" in result) return attempts.length > 0 ? { attempts } : result;
    attempts.push(result);
    console.error(`${method} at ${rate}: ${result.after.toFixed(3)}, ${(100 * share(result)).toFixed(0)} %`);
    if (share(result) >= HALF) break;
  }
  return { attempts };
}

const lora = await attempt("lora", RATES["lora"]![0]!);
if ("refused" in lora) throw new Error(`LoRA does not run: ${lora.refused}`);
/** LoRA starts as the model itself, which not all methods do. */
const untrained = lora.before;
const share = ({ after }: Attempt): number => (untrained - after) / (untrained - lora.after);

const rows = [];
for (const method of wanted.length === 0 ? METHODS : METHODS.filter((name) => wanted.includes(name))) {
  const found = await outcome(method, share);
  if ("refused" in found) {
    rows.push({ method, refused: found.refused, reason: REASONS[method] });
    continue;
  }
  const best = found.attempts.reduce((a, b) => b.after < a.after ? b : a);
  const closes = share(best) >= HALF;
  rows.push({
    method,
    ...{ steps: best.steps, seconds: best.seconds, trainable: best.trainable, rate: best.rate },
    ...{ loss: best.after, share: share(best), closes },
    ...!closes && { reason: REASONS[method] ?? "reason not known" },
    attempts: found.attempts.map(({ rate, after }) => ({
      rate,
      loss: after,
      share: share({ ...best, after }),
    })),
  });
}

console.log(`${"method".padEnd(20)}  steps     time  trainable     rate   loss  share of LoRA's gain`);
for (const row of rows) {
  const name = row.method.padEnd(20);
  if (row.refused !== undefined) {
    console.log(`${name}  ${row.reason ?? row.refused}`);
    continue;
  }
  console.log(
    [
      name,
      String(row.steps).padStart(6),
      `${row.seconds!.toFixed(1)} s`.padStart(8),
      row.trainable!.toLocaleString("en").padStart(10),
      String(row.rate).padStart(8),
      row.loss!.toFixed(3),
      `${(100 * row.share!).toFixed(0)} %${row.closes ? "" : `: ${row.reason}`}`,
    ].join("  ").replace("  ", " "),
  );
}
if (wanted.length === 0) {
  const cpu = /model name\s*: (.*)/.exec(await Deno.readTextFile("/proc/cpuinfo").catch(() => ""))?.[1];
  await Deno.writeTextFile(
    here("gain.json"),
    JSON.stringify({ model, settings: SETTINGS, cpu, untrained, lora: lora.after, rows }, null, 2) + "\n",
  );
}
