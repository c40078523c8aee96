/** One method of `graft compare`, in a separate process, so that its memory peak is measured separately. */
import { rm, stat } from "node:fs/promises";
import {
  type Adapter,
  count,
  graft,
  memory,
  merge,
  type Model,
  resetPeak,
  weightBytes,
} from "../../core/mod.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { checkpointShapes } from "../../io/model_shapes.ts";
import { refusedByPeft, saveAdapter } from "../../io/save_adapter.ts";
import type { StageOptions } from "../../recipes/stage.ts";
import { saveModel } from "../../io/save_model.ts";
import {
  adamw,
  cosine,
  type GradientFunction,
  type Objective,
  objectiveGradients,
  paged,
  type PreferenceRows,
  resident,
  type Rows,
  startTraining,
  withReference,
} from "../../train/mod.ts";
import { type Data, type DataFlags, rowLength } from "../data.ts";
import { padOf } from "../finetune/evaluation.ts";
import { aimOf } from "../finetune/objective.ts";
import type { ObjectiveFlags } from "../finetune/objective_flags.ts";
import { baseOf } from "../finetune/plan.ts";
import { openRunData } from "../finetune/preference_data.ts";
import { taskFor } from "../finetune/task.ts";
import { type ModelFlags, openModel } from "../load.ts";
import type { JsonOptions } from "../../core/options/mod.ts";
import { chooseMethod, type ChosenMethod, commandLineOf } from "../../tuning/chosen_method.ts";
import type { MethodFlags } from "../../tuning/method_from_flags.ts";
import { disposeNew, start } from "../../tuning/prepare.ts";
import { note } from "../terminal/output.ts";
import { progress } from "../terminal/progress.ts";
import { temporaryFolder } from "../../platform/temporary.ts";
import { measure, type Measured } from "./measure.ts";

/** The input of a method's process, as JSON. */
export interface MethodSettings extends DataFlags, ModelFlags, ObjectiveFlags {
  /** A local folder or file. */
  readonly model: string;
  readonly method: string;
  /** More of its options. */
  readonly options?: JsonOptions;
  readonly rank: number | undefined;
  readonly learningRate: number;
  readonly steps: number;
  readonly batchSize: number;
  readonly seed: number;
  readonly heldOut: number;
  /** Number of answers to generate and score, before and after. */
  readonly rouge: number;
  readonly maxNewTokens: number;
  /** Words that are facts beside names, numbers and dates. */
  readonly terms: readonly string[];
}

/** The result of a method's process, as JSON. */
export interface MethodResult {
  readonly method: string;
  /** How its paper writes it. */
  readonly title: string;
  readonly trainable: number;
  /** Number of the model's own parameters. */
  readonly base: number;
  /** Bytes of the frozen weights. */
  readonly weights: number;
  /** Peak number of live bytes while training, by `memory()`. */
  readonly peak: number;
  readonly tokensPerSecond: number;
  readonly learningRate: number;
  readonly steps: number;
  readonly seconds: number;
  /** Size of the resulting file in bytes: the adapter, or the whole model in its own dtypes. */
  readonly file: number;
  readonly before: Measured;
  readonly after: Measured;
}

/** Loads, measures, trains, measures and saves. */
export async function measureMethod(settings: MethodSettings): Promise<MethodResult> {
  const started = performance.now();
  const flags = await methodFlags(settings);
  const { definition } = flags;
  const stored = checkpointShapes(settings.model);
  const task = await taskFor(settings, stored);
  stored.dispose();
  const { shapes, quantize, fresh } = baseOf(settings.model, flags, task);
  shapes.dispose();
  if (commandLineOf(definition).quantize !== undefined && quantize === undefined) {
    note(`The base is quantized already: it stays as it is under ${definition.name}`);
  }
  const opened = await openModel(settings, {
    ...quantize !== undefined && { quantize },
    ...task !== undefined && { task },
  });
  try {
    const model = { ...opened.base, source: settings.model };
    const maxLength = rowLength(settings, model);
    using read = await openRunData(settings, model, model.tokenizer, maxLength);
    using aim = await aimOf(settings, model);
    const data = await referred(read, model, settings);
    const objective = aim?.objective;
    const options = (steps: number): StageOptions =>
      trainOptions(model, settings, flags, data, steps, objective);
    const measured = (tuned: Model<Tokenizer>): Promise<Measured> =>
      measure(tuned, model, data, settings, objective);
    const begun = await start(model, flags, {
      rows: data.train,
      batchSize: settings.batchSize,
      pad: padOf(model.tokenizer),
      stages: { steps: settings.steps, options },
      objective,
    }, fresh);
    const { trainable, base } = count(begun.model, begun.adapter);
    const before = await measured(model);
    resetPeak();
    const trained = await train(begun.model, begun.adapter, data, options(settings.steps));
    begun.release();
    const after = await measured(graft(begun.model, trained.adapter));
    const kept = await begun.finish(trained.adapter);
    const file = await fileBytes(model, kept, flags);
    disposeNew(kept, trained.adapter);
    begun.dispose();
    return {
      method: definition.name,
      title: definition.title ?? definition.name,
      trainable,
      base,
      weights: weightBytes(model),
      peak: trained.peak,
      tokensPerSecond: trained.tokensPerSecond,
      learningRate: settings.learningRate,
      steps: settings.steps,
      seconds: (performance.now() - started) / 1000,
      file,
      before,
      after,
    };
  } finally {
    opened.close();
  }
}

/** The method, with the rank where it has one. */
async function methodFlags(
  { method, rank, seed, options }: MethodSettings,
): Promise<MethodFlags & { readonly seed: number }> {
  const chosen = await chooseMethod(method);
  return {
    ...chosen,
    seed,
    ...options && { options },
    ...commandLineOf(chosen.definition).flags.includes("rank") && rank !== undefined && { rank },
  };
}

/** How each method trains. */
function trainOptions(
  model: Model<Tokenizer>,
  settings: MethodSettings,
  { definition }: ChosenMethod,
  data: Data,
  steps: number,
  objective?: Objective,
): StageOptions {
  const isPaged = commandLineOf(definition).optimizer === "paged" &&
    commandLineOf(definition).quantize !== undefined;
  const gradients = objective === undefined
    ? definition.gradients as GradientFunction | undefined
    : objectiveGradients(objective);
  return {
    learningRate: settings.learningRate,
    schedule: cosine({ totalSteps: steps, warmUp: Math.min(10, Math.ceil(steps / 10)) }),
    // Paged state is part of QLoRA (arXiv 2305.14314, section 3); all others keep it in compute memory.
    moments: (params) => isPaged ? paged(adamw(), params) : resident(adamw(), params),
    batching: { kind: "buckets", batchSize: settings.batchSize },
    epochs: Math.ceil(steps * settings.batchSize / data.train.count) + 1,
    maxSteps: steps,
    clip: 1,
    seed: settings.seed,
    pad: padOf(model.tokenizer),
    ...gradients && { gradients },
  };
}

/** The data with what its preferences are compared with, which does not change. */
async function referred(data: Data, model: Model<Tokenizer>, settings: MethodSettings): Promise<Data> {
  if (settings.objective !== "dpo" && settings.objective !== "ipo") return data;
  const known = (rows: Rows): Promise<Rows> =>
    withReference(rows as Rows & Pick<PreferenceRows, "batch">, model, {
      batchSize: settings.batchSize,
      pad: padOf(model.tokenizer),
    });
  return { ...data, train: await known(data.train), heldOut: await known(data.heldOut) };
}

interface Trained {
  readonly adapter: Adapter;
  readonly peak: number;
  readonly tokensPerSecond: number;
}

async function train(
  model: Model<Tokenizer>,
  adapter: Adapter,
  data: Data,
  options: StageOptions,
): Promise<Trained> {
  const run = await startTraining(model, adapter, data.train, options);
  const shown = progress(run.totalSteps, 0);
  // The first steps compile and are not counted in the speed.
  const warm = Math.min(3, run.totalSteps - 1);
  let [tokens, since, last] = [0, performance.now(), performance.now()];
  for (let report = await run.next(); report; report = await run.next()) {
    const now = performance.now();
    shown.step({
      step: report.step,
      loss: report.loss,
      tokensPerSecond: report.tokens * 1000 / (now - last),
    });
    last = now;
    if (report.step <= warm) [tokens, since] = [0, now];
    else tokens += report.tokens;
  }
  shown.stop();
  return {
    adapter: run.adapter(),
    peak: memory(model.backend).peak,
    tokensPerSecond: tokens * 1000 / (last - since),
  };
}

/** The size of what would be shared, measured on a file. */
async function fileBytes(
  model: Model<Tokenizer>,
  adapter: Adapter,
  { definition, own }: ChosenMethod,
): Promise<number> {
  const folder = temporaryFolder("graft-compare-");
  try {
    if (commandLineOf(definition).writes === "model") {
      const merged = merge(model, adapter, { dtype: "same" });
      await saveModel(folder, merged);
      merged.dispose();
      return (await stat(`${folder}/model.safetensors`)).size;
    }
    const format = refusedByPeft(adapter, model) === undefined ? "peft" : "graft";
    await saveAdapter(folder, adapter, model, { format, methods: own });
    return (await stat(`${folder}/adapter_model.safetensors`)).size;
  } finally {
    await rm(folder, { recursive: true });
  }
}
