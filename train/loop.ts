/**
 * The training loop, one optimizer step at a time. Everything random is a function of (seed, step), the order of the data
 * of (seed, epoch), so a run continued from a snapshot takes the same steps, bit for bit.
 */
import {
  type Adapter,
  type Batch as ModelBatch,
  copyTree,
  dispose,
  fold,
  keep,
  type Key,
  key as keyOf,
  leaves,
  lossAndGradients,
  type LossOptions,
  mapTree,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../core/mod.ts";
import { add } from "../ops/mod.ts";
import { type BatchOptions, countSteps, type MicroBatch, type Step, stepsFrom } from "./batches.ts";
import type { Buckets } from "./buckets.ts";
import { clipFactor, clippedApart, globalNorm, scaleGradients } from "./clip.ts";
import { collate } from "./collate.ts";
import { leafOf, type Moments, resident, type SlotBytes } from "./moments.ts";
import { adamw } from "./optimizer.ts";
import type { Packing } from "./packing.ts";
import type { Rows } from "./rows.ts";

/** How to train. */
export interface TrainOptions {
  /** At its peak. */
  readonly learningRate: number;
  /** step (from 0) → factor on the learning rate. Default: constant. */
  readonly schedule?: (step: number) => number;
  /** Factor on the learning rate by parameter path. Default: the method's own rates. */
  readonly rateOf?: (path: string) => number;
  /** Optimizer and where its state lives. Default: AdamW, resident. */
  readonly moments?: (params: Tree) => Moments | Promise<Moments>;
  /** How rows are put together. */
  readonly batching: Buckets | Packing;
  /** Micro-batches a step, default 1. */
  readonly accumulate?: number;
  /** Passes over the data, default 1. */
  readonly epochs?: number;
  /** Stop after this many steps even inside an epoch. */
  readonly maxSteps?: number;
  /** Largest Euclidean norm of all gradients together; none by default. */
  readonly clip?: number;
  /** Parameters of one name are clipped together, others apart. Default: all together. */
  readonly clipGroup?: (path: string) => string;
  /** Share of the target that goes to all tokens, default 0. */
  readonly labelSmoothing?: number;
  /** Recompute blocks in the backward pass. Default false. */
  readonly checkpointBlocks?: boolean;
  /** Of everything random, default 0. */
  readonly seed?: number;
  /** The token to pad with. */
  readonly pad: number;
  /** Passes of the method's own, such as AdaMix's two. Default: `lossAndGradients`. */
  readonly gradients?: GradientFunction;
}

/** Loss and gradients of a micro-batch, shaped like the trained parameters. */
export type GradientFunction = <P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  batch: ModelBatch,
  options: LossOptions & { readonly key: Key },
) => { readonly value: Tensor; readonly gradients: Tree };

/** What one step did. */
export interface StepReport {
  /** Steps done so far, this one included. */
  readonly step: number;
  /** From 0. */
  readonly epoch: number;
  /** Mean over the step's labelled tokens, before the update. */
  readonly loss: number;
  /** Tokens read, padding excluded. */
  readonly tokens: number;
  /** Of this step. */
  readonly learningRate: number;
  /** Before clipping. */
  readonly gradientNorm: number;
}

/** Where a run stands: what a checkpoint holds. */
export interface Snapshot {
  /** Steps done. */
  readonly step: number;
  /** The parameters. */
  readonly params: Tree;
  /** Optimizer state, one slot at a time. */
  readonly slots: AsyncIterable<readonly [name: string, slot: SlotBytes]>;
  /** What the method's `adjust` keeps between steps. */
  readonly state?: Tree;
}

/** Where to continue. */
export interface Resume {
  /** Steps done. */
  readonly step: number;
  /** By path, of every parameter. */
  readonly params: Tree;
  /** Optimizer state by "path/slot". */
  readonly slots: ReadonlyMap<string, SlotBytes>;
  /** What the method's `adjust` keeps between steps. */
  readonly state?: Tree;
}

/** A run in progress. It owns parameters and optimizer state until `dispose`. */
export interface Training<P extends Tree> {
  /** Steps done. */
  readonly step: number;
  /** Steps of the whole run. */
  readonly totalSteps: number;
  /** The optimizer's state. */
  readonly moments: Moments;
  /** The adapter as it stands; its tensors live until the next step. */
  adapter(): Adapter<P>;
  /** Takes a step; undefined when all are taken. @throws {RangeError} when the loss is not finite; nothing is updated. */
  next(): Promise<StepReport | undefined>;
  /** Where the run stands; valid until the next step. */
  snapshot(): Snapshot;
  /** Frees parameters and optimizer state. */
  dispose(): void;
}

/** Starts or continues a run. The adapter's own tensors are not freed. */
export async function startTraining<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  rows: Rows,
  options: TrainOptions,
  resume?: Resume,
): Promise<Training<P>> {
  const seed = keyOf(options.seed ?? 0);
  const order: BatchOptions = {
    batching: options.batching,
    accumulate: options.accumulate ?? 1,
    key: fold(seed, "order"),
  };
  const epochs = options.epochs ?? 1;
  const totalSteps = Math.min(options.maxSteps ?? Infinity, countSteps(rows, order, epochs));
  const owned = keep(
    resume === undefined
      ? copyTree(adapter.params)
      : (checkSame(adapter.params, resume.params), resume.params),
  );
  const moments = await (options.moments ?? ((params: Tree) => resident(adamw(), params)))(owned.tree);
  if (resume !== undefined) await moments.restore(resume.slots);
  const state = keep(resume?.state ?? {});
  const {
    learningRate,
    rateOf = adapter.method.rates?.({ params: adapter.params, spec: model.spec, learningRate }),
  } = options;
  let step = resume?.step ?? 0;
  const plans = plansFrom(rows, order, step);
  const passes = options.gradients ?? lossAndGradients;
  const current = (): Adapter<P> => ({ ...adapter, params: owned.tree as P });

  const gradientsOf = (plan: Step): { readonly losses: readonly Tensor[]; readonly gradients: Tree } => {
    const losses: Tensor[] = [];
    let total: Tree | undefined;
    for (const [i, micro] of plan.microBatches.entries()) {
      const { value, gradients } = passes(model, current(), batchOf(rows, micro, options), {
        train: true,
        key: fold(fold(fold(seed, "pass"), step), i),
        labelCount: plan.targets,
        labelSmoothing: options.labelSmoothing ?? 0,
        checkpointBlocks: options.checkpointBlocks ?? false,
      });
      losses.push(value);
      const before: Tree | undefined = total;
      if (before === undefined) total = gradients;
      else {
        total = scope((): Synchronous<Tree> => mapTree(gradients, (g, path) => add(leafOf(before, path), g)));
        dispose([before, gradients]);
      }
    }
    return { losses, gradients: total! };
  };

  return {
    get step() {
      return step;
    },
    totalSteps,
    moments,
    adapter: current,
    next: async () => {
      if (step >= totalSteps) return undefined;
      const plan = plans.next().value;
      const { losses, gradients: found } = gradientsOf(plan);
      const gradients = options.clip === undefined || options.clipGroup === undefined
        ? found
        : await clippedApart(found, options.clip, options.clipGroup);
      // Read together: on a GPU all of the step before the optimizer is one submission.
      const asked = [scope((): Synchronous<Tensor> => globalNorm(gradients)), ...losses];
      const [norm = NaN, ...parts] = (await Promise.all(asked.map(read))).map(([number]) => number!);
      dispose(asked);
      const loss = parts.reduce((sum, part) => sum + part, 0);
      if (!Number.isFinite(loss) || !Number.isFinite(norm)) {
        dispose(gradients);
        throw new RangeError(
          `The loss of step ${
            step + 1
          } is ${loss} and its gradient's norm ${norm}: lower the learning rate ` +
            `(${options.learningRate}), add warm-up or clip gradients; the last checkpoint is unharmed`,
        );
      }
      const learningRate = options.learningRate * (options.schedule?.(step) ?? 1);
      const factor = options.clip === undefined || options.clipGroup !== undefined
        ? 1
        : clipFactor(norm, options.clip);
      step++;
      const next = await moments.apply(owned.tree, gradients, {
        learningRate,
        step,
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
      return {
        step,
        epoch: plan.epoch,
        loss,
        tokens: tokensIn(rows, plan),
        learningRate,
        gradientNorm: norm,
      };
    },
    snapshot: () => ({ step, params: owned.tree, slots: moments.save(), state: state.tree }),
    dispose: () => {
      moments.dispose();
      state.dispose();
      owned.dispose();
    },
  };
}

function* plansFrom(rows: Rows, order: BatchOptions, done: number): Generator<Step, never> {
  const plans = stepsFrom(rows, order);
  for (let i = 0; i < done; i++) plans.next();
  return yield* plans;
}

/** A micro-batch as the model takes it. */
export function batchOf(
  rows: Rows,
  micro: MicroBatch,
  options: Pick<TrainOptions, "batching" | "pad">,
): ModelBatch {
  if (rows.batch !== undefined) {
    if (options.batching.kind === "packing") {
      throw new RangeError("Cannot pack rows that have labels of their own: use buckets");
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

function checkSame(expected: Tree, found: Tree): void {
  const shapes = new Map(leaves(found).map(([path, t]) => [path, t.shape.join(", ")]));
  for (const [path, t] of leaves(expected)) {
    if (shapes.get(path) !== t.shape.join(", ")) {
      throw new RangeError(
        `Cannot resume: ${path} is [${t.shape.join(", ")}] but the checkpoint has [${
          shapes.get(path) ?? "nothing"
        }]`,
      );
    }
  }
}
