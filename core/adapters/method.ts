/** The interface of a method, and adapters: a method with its parameters. */
import type { Key, Tensor, Tree } from "../../tensor/mod.ts";
import type { Edit } from "../edits/edit.ts";
import type { Model } from "../trees/model.ts";
import type { Spec } from "../edits/place.ts";
import type { Targets } from "../edits/targets.ts";

/** JSON values. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/**
 * The value of an option: JSON, or targets. Folders hold patterns as `{ pattern, flags }`; a predicate on places cannot be
 * stored in a file, so saving refuses it.
 */
export type OptionValue = Json | Targets | readonly OptionValue[] | { readonly [name: string]: OptionValue };

/** Options by name. */
export type MethodConfig = { readonly [name: string]: OptionValue };

/** A parameter-efficient fine-tuning method: pure functions from parameters to edits. */
export interface Method<P extends Tree = Tree> {
  /** Its name in files and error messages. */
  readonly name: string;
  /** The options it was created with. */
  readonly config: MethodConfig;
  /**
   * Initial parameters for a model, determined by the key. Reads places and, where the paper says so,
   * weights.
   */
  init(given: { readonly model: Model; readonly key: Key | number }): P;
  /** The edits that the parameters represent. Depends on shapes and options, never on a batch. */
  edits(params: P, spec: Spec): readonly Edit[];
  /** A term added to the loss. */
  penalty?(params: P, spec: Spec): Tensor;
  /** Applied to the parameters after each optimizer step. */
  project?(params: P): P;
  /** Factors on the learning rate by parameter path, where the paper trains parts of an adapter at different rates. */
  rates?(given: Rated<P>): (path: string) => number;
  /**
   * Called after each step (and `project`) with the step's gradients and a state of its own, which training
   * checkpoints: for parameter budgets that adapt during training. A pure function of its arguments.
   */
  adjust?(given: Adjusting<P>): Promise<Adjusted<P>>;
  /**
   * What remains after training, where that is less than what was trained: a prefix without the network that
   * generated it, the average of experts. In evaluation it computes the same function.
   */
  finalize?(params: P, spec: Spec): Adapter;
}

/** What learning-rate factors may depend on. */
export interface Rated<P extends Tree = Tree> {
  /** Its parameters. */
  readonly params: P;
  /** The places of the model. */
  readonly spec: Spec;
  /** The learning rate before the schedule. */
  readonly learningRate: number;
}

/**
 * The state of training after a step, as passed to `adjust`. The tensors are borrowed; the result may share
 * them.
 */
export interface Adjusting<P extends Tree = Tree> {
  /** The parameters after the step. */
  readonly params: P;
  /** The step's gradients as passed to the optimizer, after clipping. */
  readonly gradients: Tree;
  /** Initially empty. */
  readonly state: Tree;
  /** Steps done, including this one. */
  readonly step: number;
  /** Total steps of the run. */
  readonly totalSteps: number;
}

/** The result of `adjust`: the next parameters and state. */
export interface Adjusted<P extends Tree = Tree> {
  /** Its parameters. */
  readonly params: P;
  /** State passed to the next call. */
  readonly state: Tree;
}

/** A method with parameters: what training changes and folders store. */
export interface Adapter<P extends Tree = Tree> {
  /** Name of the adapter. Default "default". */
  readonly name?: string;
  /** The method they belong to. */
  readonly method: Method<P>;
  /** Its parameters. */
  readonly params: P;
}
