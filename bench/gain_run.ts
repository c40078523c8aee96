/**
 * One run of `deno task gain`: a method at a rate, as `graft finetune` runs it, kept in a file and not
 * repeated.
 */
import { createHash } from "node:crypto";
import { knownMethods } from "../io/records/known_methods.ts";
import { commandLineOf } from "../tuning/chosen_method.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { writeConversations } from "../cli/compare/data.ts";
import { finetuneResult } from "../cli/finetune/run.ts";
import { CHUNK_TOKENS } from "../train/mod.ts";
import { isNativeBuilt } from "../ops/native/mod.ts";
import { OPTIONS, RATES, SETTINGS, SOURCES } from "./gain_settings.ts";

/** The native kernels where they are built: their losses differ from WebAssembly's only by rounding. */
export const BACKEND: "native" | "wasm" = isNativeBuilt() ? "native" : "wasm";

/** One run of a method. */
export interface Attempt {
  readonly rate: number;
  /** Held-out loss before the first step and after the last. */
  readonly before: number;
  readonly after: number;
  readonly steps: number;
  readonly seconds: number;
  readonly trainable: number;
}

/** Why a method refused to run. */
export interface Refused {
  readonly refused: string;
}

/** The rates that a method tries, the likeliest first. */
export function ratesOf(method: string): readonly number[] {
  return RATES[method] ?? [10, 30].map((factor) => factor * commandLineOf(knownMethods().get(method)).rate);
}

/** Runs a method at a rate on conversations of a seed, or reads the result of an earlier run in `folder`. */
export async function attempt(
  folder: string,
  method: string,
  rate: number,
  seed: number = SETTINGS.seed,
): Promise<Attempt | Refused> {
  const output = outputOf(folder, method, rate, seed);
  const path = `${output}.json`;
  const kept = await Deno.readTextFile(path).catch(() => undefined);
  if (kept !== undefined) return JSON.parse(kept);
  const result = await run(folder, output, method, rate, seed);
  // The adapters trained on other conversations are sources of further methods.
  if (seed === SETTINGS.seed) await Deno.remove(output, { recursive: true }).catch(() => {});
  await Deno.writeTextFile(path, JSON.stringify(result));
  return result;
}

/** Named by everything that determines the run. */
function outputOf(folder: string, method: string, rate: number, seed: number): string {
  const told = JSON.stringify([SETTINGS, OPTIONS[method], SOURCES[method]]);
  const hash = createHash("sha256").update(told).digest("hex").slice(0, 6);
  return `${folder}/${method}-${rate}-data-${seed}-${hash}`;
}

async function run(
  folder: string,
  output: string,
  method: string,
  rate: number,
  seed: number,
): Promise<Attempt | Refused> {
  const { steps, batchSize, heldOut, maxLength, examples } = SETTINGS;
  const data = `${folder}/conversations-${seed}.jsonl`;
  await writeConversations(data, examples, seed);
  try {
    const { outcome, evaluations, seconds, trainable } = await finetuneResult({
      ...{ method, data, output, overwrite: true, backend: BACKEND, seed: SETTINGS.seed },
      ...{ learningRate: rate, schedule: "cosine", warmup: 0.1, weightDecay: 0, clip: 1, labelSmoothing: 0 },
      ...{
        maxSteps: steps,
        batchSize,
        accumulate: 1,
        chunkTokens: CHUNK_TOKENS,
        epochs: 1,
        saveEvery: steps,
        keep: "last",
      },
      ...{ heldOut, splitSeed: 0, evalEvery: steps, rouge: 0, maxNewTokens: 1 },
      ...{ maxLength, longPrompts: "head", answers: "last" },
      ...OPTIONS[method],
      ...await sourcesOf(folder, method),
    });
    if (outcome === "interrupted") Deno.exit(130);
    const [before, after] = [evaluations[0]!.loss, evaluations.at(-1)!.loss];
    return { rate, before, after, steps, seconds, trainable };
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError || error instanceof UsageError)) {
      throw error;
    }
    return { refused: error.message };
  }
}

/** Trains the adapters that a method is made of, if any. */
async function sourcesOf(folder: string, method: string): Promise<object> {
  const made = SOURCES[method];
  if (made === undefined) return {};
  const [rate] = ratesOf(made.method);
  const paths: Record<string, string> = {};
  for (let seed = 1; seed <= made.count; seed++) {
    const source = await attempt(folder, made.method, rate!, seed);
    if ("refused" in source) throw new RangeError(`${made.method} does not run: ${source.refused}`);
    paths[`source${seed}`] = outputOf(folder, made.method, rate!, seed);
  }
  return { options: { ...OPTIONS[method]?.options, [made.option]: paths } };
}
