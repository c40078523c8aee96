/** The options of a training run, its report after each step, and the state from which it resumes. */
import type { Adapter, Batch, Key, LossOptions, Model, Tensor, Tree } from "../core/mod.ts";
import type { Buckets } from "./buckets.ts";
import type { LossScale, LossScaleOptions } from "./loss_scale.ts";
import type { Moments, SlotBytes } from "./moments.ts";
import type { Packing } from "./packing.ts";
import type { World } from "./world.ts";

/** How to train. */
export interface TrainOptions {
  /** The peak learning rate. */
  readonly learningRate: number;
  /** step (from 0) → factor on the learning rate. Default: constant. */
  readonly schedule?: (step: number) => number;
  /** Factor on the learning rate by parameter path. Default: the method's own rates. */
  readonly rateOf?: (path: string) => number;
  /** The optimizer and the storage of its state. Default: AdamW, resident. */
  readonly moments?: (params: Tree) => Moments | Promise<Moments>;
  /** How rows are formed. */
  readonly batching: Buckets | Packing;
  /** Micro-batches per step, default 1. */
  readonly accumulate?: number;
  /**
   * Most tokens of a chunk, padding included: micro-batches are cut into such chunks, whose gradients are summed in a fixed
   * tree. Default 2048. Rows that are compared with each other (`Rows.together`) stay together.
   */
  readonly chunkTokens?: number;
  /** The processes that train together. Default: this one alone. */
  readonly world?: World;
  /** Passes over the data, default 1. */
  readonly epochs?: number;
  /** Stop after this many steps even inside an epoch. */
  readonly maxSteps?: number;
  /** Maximum Euclidean norm of all gradients together; default: no clipping. */
  readonly clip?: number;
  /** Parameters with the same group name are clipped together. Default: all together. */
  readonly clipGroup?: (path: string) => string;
  /** Loss scaling for f16's narrow range; steps whose gradients overflow are skipped. Default: no scaling. */
  readonly lossScale?: LossScaleOptions;
  /** Share of the target distribution spread over all tokens, default 0. */
  readonly labelSmoothing?: number;
  /** Recompute blocks in the backward pass. Default false. */
  readonly checkpointBlocks?: boolean;
  /** Seed of all randomness, default 0. */
  readonly seed?: number;
  /** The token to pad with. */
  readonly pad: number;
  /** A method's own computation of gradients, such as AdaMix's two passes. Default: `lossAndGradients`. */
  readonly gradients?: GradientFunction;
  /**
   * Ends the run between two steps or micro-batches: `next` rejects with its reason. What the step had made is freed; parameters,
   * optimizer state and step are those after the last whole step, so that a snapshot continues the run to the same bits.
   */
  readonly signal?: AbortSignal;
}

/** Loss and gradients of a micro-batch, shaped like the trained parameters. */
export type GradientFunction = <P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  batch: Batch,
  options: LossOptions & { readonly key: Key },
) => {
  readonly value: Tensor;
  readonly gradients: Tree;
  /** Other numbers about the batch, which add up over the micro-batches of a step. */
  readonly metrics?: Readonly<Record<string, Tensor>>;
};

/** The report of one step. */
export interface StepReport {
  /** Steps done so far, including this one. */
  readonly step: number;
  /** From 0. */
  readonly epoch: number;
  /** Mean over the step's labelled tokens, before the update. */
  readonly loss: number;
  /** Number of tokens, excluding padding. */
  readonly tokens: number;
  /** The learning rate of this step. */
  readonly learningRate: number;
  /** The norm before clipping. */
  readonly gradientNorm: number;
  /** Other numbers that an objective measures, by name. */
  readonly metrics?: Readonly<Record<string, number>>;
  /** The factor on the loss, where it is scaled. */
  readonly lossScale?: number;
  /** The gradients were not finite: nothing was updated. */
  readonly skipped?: true;
}

/** The state of a run, as stored in a checkpoint. */
export interface Snapshot {
  /** Steps done. */
  readonly step: number;
  /** The parameters. */
  readonly params: Tree;
  /** Optimizer state, one slot at a time. */
  readonly slots: AsyncIterable<readonly [name: string, slot: SlotBytes]>;
  /** The state of the method's `adjust` between steps. */
  readonly state?: Tree;
}

/** The state from which to resume. */
export interface Resume {
  /** Steps done. */
  readonly step: number;
  /** Every parameter by path. */
  readonly params: Tree;
  /** Optimizer state by "path/slot". */
  readonly slots: ReadonlyMap<string, SlotBytes>;
  /** The state of the method's `adjust` between steps. */
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
  /** The state of loss scaling; undefined where it is not used. */
  readonly lossScale: LossScale | undefined;
  /** The current adapter; its tensors are valid until the next step. */
  adapter(): Adapter<P>;
  /**
   * Takes a step; undefined when all steps are done. @throws {RangeError} when the loss is not finite;
   * nothing is updated. @throws the signal's reason when it is aborted; nothing is updated.
   */
  next(): Promise<StepReport | undefined>;
  /** The state of the run; valid until the next step. */
  snapshot(): Snapshot;
  /** Frees parameters and optimizer state. */
  dispose(): void;
}
