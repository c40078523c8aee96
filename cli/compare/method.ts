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
  contextOf,
  cosine,
  faithfulness,
  type GradientFunction,
  heldOutLoss,
  paged,
  pickRows,
  resident,
  type Sample,
  samplesOf,
  scoresOf,
  startTraining,
} from "../../train/mod.ts";
import { type Data, type DataFlags, openData, rowLength } from "../data.ts";
import { padOf } from "../finetune/evaluation.ts";
import { quantizationOf } from "../finetune/settings.ts";
import { type ModelFlags, openModel } from "../load.ts";
import type { JsonOptions } from "../../core/options/mod.ts";
import { chooseMethod, type ChosenMethod, commandLineOf } from "../../tuning/chosen_method.ts";
import type { MethodFlags } from "../../tuning/method_from_flags.ts";
import { disposeNew, start } from "../../tuning/prepare.ts";
import { note } from "../terminal/output.ts";
import { progress } from "../terminal/progress.ts";
import { temporaryFolder } from "../../platform/temporary.ts";

/** The input of a method's process, as JSON. */
export interface MethodSettings extends DataFlags, ModelFlags {
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

/** Held-out loss, ROUGE-L and faithfulness, with the generated texts. */
export interface Measured {
  readonly loss: number;
  /** Mean F1; absent when no answers were requested. */
  readonly rougeL?: number;
  /** Shares of true and of wanted facts, over all answers; absent where there is no fact. */
  readonly precision?: number;
  readonly recall?: number;
  readonly samples: readonly WrittenSample[];
}

/** A sample with the conversation, or whatever the prompt gives, that it answers. */
export interface WrittenSample extends Sample {
  readonly conversation: string;
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
  const quantize = quantizationOf(flags, checkpointShapes(settings.model));
  if (commandLineOf(definition).quantize !== undefined && quantize === undefined) {
    note(`The base is quantized already: it stays as it is under ${definition.name}`);
  }
  const opened = await openModel(settings, quantize === undefined ? {} : { quantize });
  try {
    const { base: model } = opened;
    using data = await openData(settings, model, model.tokenizer, rowLength(settings, model));
    const options = (steps: number): StageOptions => trainOptions(model, settings, flags, data, steps);
    const begun = await start(model, flags, {
      rows: data.train,
      batchSize: settings.batchSize,
      pad: padOf(model.tokenizer),
      stages: { steps: settings.steps, options },
    });
    const { trainable, base } = count(begun.model, begun.adapter);
    const before = await measure(model, data, settings);
    resetPeak();
    const trained = await train(begun.model, begun.adapter, data, options(settings.steps));
    begun.release();
    const after = await measure(graft(begun.model, trained.adapter), data, settings);
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
): StageOptions {
  const isPaged = commandLineOf(definition).optimizer === "paged" &&
    commandLineOf(definition).quantize !== undefined;
  const gradients = definition.gradients as GradientFunction | undefined;
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

async function measure(model: Model<Tokenizer>, data: Data, settings: MethodSettings): Promise<Measured> {
  const { loss } = await heldOutLoss(model, data.heldOut, {
    batchSize: settings.batchSize,
    pad: padOf(model.tokenizer),
  });
  const n = Math.min(settings.rouge, data.heldOut.count);
  if (n === 0) return { loss, samples: [] };
  const numbers = Array.from({ length: n }, (_, i) => i);
  const examples = numbers.map((i) => data.texts!.heldOut(i));
  const references = examples.map(({ answer }) => answer);
  const written = await samplesOf(model, pickRows(data.heldOut, numbers), references, {
    maxNewTokens: settings.maxNewTokens,
    batchSize: 16,
  });
  const samples = written.map((sample, i) => ({ ...sample, conversation: contextOf(examples[i]!) }));
  const { precision, recall } = faithfulness(
    samples.map(({ conversation, reference, written }) => ({ conversation, wanted: reference, written })),
    settings,
  );
  return {
    loss,
    rougeL: scoresOf(samples).rougeL.f1,
    ...precision !== undefined && { precision },
    ...recall !== undefined && { recall },
    samples,
  };
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
