/** `graft finetune --plan`: the memory, the time and the disk of a run, before any work. */
import {
  adapt,
  type Adapter,
  type Backend,
  dispose,
  type Model,
  type ModelConfig,
  type QuantizeOptions,
} from "../../core/mod.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { launcherOf } from "../../distributed/launcher.ts";
import { readJson } from "../../io/inspect_contents.ts";
import { checkpointShapes, configShapes } from "../../io/model_shapes.ts";
import { loadTokenizerOf } from "../../io/load_model.ts";
import { freshModules } from "../../io/task_head.ts";
import { environmentVariable } from "../../platform/environment.ts";
import type { Task } from "../../models/mod.ts";
import { type ExampleSizes, type MemoryPlan, planMemory } from "../../train/mod.ts";
import { type Data, rowLength } from "../data.ts";
import type { OpeningOptions } from "../tokenizing/text_rows.ts";
import { openRunData } from "./preference_data.ts";
import { commandLineOf } from "../../tuning/chosen_method.ts";
import { plannedAdapter, plannedBase } from "../../tuning/planned_adapter.ts";
import { planOptions, rowSizes } from "./plan_options.ts";
import { diskOf, type RunTime, showTime, timeOf, whyNotTimed } from "./plan_time.ts";
import { type ChosenFlags, chosenFlags, type FinetuneFlags, quantizationOf } from "./settings.ts";
import { taskFor } from "./task.ts";
import { type DtypeFlags, dtypeOf, localShapes, openBackend, withBackend } from "../load.ts";
import { modelSource } from "../model_source.ts";
import { UsageError } from "../../tuning/usage_error.ts";
import { Exit } from "../terminal/arguments.ts";
import { changesOf, cutRows } from "./fitting_changes.ts";
import { heldOutOf, type PlannedSizes, plannedSizes } from "./planned_sizes.ts";
import { print, printJson, showBytes, table } from "../terminal/output.ts";
import { failure } from "../../errors/error.ts";

/** Prints the plan: of many processes the first one's, which is that of each, for all hold the model and compute a chunk at a time. */
export async function planRun(given: FinetuneFlags): Promise<void> {
  const launcher = given.distributed === "off" ? undefined : launcherOf(environmentVariable);
  const { rank, size: processes } = launcher ?? { rank: 0, size: 1 };
  if (rank !== 0) return;
  if (given.from !== undefined) {
    throw new UsageError("Cannot plan with --from: the run itself says what it takes");
  }
  const flags = await chosenFlags(given);
  const { source, task, base, sizes, maxLength } = await plannedRun(flags);
  const { data } = flags;
  const model = base.shapes;
  const plan = await planOf(model, flags, sizes, maxLength, base.fresh);
  const disk = diskOf(plan, sizes);
  const { memory } = flags;
  const fits = memory === undefined ? undefined : plan.total <= memory;
  const time = fits === false
    ? { why: "it does not fit" }
    : processes > 1
    ? { why: `${processes} processes share it` }
    : await timeHere(flags, model, plan, sizes, maxLength, base.fresh);
  const changes = fits === false ? await fittingChanges(flags, source, task, sizes, maxLength, memory!) : [];
  if (flags.json === true) {
    const each = { ...processes > 1 && { processes }, ..."time" in time ? time : { untimed: time.why } };
    printJson({
      ...plan,
      disk,
      ...each,
      ...memory !== undefined && { memory, fits, ...!fits && { changes } },
    });
    if (fits === false) throw new Exit(1);
    return;
  }
  print(showPlan(plan));
  print(
    "time" in time
      ? showTime(time.time, flags, data !== undefined)
      : `Time: not measured, because ${time.why}`,
  );
  print(`Disk: ${showBytes(disk)} at most, checkpoints and result`);
  if (processes > 1) {
    print(
      `Each of the ${processes} processes needs this, ${showBytes(processes * plan.total)} on one machine`,
    );
  }
  if (memory !== undefined) {
    print(`${fits ? "Fits" : "Does not fit"} in ${showBytes(memory)}: ${showBytes(plan.total)} are needed`);
  }
  if (fits !== false) return;
  print(
    changes.length === 0
      ? "No change of the run fits: it takes a smaller model, or more memory"
      : ["It would fit with", ...changes.map(({ change, total }) => `  ${change}: ${showBytes(total)}`)].join(
        "\n",
      ),
  );
  throw new Exit(1);
}

/** What a plan is made from. */
export interface PlannedRun {
  /** The local checkpoint; undefined where there is a config alone. */
  readonly source: string | undefined;
  readonly task: Task | undefined;
  readonly base: Base;
  readonly sizes: PlannedSizes;
  readonly maxLength: number;
}

/** Reads a model's headers and the sizes of the data, where they are not known. */
export async function plannedRun(flags: ChosenFlags, known?: PlannedSizes): Promise<PlannedRun> {
  const source = flags.config === undefined ? await localShapes(await modelSource(flags)) : undefined;
  const { data } = flags;
  const task = source === undefined || data === undefined
    ? undefined
    : await taskFor({ ...flags, data }, checkpointShapes(source));
  const base: Base = source === undefined
    ? { shapes: shapesOfConfig(flags), fresh: [] }
    : baseOf(source, flags, task);
  const maxLength = rowLength(flags, base.shapes);
  const sizes = known ??
    (source === undefined || data === undefined
      ? { train: fullRows(flags.batchSize * flags.accumulate, maxLength), texts: 1 }
      : await sizesOf(source, base.shapes, { ...flags, data }, maxLength));
  return { source, task, base, sizes, maxLength };
}

/** Seconds that measuring a run's time should take at most. */
const BUDGET = 20;

/** The time of the run on this machine, or why it is not known. */
async function timeHere(
  given: ChosenFlags,
  model: Model,
  plan: MemoryPlan,
  sizes: PlannedSizes,
  maxLength: number,
  fresh: readonly string[],
): Promise<{ readonly time: RunTime } | { readonly why: string }> {
  // --memory is what to compare with, no budget of the backend.
  const { memory: _, ...rest } = await withBackend(given);
  let backend: Backend;
  try {
    backend = await openBackend(rest);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { why: `of this: ${error.message}` };
  }
  try {
    const why = whyNotTimed(plan, backend);
    if (why !== undefined) return { why };
    const { time } = await timeOf({ model, flags: rest, sizes, maxLength, fresh, backend, budget: BUDGET });
    return { time };
  } finally {
    backend.close();
  }
}

/** Up to three changes that fit, with the bytes that they take. */
async function fittingChanges(
  flags: FinetuneFlags,
  source: string | undefined,
  task: Task | undefined,
  sizes: PlannedSizes,
  maxLength: number,
  memory: number,
): Promise<readonly { readonly change: string; readonly total: number }[]> {
  const found: { readonly change: string; readonly total: number }[] = [];
  for (const change of changesOf(flags, maxLength)) {
    const changed = await chosenFlags(change.flags);
    const base: Base = source === undefined
      ? { shapes: shapesOfConfig(changed), fresh: [] }
      : baseOf(source, changed, task);
    const cut = {
      ...sizes,
      train: cutRows(sizes.train, change.maxLength),
      ...sizes.evaluated && { evaluated: cutRows(sizes.evaluated, change.maxLength) },
    };
    const { total } = await planOf(base.shapes, changed, cut, change.maxLength, base.fresh);
    base.shapes.dispose();
    if (total <= memory && found.push({ change: change.text, total }) === 3) break;
  }
  return found;
}

/** The plan of a run with a model without data. */
export async function planOf(
  model: Model,
  given: ChosenFlags,
  sizes: PlannedSizes,
  maxLength: number,
  fresh: readonly string[],
  from?: Adapter,
): Promise<MemoryPlan> {
  const flags = { ...given, batchSize: given.batchSize * sizes.texts };
  const adapter = from === undefined
    ? plannedAdapter(model, flags, fresh)
    : adapt(model, from.method, flags.seed);
  try {
    const base = plannedBase(model, flags);
    const plan = await planMemory(model, adapter, rowSizes(sizes), planOptions(flags, sizes, maxLength));
    return { ...plan, weights: plan.weights + base, total: plan.total + base };
  } finally {
    dispose(adapter.params);
  }
}

/** A checkpoint as shapes, and how its weights are quantized while loading. */
export interface Base {
  readonly shapes: Model;
  /** Absent where the weights are kept as stored. */
  readonly quantize?: QuantizeOptions;
  /** Modules of the task's head that the checkpoint lacks. */
  readonly fresh: readonly string[];
}

/** A local checkpoint as the run will load it. */
export function baseOf(
  source: string,
  flags: Pick<ChosenFlags, "definition"> & DtypeFlags,
  task: Task | undefined,
): Base {
  const headed = { ...task !== undefined && { task }, ...dtypeOf(flags) };
  const fresh = task === undefined ? [] : freshModules(source, task);
  const stored = checkpointShapes(source, headed);
  const quantize = quantizationOf(flags, stored);
  if (quantize === undefined) return { shapes: stored, fresh };
  stored.dispose();
  return { shapes: checkpointShapes(source, { ...headed, quantize }), quantize, fresh };
}

function shapesOfConfig(flags: ChosenFlags): Model {
  const config = readJson(flags.config!) as ModelConfig;
  const { quantize } = commandLineOf(flags.definition);
  return configShapes(config, { ...dtypeOf(flags), ...quantize && { quantize } });
}

async function sizesOf(
  source: string,
  model: Model,
  flags: FinetuneFlags & { readonly data: string },
  maxLength: number,
): Promise<PlannedSizes> {
  const tokenizer = await loadTokenizerOf(source);
  if (tokenizer === undefined) {
    throw failure("TOKENIZER_UNSUPPORTED", `Cannot plan for --data: ${source} has no tokenizer`);
  }
  using data = await openRunData({ ...flags, ...heldOutOf(flags) }, model, tokenizer, maxLength);
  using other = await openEvaluated(flags, model, tokenizer, maxLength);
  return await plannedSizes(data, other);
}

/** The evaluation file, if one was given. */
export async function openEvaluated(
  flags: FinetuneFlags,
  model: Model,
  tokenizer: Tokenizer,
  maxLength: number,
  opening: OpeningOptions = {},
): Promise<Data | undefined> {
  const { evalData } = flags;
  return evalData === undefined
    ? undefined
    : await openRunData({ ...flags, data: evalData, heldOut: 0 }, model, tokenizer, maxLength, opening);
}

/** Without data: every row is full, and every token a label. */
function fullRows(count: number, maxLength: number): ExampleSizes {
  return {
    lengths: new Array<number>(count).fill(maxLength),
    targets: new Array<number>(count).fill(maxLength - 1),
  };
}

/** The plan as a table. */
function showPlan(plan: MemoryPlan): string {
  const rows = [
    ["weights", plan.weights],
    ["adapter", plan.adapter],
    ["gradients", plan.gradients],
    ["optimizer state", plan.optimizer],
    ["activations and temporaries", plan.activations],
    ["total", plan.total],
    ...plan.paged > 0 ? [["optimizer state outside (paged)", plan.paged] as const] : [],
  ] as const;
  return table([["memory", "bytes"], ...rows.map(([name, bytes]) => [name, showBytes(bytes)])]);
}
