/** Converts the flags of `graft finetune` to the options of a run. */
import {
  isQuantized,
  type Json,
  type Model,
  type QuantizeOptions,
  type SharedFlags,
  weightLeaves,
} from "../../core/mod.ts";
import type { JsonOptions } from "../../core/options/mod.ts";
import {
  adamw,
  adamw8bit,
  type Buckets,
  CHUNK_TOKENS,
  constant,
  cosine,
  type EarlyStopping,
  type GradientFunction,
  inverseSquareRoot,
  linear,
  type Optimizer,
  type Packing,
  type Schedule,
  sgd,
  type WarmUp,
} from "../../train/mod.ts";
import type { DataFlags } from "../data.ts";
import type { MetricsFlags } from "./metrics.ts";
import type { ObjectiveFlags } from "./objective_flags.ts";
import type { BackendName, DtypeFlags, ModelFlags } from "../load.ts";
import { chooseMethod, type ChosenMethod, commandLineOf } from "../../tuning/chosen_method.ts";

/** Names of the optimizers. */
export const OPTIMIZERS = ["adamw", "adamw8bit", "paged", "sgd"] as const;

/** Names of the schedules. */
export const SCHEDULES = ["cosine", "linear", "constant", "inverse-sqrt"] as const;

/** All flags of `graft finetune`, as given. */
export interface FinetuneFlags
  extends ModelFlags, DtypeFlags, SharedFlags, Omit<DataFlags, "data">, ObjectiveFlags, MetricsFlags {
  /** A method's name, or the file of one's own. */
  readonly method: string;
  /** Whether to train with the other processes of a launcher. */
  readonly distributed?: "auto" | "mpi" | "off";
  /** Options by the library's names. */
  readonly options?: JsonOptions;
  readonly data?: string;
  readonly output?: string;
  /** A saved adapter to go on from. */
  readonly from?: string;
  readonly resume?: true;
  readonly overwrite?: true;
  readonly saveConfig?: string;
  readonly keepCheckpoint?: true;
  readonly learningRate?: number;
  readonly schedule: typeof SCHEDULES[number];
  readonly warmup: number;
  readonly batchSize: number;
  readonly accumulate: number;
  readonly chunkTokens: number;
  readonly epochs: number;
  readonly maxSteps?: number;
  readonly packing?: true;
  readonly optimizer?: typeof OPTIMIZERS[number];
  readonly weightDecay: number;
  readonly pagedBudget?: number;
  readonly clip: number;
  readonly labelSmoothing: number;
  readonly checkpointBlocks?: true;
  readonly seed: number;
  readonly evalData?: string;
  readonly evalEvery?: number;
  readonly rouge: number;
  readonly maxNewTokens: number;
  readonly saveEvery?: number;
  readonly patience?: number;
  readonly keep: "best" | "last";
  readonly licence?: string;
  readonly plan?: true;
  readonly config?: string;
  readonly memory?: number;
  readonly json?: true;
}

/** The flags with the method that they name. */
export type ChosenFlags<F extends FinetuneFlags = FinetuneFlags> = F & ChosenMethod;

/** Finds the method that flags name. @throws {UsageError} when there is none. */
export async function chosenFlags<F extends FinetuneFlags>(flags: F): Promise<ChosenFlags<F>> {
  return { ...flags, ...await chooseMethod(flags.method) };
}

/** The update rule. */
export function optimizerOf(flags: ChosenFlags): Optimizer {
  const { weightDecay } = flags;
  const name = optimizerName(flags);
  switch (name) {
    case "adamw":
    case "paged":
      return adamw({ weightDecay });
    case "adamw8bit":
      return adamw8bit({ weightDecay });
    case "sgd":
      return sgd({ momentum: 0.9, weightDecay });
    default:
      return name satisfies never;
  }
}

/** A method's own gradient computation, if its paper has one. */
export function passesOf({ definition }: ChosenMethod): GradientFunction | undefined {
  return definition.gradients as GradientFunction | undefined;
}

/** The optimizer's name, as given or by the method's default. */
export function optimizerName({ optimizer, definition }: ChosenFlags): typeof OPTIMIZERS[number] {
  return optimizer ?? commandLineOf(definition).optimizer ?? "adamw";
}

/** The peak learning rate, as given or by the method's default. */
export function rateOf({ learningRate, definition }: ChosenFlags): number {
  return learningRate ?? commandLineOf(definition).rate;
}

/** The schedule of a run. */
export function scheduleOf({ schedule, warmup }: FinetuneFlags, totalSteps: number): Schedule {
  const warmUp: WarmUp = warmup < 1 ? { ratio: warmup, of: totalSteps } : Math.min(warmup, totalSteps);
  switch (schedule) {
    case "cosine":
      return cosine({ totalSteps, warmUp });
    case "linear":
      return linear({ totalSteps, warmUp });
    case "constant":
      return constant({ warmUp });
    case "inverse-sqrt":
      return inverseSquareRoot({ warmUp });
    default:
      return schedule satisfies never;
  }
}

/** How rows become batches. */
export function batchingOf({ packing, batchSize }: FinetuneFlags, maxLength: number): Buckets | Packing {
  return packing === true ? { kind: "packing", batchSize, maxLength } : { kind: "buckets", batchSize };
}

/** When to stop early. */
export function stoppingOf({ patience }: FinetuneFlags): EarlyStopping | undefined {
  return patience === undefined ? undefined : { patience };
}

/** How the method quantizes its base; undefined where the weights are unchanged or already quantized. */
export function quantizationOf(
  { definition }: Pick<ChosenMethod, "definition">,
  stored: Model,
): QuantizeOptions | undefined {
  return isQuantizedBase(stored) ? undefined : commandLineOf(definition).quantize;
}

/** Whether a model's matrices are already quantized. */
function isQuantizedBase(model: Model): boolean {
  return weightLeaves(model.weights).some(([, leaf]) => isQuantized(leaf.dtype));
}

/** What the flags of objectives say; nothing for supervised fine-tuning from a fresh adapter, as in earlier versions. */
function objectiveRecord(flags: FinetuneFlags): Readonly<Record<string, Json>> {
  const given: Readonly<Record<string, Json | undefined>> = {
    objective: flags.objective === "sft" ? undefined : flags.objective,
    from: flags.from,
    beta: flags.beta,
    "pair-loss": flags.pairLoss,
    center: flags.center,
    teacher: flags.teacher,
    "teacher-prompt": flags.teacherPrompt,
    temperature: flags.temperature,
    divergence: flags.divergence,
    symmetric: flags.symmetric,
    margin: flags.margin,
    pooling: flags.pooling,
  };
  return Object.fromEntries(
    Object.entries(given).flatMap(([name, value]) => value === undefined ? [] : [[name, value]]),
  );
}

/** Everything that determines the bits of a run: two runs with equal fingerprints take the same steps. */
export function fingerprint(
  flags: ChosenFlags & { readonly backend: BackendName },
  maxLength: number,
): Readonly<Record<string, Json>> {
  return {
    method: flags.method,
    rank: flags.rank ?? null,
    alpha: flags.alpha ?? null,
    dropout: flags.dropout ?? null,
    targets: flags.targets ?? null,
    bottleneck: flags.bottleneck ?? null,
    length: flags.length ?? null,
    dimension: flags.dimension ?? null,
    options: flags.options ?? null,
    backend: flags.backend,
    dtype: flags.dtype ?? null,
    precision: flags.precision === "f16" ? "f16" : null, // earlier versions without this option used f32
    "learning-rate": rateOf(flags),
    schedule: flags.schedule,
    warmup: flags.warmup,
    "batch-size": flags.batchSize,
    accumulate: flags.accumulate,
    "chunk-tokens": flags.chunkTokens === CHUNK_TOKENS ? null : flags.chunkTokens, // absent from earlier runs
    epochs: flags.epochs,
    "max-steps": flags.maxSteps ?? null,
    packing: flags.packing ?? false,
    optimizer: optimizerName(flags),
    "weight-decay": flags.weightDecay,
    clip: flags.clip,
    "label-smoothing": flags.labelSmoothing,
    "checkpoint-blocks": flags.checkpointBlocks ?? false,
    seed: flags.seed,
    "max-length": maxLength,
    "long-prompts": flags.longPrompts,
    answers: flags.answers,
    format: flags.format ?? null,
    fields: flags.fields === undefined ? null : { ...flags.fields },
    instruction: flags.instruction ?? null,
    limit: flags.limit ?? null,
    "held-out": flags.heldOut ?? null,
    "split-seed": flags.splitSeed,
    "eval-every": flags.evalEvery ?? null,
    patience: flags.patience ?? null,
    keep: flags.keep,
    ...objectiveRecord(flags),
  };
}
