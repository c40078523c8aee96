/** Runs of a tab: one at a time, each of one tab at a time, resumed from its checkpoint. */
/// <reference lib="dom" />
import { failure } from "../../errors/error.ts";
import { finetuneWords } from "../command_line.ts";
import { bytesIn } from "../files/volume.ts";
import type { RunEnd, RunEntry, RunPlan, RunSettings, RunState, Training } from "../protocol.ts";
import { runFinetune, runPlan } from "./commands.ts";
import type { Context } from "./context.ts";
import { LIMIT } from "./models.ts";

/** Which run the tab is at. */
const SESSION = "/session.json";

interface Session {
  readonly settings: RunSettings;
  readonly totalSteps: number;
}

/** The run that an earlier tab left. */
export async function leftRun({ volume }: Context): Promise<RunState | undefined> {
  const file = volume.find(SESSION);
  if (file?.kind !== "file") return undefined;
  const { settings, totalSteps } = JSON.parse(new TextDecoder().decode(bytesIn(file))) as Session;
  const { output } = settings;
  const state = volume.find(`${output}/checkpoint/state.safetensors`) !== undefined ? "paused" : "done";
  if (state === "done" && volume.find(`${output}/adapter_config.json`) === undefined) return undefined;
  const elsewhere = await isHeld(output);
  return { settings, totalSteps, state, entries: entriesOf(volume, output), ...elsewhere && { elsewhere } };
}

/** The lines of a run's log. */
function entriesOf(volume: Context["volume"], output: string): readonly RunEntry[] {
  const file = volume.find(`${output}/metrics.jsonl`);
  if (file?.kind !== "file") return [];
  return new TextDecoder().decode(bytesIn(file)).split("\n").filter((line) => line !== "")
    .map((line) => JSON.parse(line) as RunEntry);
}

const lockOf = (output: string): string => `graft:${output}`;

async function isHeld(output: string): Promise<boolean> {
  const { held = [] } = await navigator.locks.query();
  return held.some(({ name }) => name === lockOf(output));
}

/** Keeps other tabs off a run until this one begins another or closes. */
export function holder(): (output: string) => Promise<void> {
  let current: { readonly output: string; readonly release: () => void } | undefined;
  return async (output) => {
    if (current?.output === output) return;
    current?.release();
    current = undefined;
    await new Promise<void>((resolve, reject) => {
      void navigator.locks.request(lockOf(output), { ifAvailable: true }, (lock) => {
        if (lock === null) {
          reject(failure("OUTPUT_EXISTS", `Another tab is at the run ${output}: go on there, or close it`));
          return;
        }
        return new Promise<void>((release) => {
          current = { output, release };
          resolve();
        });
      });
    });
  };
}

/** A folder for a new run. */
export async function freeOutput({ volume, storage }: Context, method: string): Promise<string> {
  for (let n = 1;; n++) {
    const output = `runs/${method}${n === 1 ? "" : `-${n}`}`;
    const isUsed = volume.find(output) !== undefined || await storage?.has(`/${output}/run.yaml`) === true ||
      await isHeld(output);
    if (!isUsed) return output;
  }
}

/** The memory of a run. @throws what is wrong with the settings. */
export async function planned(settings: RunSettings): Promise<RunPlan> {
  const { total, weights } = await runPlan(finetuneWords(settings));
  return { total, weights, fits: total <= LIMIT };
}

/** Trains from the first step or from the checkpoint. `enough` is asked between steps. */
export async function train(
  context: Context,
  given: Training,
  enough: () => boolean,
): Promise<RunEnd> {
  const { volume, storage, tell } = context;
  const { settings, resume } = given;
  const words = [...finetuneWords(settings), ...resume ? ["--resume"] : []];
  const { outcome, steps, totalSteps, seconds } = await runFinetune(words, {
    started: ({ step, totalSteps, trainable }) => {
      const session: Session = { settings, totalSteps };
      volume.put(SESSION, new TextEncoder().encode(JSON.stringify(session)));
      tell({ kind: "started", step, totalSteps, trainable });
    },
    stepped: ({ step, loss, tokensPerSecond, memory }) =>
      tell({ kind: "entry", entry: { step, loss, tokensPerSecond, memory } }),
    evaluated: ({ step, loss }) => tell({ kind: "entry", entry: { step, evalLoss: loss } }),
    enough: async () => {
      // A checkpoint lies in the storage before the next steps: while they compute nothing is written.
      await storage?.written();
      return enough();
    },
  });
  await storage?.settled();
  return { outcome, step: steps, totalSteps, seconds };
}

/** Forgets a run. */
export async function forget({ volume, storage }: Context, output: string): Promise<void> {
  if (volume.find(SESSION) !== undefined) volume.remove(SESSION, "rm");
  if (volume.find(output) !== undefined) volume.remove(output, "rm");
  await storage?.settled();
}
