/** The contract of a method, and adapters: a method with its parameters. */
import type { Key, Tensor, Tree } from "../../tensor/mod.ts";
import type { Edit } from "../edits/edit.ts";
import type { Model } from "../trees/model.ts";
import type { Spec } from "../edits/place.ts";
import type { Targets } from "../edits/targets.ts";

/** JSON values. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/**
 * The value of an option: JSON, or targets. Folders hold patterns as `{ pattern, flags }`; a predicate on places no file can hold,
 * so that saving refuses it.
 */
export type OptionValue = Json | Targets | readonly OptionValue[] | { readonly [name: string]: OptionValue };

/** Options by name. */
export type MethodConfig = { readonly [name: string]: OptionValue };

/** A parameter-efficient fine-tuning method: pure functions from parameters to edits. */
export interface Method<P extends Tree = Tree> {
  /** What it is called, in files and errors. */
  readonly name: string;
  /** The options that made it. */
  readonly config: MethodConfig;
  /** Fresh parameters for a model, a function of the key alone. Reads places and, where the paper says so, weights. */
  init(given: { readonly model: Model; readonly key: Key | number }): P;
  /** The edits that parameters stand for. Looks at shapes and options, never at a batch. */
  edits(params: P, spec: Spec): readonly Edit[];
  /** Added to the loss. */
  penalty?(params: P, spec: Spec): Tensor;
  /** Applied to the parameters after each optimizer step. */
  project?(params: P): P;
  /** Factors on the learning rate by parameter path, where the paper trains parts of an adapter at different rates. */
  rates?(given: Rated<P>): (path: string) => number;
  /**
   * Applied after each step (and `project`), with the step's gradients and a state of its own, which training checkpoints:
   * for budgets that depend on how training goes. A function of what it is given.
   */
  adjust?(given: Adjusting<P>): Promise<Adjusted<P>>;
  /**
   * What remains when training is over, where that is less than what trained: a prefix without the network that made it,
   * the average of experts. The same function in evaluation.
   */
  finalize?(params: P, spec: Spec): Adapter;
}

/** What rates may depend on. */
export interface Rated<P extends Tree = Tree> {
  /** Its parameters. */
  readonly params: P;
  /** The places of the model. */
  readonly spec: Spec;
  /** Before the schedule. */
  readonly learningRate: number;
}

/** Training after a step, as `adjust` sees it. Borrowed: what it returns may share these tensors. */
export interface Adjusting<P extends Tree = Tree> {
  /** After the step. */
  readonly params: P;
  /** Of the step, as the optimizer got them: clipped. */
  readonly gradients: Tree;
  /** Empty at first. */
  readonly state: Tree;
  /** Steps done, this one included. */
  readonly step: number;
  /** Steps of the whole run. */
  readonly totalSteps: number;
}

/** What `adjust` gives: the next parameters and state. */
export interface Adjusted<P extends Tree = Tree> {
  /** Its parameters. */
  readonly params: P;
  /** What to keep for the next call. */
  readonly state: Tree;
}

/** A method with parameters: what training changes and folders hold. */
export interface Adapter<P extends Tree = Tree> {
  /** Default "default". */
  readonly name?: string;
  /** The method they belong to. */
  readonly method: Method<P>;
  /** Its parameters. */
  readonly params: P;
}
