/**
 * The intrinsic dimension of a task: how few parameters suffice to fine-tune a model on it. Li et al. 2018,
 * arXiv 1804.08838, section 2 (d90, measured in random subspaces of increasing dimension); Aghajanyan,
 * Zettlemoyer and Gupta 2020, arXiv 2012.13255, section 3 (of pretrained models, by Intrinsic SAID).
 *
 *   d_share = smallest d with  mean score(θ0 + P v, v trained [d])  ≥  share · mean score(θ fully trained)      means over seeds
 *
 * Dimensions are tried in ascending order until one reaches the target; the gap to the last one that did not
 * is then bisected a few times (geometrically). A seed determines projection, order of the data and dropout.
 */
import { adapt, type Adapter, dispose, merge, type Method, type Model, weightLeaves } from "../core/mod.ts";
import { fullFineTune } from "../methods/selective/full_fine_tune.ts";
import {
  intrinsicSaid,
  type IntrinsicSaidOptions,
  saidScales,
} from "../methods/structured/intrinsic_said.ts";
import type { Rows } from "../train/mod.ts";
import { type StageOptions, trainStage } from "./stage.ts";
import { rangeError } from "../errors/error.ts";
import { log2 } from "../elementary/exponential.ts";

/** A task to measure: its training data, how to train, and how to score a model. */
export interface IntrinsicTask {
  /** Training data. */
  readonly train: Rows;
  /**
   * Held-out score of a model, higher is better and never negative: accuracy, F1, ROUGE. The model is valid
   * during the call.
   */
  score(model: Model): number | Promise<number>;
  /** Options of full fine-tuning. */
  readonly full: StageOptions;
  /** Options of training in a subspace of dimension d; the papers choose the learning rate for each d. */
  subspace(dimension: number): StageOptions;
  /** The score of always predicting the most frequent class, where the task has classes. */
  readonly majority?: number;
}

/** One training run; full fine-tuning has no dimension. */
export interface IntrinsicRun {
  /** d; absent for full fine-tuning. */
  readonly dimension?: number;
  /** Seed of projection, order and dropout. */
  readonly seed: number;
  /** Higher is better. */
  readonly score: number;
}

/** Options of `intrinsicDimension`. */
export interface IntrinsicDimensionOptions extends Pick<IntrinsicSaidOptions, "parameters" | "scales"> {
  /** As for SAID, but "vector" by default: "tensor", as released, draws more and is slower. */
  readonly blocks?: IntrinsicSaidOptions["blocks"];
  /** Share of full fine-tuning's score to reach, default 0.9. */
  readonly share?: number;
  /**
   * Ascending dimensions to try. Default: powers of two from the smallest that SAID allows up to the model's
   * size.
   */
  readonly dimensions?: readonly number[];
  /** Bisections of the gap below the first dimension that reaches the target, default 2. */
  readonly refinements?: number;
  /** One run per seed, default 0, 1 and 2. */
  readonly seeds?: readonly number[];
  /** Earlier runs with the same settings; they are not repeated. */
  readonly known?: readonly IntrinsicRun[];
  /** Called after each run, so that it can be saved. */
  readonly measured?: (run: IntrinsicRun) => void | Promise<void>;
}

/** Scores of one dimension over the seeds. */
export interface IntrinsicPoint {
  /** d. */
  readonly dimension: number;
  /** One per seed. */
  readonly scores: readonly number[];
  /** Mean over the seeds. */
  readonly mean: number;
}

/** The result. */
export interface IntrinsicDimension {
  /** The smallest measured dimension whose mean score reaches the target; absent when none does. */
  readonly dimension?: number;
  /** share · the mean score of full fine-tuning. */
  readonly target: number;
  /** Scores of full fine-tuning. */
  readonly full: { readonly scores: readonly number[]; readonly mean: number };
  /** Score of the original model. */
  readonly untrained: number;
  /** By ascending dimension. */
  readonly curve: readonly IntrinsicPoint[];
}

/**
 * Measures the intrinsic dimension of a task for a model. The model is not changed.
 *
 * @throws {RangeError} when an option is out of range; or, after full fine-tuning, when the untrained model
 * or always predicting the most frequent class reaches the target, so that the dimension would be
 * meaningless.
 * @example
 * ```ts
 * import { freshModel, intrinsicDimension, reference } from "@graft/peft";
 * import { batchOf, heldOutLoss, rowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 *
 * const model = freshModel({
 *   model_type: "llama", vocab_size: 8, hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1,
 *   num_attention_heads: 2, num_key_value_heads: 1, tie_word_embeddings: true,
 * }, { backend: reference(), key: 0 });
 * const rows = rowsFrom([{ inputIds: [1, 2, 3, 4], labels: [1, 2, 3, 4] }]);
 * const stage = { learningRate: 0.05, batching: { kind: "buckets", batchSize: 1 }, epochs: 20, pad: 0 } as const;
 * const found = await intrinsicDimension(model, {
 *   train: rows,
 *   score: async (m) => Math.exp(-(await heldOutLoss(m, rows, { batchSize: 1, pad: 0 })).loss),
 *   full: stage,
 *   subspace: () => ({ ...stage, learningRate: 0.5 }),
 * }, { share: 0.5, dimensions: [16, 64], seeds: [0], refinements: 0 });
 * assert(found.untrained < found.target && found.curve.length > 0);
 * ```
 */
export async function intrinsicDimension(
  model: Model,
  task: IntrinsicTask,
  options: IntrinsicDimensionOptions = {},
): Promise<IntrinsicDimension> {
  const { share = 0.9, refinements = 2, seeds = [0, 1, 2], known = [] } = options;
  const dimensions = options.dimensions ?? powersOfTwo(model, options);
  check(share, refinements, seeds, dimensions);

  const run = async (seed: number, dimension?: number): Promise<number> => {
    const earlier = known.find((r) => r.seed === seed && r.dimension === dimension);
    if (earlier !== undefined) return earlier.score;
    const method: Method = dimension === undefined
      ? fullFineTune()
      : intrinsicSaid({ ...saidOptions(options), dimension, seed });
    const stage = dimension === undefined ? task.full : task.subspace(dimension);
    const score = await trainedScore(model, method, task, { ...stage, seed });
    await options.measured?.({ ...dimension !== undefined && { dimension }, seed, score });
    return score;
  };
  const runs = async (dimension?: number): Promise<readonly number[]> => {
    const scores: number[] = [];
    for (const seed of seeds) scores.push(await run(seed, dimension));
    return scores;
  };

  const scores = await runs();
  const full = { scores, mean: mean(scores) };
  const target = share * full.mean;
  const untrained = await checkedScore(task, model);
  checkTarget(target, full.mean, untrained, task.majority);

  const curve = new Map<number, IntrinsicPoint>();
  const reaches = async (dimension: number): Promise<boolean> => {
    const scores = await runs(dimension);
    curve.set(dimension, { dimension, scores, mean: mean(scores) });
    return mean(scores) >= target;
  };
  let [below, found]: [number?, number?] = [];
  for (const dimension of dimensions) {
    if (await reaches(dimension)) {
      found = dimension;
      break;
    }
    below = dimension;
  }
  for (let i = 0; i < refinements && below !== undefined && found !== undefined; i++) {
    const between = Math.round(Math.sqrt(below * found));
    if (between <= below || between >= found) break;
    if (await reaches(between)) found = between;
    else below = between;
  }
  return {
    ...found !== undefined && { dimension: found },
    target,
    full,
    untrained,
    curve: [...curve.values()].sort((a, b) => a.dimension - b.dimension),
  };
}

/**
 * Trains from the start and scores the merged model, in which a projection is computed once instead of in
 * every pass.
 */
async function trainedScore(
  model: Model,
  method: Method,
  task: IntrinsicTask,
  stage: StageOptions,
): Promise<number> {
  const trained: Adapter = await trainStage(model, adapt(model, method, stage.seed), task.train, stage);
  try {
    const merged = merge(model, trained);
    try {
      return await checkedScore(task, merged);
    } finally {
      merged.dispose();
    }
  } finally {
    dispose(trained.params);
  }
}

async function checkedScore(task: IntrinsicTask, model: Model): Promise<number> {
  const score = await task.score(model);
  if (!(score >= 0 && score < Infinity)) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected the task's score to be a number from 0 but found ${score}`,
    );
  }
  return score;
}

/**
 * Powers of two from the smallest d that leaves something besides the scales, up to the model's number of
 * parameters.
 */
function powersOfTwo({ spec, weights }: Model, options: IntrinsicDimensionOptions): readonly number[] {
  const size = weightLeaves(weights).reduce((n, [, leaf]) => n + leaf.size, 0);
  const first = Math.ceil(log2(saidScales(spec, options).length + 1));
  const last = Math.floor(log2(size));
  return Array.from({ length: last - first + 1 }, (_, i) => 2 ** (first + i));
}

/** The options that are SAID's. */
function saidOptions(
  { parameters, scales, blocks = "vector" }: IntrinsicDimensionOptions,
): Omit<IntrinsicSaidOptions, "dimension" | "seed"> {
  return {
    blocks,
    ...parameters !== undefined && { parameters },
    ...scales !== undefined && { scales },
  };
}

function check(share: number, refinements: number, seeds: readonly number[], dims: readonly number[]): void {
  if (!(share > 0 && share <= 1)) {
    throw rangeError("INVALID_ARGUMENT", `Expected share above 0 and up to 1 but found ${share}`);
  }
  if (!Number.isInteger(refinements) || refinements < 0) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected refinements to be an integer from 0 but found ${refinements}`,
    );
  }
  if (seeds.length === 0) throw rangeError("INVALID_ARGUMENT", "Expected at least one seed but found none");
  if (new Set(seeds).size < seeds.length) {
    throw rangeError("INVALID_ARGUMENT", `Expected seeds to differ but found ${seeds.join(", ")}`);
  }
  if (dims.length === 0) {
    throw rangeError("INVALID_ARGUMENT", "Expected at least one dimension to try but found none");
  }
  const falling = dims.findIndex((d, i) => !Number.isInteger(d) || d < 1 || d <= (dims[i - 1] ?? 0));
  if (falling >= 0) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected rising whole dimensions above 0 but found ${dims.join(", ")}`,
    );
  }
}

function checkTarget(target: number, full: number, untrained: number, majority: number | undefined): void {
  const needless = majority !== undefined && majority >= target
    ? `the commonest class alone scores ${show(majority)}`
    : untrained >= target
    ? `the untrained model scores ${show(untrained)}`
    : undefined;
  if (needless === undefined) return;
  throw rangeError(
    "INVALID_ARGUMENT",
    `Cannot measure an intrinsic dimension here: ${needless}, full fine-tuning ${
      show(full)
    }, so the target of ` +
      `${show(target)} needs no training; balance the classes, train longer or raise share`,
  );
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const show = (score: number): string => score.toPrecision(3);
