/**
 * The training loop, one optimizer step at a time. All randomness is a function of (seed, step), the order of
 * the data of (seed, epoch), so a run continued from a snapshot takes bit-identical steps.
 */
import {
  type Adapter,
  type Batch as ModelBatch,
  copyTree,
  dispose,
  fold,
  heed,
  keep,
  key as keyOf,
  lossAndGradients,
  type Model,
  scope,
  type Synchronous,
  type Tensor,
  trainable,
  type Tree,
} from "../core/mod.ts";
import { countSteps } from "./batches.ts";
import { type BatchOptions, epochPlan, needsAllSizes, type Step } from "./epoch_plan.ts";
import type { MicroBatch } from "./micro_batch.ts";
import { clipFactor, clippedApart, globalNorm, scaleGradients } from "./clip.ts";
import { collate } from "./collate.ts";
import { resident } from "./moments.ts";
import { loadedLossScale, nextLossScale, storedLossScale, unscaled } from "./loss_scale.ts";
import { adamw } from "./optimizer.ts";
import { mostTokens } from "./chunks.ts";
import { measured, type Pass } from "./passes.ts";
import type { Rows } from "./rows.ts";
import { checkSame } from "./same_parameters.ts";
import type { GradientFunction, Resume, Training, TrainOptions } from "./training.ts";
import { treeSum } from "./tree_sum.ts";
import { alone } from "./world.ts";
import { rangeError } from "../errors/error.ts";

/**
 * Starts or continues a run. The adapter's own tensors are not freed.
 *
 * @throws the signal's reason when it is already aborted; then nothing is allocated, and `resume` is still the caller's.
 * @example
 * ```ts
 * import { adapt, dispose, freshModel, lora, reference, smallConfig } from "@graft/peft";
 * import { rowsFrom, startTraining } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const rows = rowsFrom([{ inputIds: [1, 2, 3, 4], labels: [1, 2, 3, 4] }]);
 * const start = adapt(model, lora({ rank: 4, targets: "all-linear" }));
 * const run = await startTraining(model, start, rows, {
 *   learningRate: 0.05, batching: { kind: "buckets", batchSize: 1 }, epochs: 10, pad: 0,
 * });
 * const losses: number[] = [];
 * for (let report = await run.next(); report; report = await run.next()) losses.push(report.loss);
 * assert.equal(losses.length, 10);
 * assert.ok(losses.at(-1)! < losses[0]!);
 * run.dispose(); // after saving run.adapter()
 * dispose(start.params);
 * ```
 */
export async function startTraining<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  rows: Rows,
  options: TrainOptions,
  resume?: Resume,
): Promise<Training<P>> {
  const { signal } = options;
  signal?.throwIfAborted();
  const seed = keyOf(options.seed ?? 0);
  const order: BatchOptions = {
    batching: options.batching,
    accumulate: options.accumulate ?? 1,
    chunkTokens: mostTokens(rows, options.chunkTokens),
    key: fold(seed, "order"),
  };
  const epochs = options.epochs ?? 1;
  const { world = alone } = options;
  if (needsAllSizes(order)) await rows.sized?.();
  const totalSteps = Math.min(options.maxSteps ?? Infinity, countSteps(rows, order, epochs));
  const owned = keep(
    resume === undefined
      ? copyTree(adapter.params)
      : (checkSame(adapter.params, resume.params), resume.params),
  );
  const moments = await (options.moments ?? ((params: Tree) => resident(adamw(), params)))(owned.tree);
  if (resume !== undefined) await moments.restore(resume.slots);
  const { [SCALING]: scaled, ...others } = resume?.state ?? {};
  const state = keep(others as Tree);
  let scaling = options.lossScale && await loadedLossScale(scaled as Tensor | undefined, options.lossScale);
  if (scaling === undefined) dispose(scaled);
  const {
    learningRate,
    rateOf = adapter.method.rates?.({ params: adapter.params, spec: model.spec, learningRate }),
  } = options;
  let step = resume?.step ?? 0;
  let scalingTensor: Tensor | undefined;
  const plans = plansFrom(rows, order, Math.min(step, totalSteps));
  let planned: Step | undefined; // kept when a step is given up, so that the next one is the same
  // Within a step one process of several would leave the others waiting for what it has.
  const within = world.size === 1 ? signal : undefined;
  const passes: GradientFunction = options.gradients ?? lossAndGradients;
  const current = (): Adapter<P> => ({ ...adapter, params: owned.tree as P });

  const gradientsOf = async (plan: Step): Promise<Passes> => {
    const own: Pass[] = [];
    const chunk = async (i: number): Promise<Tree> => {
      if (own.length > 0) await heed(within);
      const { value, gradients, metrics = {} } = passes(
        model,
        current(),
        batchOf(rows, plan.microBatches[i]!, options),
        {
          train: true,
          key: fold(fold(fold(seed, "pass"), step), i),
          labelCount: plan.targets,
          labelSmoothing: options.labelSmoothing ?? 0,
          checkpointBlocks: options.checkpointBlocks ?? false,
          ...scaling && { lossScale: scaling.scale },
        },
      );
      own.push({ loss: value, metrics });
      return gradients;
    };
    try {
      return { own, gradients: await treeSum(world, plan.microBatches.length, trainable(owned.tree), chunk) };
    } catch (error) {
      dispose(own.map(({ loss, metrics }) => [loss, metrics]));
      throw error;
    }
  };

  return {
    get step() {
      return step;
    },
    totalSteps,
    moments,
    get lossScale() {
      return scaling;
    },
    adapter: current,
    next: async () => {
      if (step >= totalSteps) return undefined;
      await heed(signal);
      const plan = planned ??= (await plans.next()).value;
      const { own, gradients: raw } = await gradientsOf(plan);
      const found = scaling === undefined ? raw : unscaled(raw, scaling);
      const gradients = options.clip === undefined || options.clipGroup === undefined
        ? found
        : await clippedApart(found, options.clip, options.clipGroup);
      const globally = scope((): Synchronous<Tensor> => globalNorm(gradients));
      const { norm, loss, metrics: told } = await measured(world, globally, own);
      if (within?.aborted) {
        dispose(gradients);
        throw within.reason;
      }
      const learningRate = options.learningRate * (options.schedule?.(step) ?? 1);
      const report = {
        epoch: plan.epoch,
        loss,
        tokens: tokensIn(rows, plan),
        learningRate,
        gradientNorm: norm,
        ...told && { metrics: told },
        ...scaling && { lossScale: scaling.scale },
      };
      const finite = Number.isFinite(norm);
      if (scaling !== undefined && Number.isFinite(loss) && (finite || scaling.scale > 1)) {
        scaling = nextLossScale(scaling, finite, options.lossScale);
        if (!finite) {
          dispose(gradients);
          planned = undefined;
          return { step: ++step, ...report, skipped: true };
        }
      }
      if (!Number.isFinite(loss) || !finite) {
        dispose(gradients);
        throw rangeError(
          "LOSS_NOT_FINITE",
          `The loss of step ${
            step + 1
          } is ${loss} and its gradient's norm ${norm}: lower the learning rate ` +
            `(${options.learningRate}), add warm-up or clip gradients${
              scaling ? ", or multiply in f32" : ""
            }; the last checkpoint is unharmed`,
        );
      }
      const factor = options.clip === undefined || options.clipGroup !== undefined
        ? 1
        : clipFactor(norm, options.clip);
      step++;
      planned = undefined;
      const next = await moments.apply(owned.tree, gradients, {
        learningRate,
        step: step - (scaling?.skipped ?? 0),
        gradientFactor: factor,
        ...rateOf && { rateOf },
      });
      owned.replace(next);
      if (adapter.method.project !== undefined) {
        owned.replace(scope((): Synchronous<Tree> => adapter.method.project!(owned.tree as P)));
      }
      if (adapter.method.adjust !== undefined) {
        const clipped = scope((): Synchronous<Tree> => scaleGradients(gradients, factor));
        const adjusted = await adapter.method.adjust({
          params: owned.tree as P,
          gradients: clipped,
          state: state.tree,
          step,
          totalSteps,
        });
        owned.replace(adjusted.params);
        state.replace(adjusted.state);
        dispose(clipped);
      }
      dispose(gradients);
      return { step, ...report };
    },
    snapshot: () => {
      scalingTensor?.storage.free();
      scalingTensor = scaling && storedLossScale(scaling, model.backend);
      const kept = scalingTensor ? { ...state.tree, [SCALING]: scalingTensor } : state.tree;
      return { step, params: owned.tree, slots: moments.save(), state: kept };
    },
    dispose: () => {
      scalingTensor?.storage.free();
      moments.dispose();
      state.dispose();
      owned.dispose();
    },
  };
}

/** The name of the loss scale in a snapshot's state: its scale, good steps and skipped ones. */
const SCALING = "lossScale";

/** The passes of a step. */
interface Passes {
  /** Those of this process. */
  readonly own: readonly Pass[];
  /** Of all processes. */
  readonly gradients: Tree;
}

/** The steps after those that are done, epoch after epoch, each when the sizes that it needs are known. */
async function* plansFrom(rows: Rows, order: BatchOptions, done: number): AsyncGenerator<Step, never> {
  let skipped = 0;
  for (let epoch = 0;; epoch++) {
    const plan = epochPlan(rows, order, epoch);
    const first = Math.min(plan.steps, done - skipped);
    skipped += first;
    for (let step = first; step < plan.steps; step++) {
      await rows.sized?.(plan.examples(step));
      yield plan.step(step);
    }
  }
}

/**
 * A micro-batch in the form that the model takes.
 *
 * @example
 * ```ts
 * import { batchOf, rowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const rows = rowsFrom([{ inputIds: [1, 2], labels: [-100, 2] }, { inputIds: [3], labels: [3] }]);
 * const batch = batchOf(rows, { rows: [[0], [1]], targets: 1 }, {
 *   batching: { kind: "buckets", batchSize: 2 }, pad: 0,
 * });
 * assert.deepEqual(batch.inputIds, [[1, 2], [3, 0]]);
 * ```
 */
export function batchOf(
  rows: Rows,
  micro: MicroBatch,
  options: Pick<TrainOptions, "batching" | "pad">,
): ModelBatch {
  if (rows.batch !== undefined) {
    if (options.batching.kind === "packing") {
      throw rangeError("INVALID_ARGUMENT", "Cannot pack rows that have labels of their own: use buckets");
    }
    return rows.batch(micro.rows.flat(), options.pad);
  }
  const batch = collate(micro.rows, (n) => rows.tokens(n), { pad: options.pad });
  const { inputIds, labels, attentionMask } = batch;
  return options.batching.kind === "packing" ? batch : { inputIds, labels, attentionMask };
}

function tokensIn(rows: Rows, plan: Step): number {
  return plan.microBatches.flatMap((m) => m.rows.flat()).reduce((sum, n) => sum + rows.lengths[n]!, 0);
}
