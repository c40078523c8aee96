/**
 * `deno task gain [FOLDER] [METHOD…]`: what each method gains in the same number of steps. Every method of
 * `graft finetune` trains the embedded model to summarize conversations, each at its own learning rate, and
 * its share of LoRA's gain is measured:
 *
 *   share = (loss before − loss after) / (loss before − LoRA's loss after)      on held-out conversations
 *
 * A method that reaches less than half at its first rate tries its other ones; all attempts are recorded.
 * Finished parts are kept in FOLDER, separately for each model and setting, and not repeated, so it can be
 * stopped and resumed. Writes bench/gain.json.
 */
import { createHash } from "node:crypto";
import { trainableNames } from "../tuning/chosen_method.ts";
import { type Attempt, attempt, BACKEND, ratesOf, type Refused } from "./gain_run.ts";
import { REASONS, SETTINGS, SOURCES } from "./gain_settings.ts";

const HALF = 0.5;
const METHODS = trainableNames();

const here = (path: string): string => new URL(path, import.meta.url).pathname;
const [folder = "runs/gain", ...wanted] = Deno.args;
const unknown = wanted.find((name) => !METHODS.some((method) => method === name));
if (unknown !== undefined) {
  throw new RangeError(`There is no method "${unknown}": there are ${METHODS.join(", ")}`);
}

const model = createHash("sha256").update(
  await Deno.readFile(here("../embedded/model/model.safetensors")),
).digest("hex").slice(0, 12);
const parts = `${folder}/${model}-${SETTINGS.steps}x${SETTINGS.batchSize}`;
await Deno.mkdir(parts, { recursive: true });

const lora = await attempt(parts, "lora", ratesOf("lora")[0]!);
if ("refused" in lora) throw new Error(`LoRA does not run: ${lora.refused}`);
/** LoRA starts with the unchanged model, which not all methods do. */
const untrained = lora.before;
const share = ({ after }: Pick<Attempt, "after">): number => (untrained - after) / (untrained - lora.after);

/** Tries rates in turn until half of the gain is reached. */
async function outcome(method: string): Promise<readonly Attempt[] | Refused> {
  const attempts: Attempt[] = [];
  for (const rate of ratesOf(method)) {
    const result = await attempt(parts, method, rate);
    if ("refused" in result) return attempts.length > 0 ? attempts : result;
    attempts.push(result);
    console.error(`${method} at ${rate}: ${result.after.toFixed(3)}, ${(100 * share(result)).toFixed(0)} %`);
    if (share(result) >= HALF) break;
  }
  return attempts;
}

const rows = [];
for (const method of wanted.length === 0 ? METHODS : METHODS.filter((name) => wanted.includes(name))) {
  const found = await outcome(method);
  const made = SOURCES[method];
  const sources = made && `${made.count} ${made.method} trained before`;
  if ("refused" in found) {
    rows.push({ method, refused: found.refused, reason: REASONS[method] });
    continue;
  }
  // A NaN loss is never the best.
  const best = found.reduce((a, b) => b.after < a.after || Number.isNaN(a.after) ? b : a);
  const closes = share(best) >= HALF;
  rows.push({
    method,
    ...sources !== undefined && { sources },
    ...{ steps: best.steps, seconds: best.seconds, trainable: best.trainable, rate: best.rate },
    ...{ before: best.before, loss: best.after, share: share(best), closes },
    ...!closes && { reason: REASONS[method] ?? "reason not known" },
    attempts: found.map(({ rate, after }) => ({ rate, loss: after, share: share({ after }) })),
  });
}

console.log(`${"method".padEnd(20)}  steps     time  trainable     rate   loss  share of LoRA's gain`);
for (const row of rows) {
  const name = row.method.padEnd(20);
  if (row.refused !== undefined) {
    console.log(`${name}  ${row.reason ?? row.refused}`);
    continue;
  }
  const notes = [...row.sources === undefined ? [] : [row.sources], ...row.closes ? [] : [row.reason]];
  console.log(
    [
      name,
      String(row.steps).padStart(6),
      `${row.seconds!.toFixed(1)} s`.padStart(8),
      row.trainable!.toLocaleString("en").padStart(10),
      String(row.rate).padStart(8),
      row.loss!.toFixed(3),
      [`${(100 * row.share!).toFixed(0)} %`, ...notes].join(": "),
    ].join("  ").replace("  ", " "),
  );
}
if (wanted.length === 0) {
  const cpu = /model name\s*: (.*)/.exec(await Deno.readTextFile("/proc/cpuinfo").catch(() => ""))?.[1];
  await Deno.writeTextFile(
    here("gain.json"),
    JSON.stringify(
      { model, settings: SETTINGS, backend: BACKEND, cpu, untrained, lora: lora.after, rows },
      null,
      2,
    ) + "\n",
  );
}
