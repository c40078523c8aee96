/** What a run of training is told, what it tells after each step, and what it continues from. */
import type { Adapter, Batch, Key, LossOptions, Model, Tensor, Tree } from "../core/mod.ts";
import type { Buckets } from "./buckets.ts";
import type { LossScale, LossScaleOptions } from "./loss_scale.ts";
import type { Moments, SlotBytes } from "./moments.ts";
import type { Packing } from "./packing.ts";

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
  /** Scale the loss against f16's narrow range, and skip steps whose gradients overflow. Default: no scaling. */
  readonly lossScale?: LossScaleOptions;
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
  batch: Batch,
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
  /** The factor on the loss, where it is scaled. */
  readonly lossScale?: number;
  /** The gradients were not finite: nothing was updated. */
  readonly skipped?: true;
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
  /** Where the loss' scale stands; undefined where it is not scaled. */
  readonly lossScale: LossScale | undefined;
  /** The adapter as it stands; its tensors live until the next step. */
  adapter(): Adapter<P>;
  /** Takes a step; undefined when all are taken. @throws {RangeError} when the loss is not finite; nothing is updated. */
  next(): Promise<StepReport | undefined>;
  /** Where the run stands; valid until the next step. */
  snapshot(): Snapshot;
  /** Frees parameters and optimizer state. */
  dispose(): void;
}
