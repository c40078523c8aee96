/** The interface of a method, what is known of it, and adapters: a method with its parameters. */
import type { Key, Shape, Tensor, Tree } from "../../tensor/mod.ts";
import type { Edit } from "../edits/edit.ts";
import type { GateDefinition } from "./gate.ts";
import type { Json } from "../options/json.ts";
import type { JsonOptions } from "../options/option_json.ts";
import type { Options } from "../options/option.ts";
import type { Batch, Model } from "../trees/model.ts";
import type { LossOptions } from "../trees/loss_options.ts";
import type { QuantizeOptions } from "../trees/quantize.ts";
import type { SurveyRow } from "./survey_row.ts";
import type { Spec } from "../edits/place.ts";
import type { MatrixPlace, Targets } from "../edits/targets.ts";

/**
 * The value of an option: JSON, or targets. Folders hold patterns as `{ pattern, flags }`; a predicate on places cannot be
 * stored in a file, so saving refuses it.
 */
export type OptionValue = Json | Targets | readonly OptionValue[] | { readonly [name: string]: OptionValue };

/** Options by name. */
export type MethodConfig = { readonly [name: string]: OptionValue };

/** A parameter-efficient fine-tuning method: pure functions from parameters to edits. */
export interface Method<P extends Tree = Tree> {
  /** Its name for people: that of its definition, or of a combination, such as "scaled(lora)", which nothing parses. */
  readonly name: string;
  /** The options it was created with; for a combination its own, without those of its components. */
  readonly config: MethodConfig;
  /** What is known of it; a method without a definition trains and merges, but has no form in a file. */
  readonly definition?: MethodDefinition;
  /** The methods that it is made of, by name. */
  readonly components?: Readonly<Record<string, Method>>;
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
  /** Factors on the learning rate by parameter path, where the paper trains components of an adapter at different rates. */
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

/**
 * What is known of a method, in one place: its name, its options, how a saved one is restored, what the command line
 * offers, the setting of its literature, and its form in PEFT folders. Help pages, defaults, records, tables and tests follow
 * from it. `defineMethod` and `defineLinear` make one together with its factory.
 */
export interface MethodDefinition {
  /** Its name, as people write it: "prefix-tuning". Case, hyphens and underscores do not matter where it is read. */
  readonly name: string;
  /** Other names that are understood: of other libraries, of former versions. */
  readonly aliases?: readonly string[];
  /** What it does, in one sentence of at most 90 characters. */
  readonly summary: string;
  /** How its paper writes it, for tables: "(IA)³"; default: the name. */
  readonly title?: string;
  /**
   * Its row in the table of its family's page: cells by heading, such as "parameters" (in the paper's letters) and "merges".
   * The source is that of the file's header unless it is here.
   */
  readonly facts?: Readonly<Record<string, string>>;
  /** What a person can choose, from a program, a command line or a file. */
  readonly options: Options;
  /** The method, where its options are all that it needs. */
  create?(options: Readonly<Record<string, unknown>>): Method;
  /** The method of a record and the parameters stored beside it; default: `create`, of the record's options. */
  restore?(config: JsonOptions, stored: Restoring): Method;
  /** The config that a record keeps, where that is more than the options: sizes that it must not be loaded without. */
  recorded?(method: Method, spec: Spec): MethodConfig;
  /** The shapes of a layer's parameters, of options with their defaults; `defineLinear` knows them. */
  shapes?(place: MatrixPlace, options: Readonly<Record<string, unknown>>): Readonly<Record<string, Shape>>;
  /** The change of the base that a saved adapter is on, made again when it is loaded; the caller owns its tensors. */
  base?(model: Model, options: Readonly<Record<string, unknown>>): Promise<Adapter>;
  /** Leaves that come from a folder alone: `init` makes none of them. */
  readonly brought?: (options: Readonly<Record<string, unknown>>) => readonly string[];
  /** Whether its parameters are weights of the model under their own paths, which folders of other libraries hold as whole modules. */
  readonly wholeModules?: true;
  /** Leaves in folders of former versions that the method no longer has. */
  readonly former?: (path: string, spec: Spec) => boolean;
  /** What the command line offers; a method without it is for programs. */
  readonly cli?: CommandLine;
  /** What is needed before the first step, where options alone do not make the adapter. */
  prepare?(given: Preparing): Promise<PreparedRun>;
  /** The method from shapes alone, to plan the memory of what `prepare` makes; default: `create`. */
  plan?(given: Planning): Method;
  /** Bytes of the changed base that `prepare` makes beside the model. */
  planBase?(given: Planning): number;
  /** The loss and gradients of a batch, where its paper has its own: two passes, say. */
  gradients?(
    model: Model,
    adapter: Adapter,
    batch: Batch,
    options: LossOptions & { readonly key: Key },
  ): { readonly value: Tensor; readonly gradients: Tree };
  /** The setting of its literature, for tables that compare methods. */
  readonly published?: Published;
  /** What the survey says of it. */
  readonly survey?: SurveyRow;
  /** Its form in Hugging Face PEFT folders, where that is a matter of names; odd ones have a codec beside the method. */
  readonly peft?: PeftMapping;
}

/** What restores a saved method besides its config: the model, and the parameters as they are stored. */
export interface Restoring {
  /** The model that it is loaded for. */
  readonly model: Model;
  /** The method's parameters. */
  readonly params: Tree;
  /** The values of an integer leaf of `params`, by its path. */
  integers(path: string): Int32Array;
  /** A gate's definition by name. @throws {RangeError} when it is not known. */
  gate(name: string): GateDefinition;
  /** The components of the record, restored. @param at Where a component's parameters are; default: under its name. */
  components(at?: (name: string) => readonly string[]): Readonly<Record<string, Adapter>>;
}

/** Options that several methods share, as flags of the command line. */
export interface SharedFlags {
  /** r, the rank of an update. */
  readonly rank?: number;
  /** α of a low-rank update. */
  readonly alpha?: number;
  /** Dropout of an adapter's input. */
  readonly dropout?: number;
  /** Layers by name, or every linear layer of the blocks. */
  readonly targets?: readonly string[] | "all-linear";
  /** Hidden size of an adapter. */
  readonly bottleneck?: number;
  /** Rows of a prompt or prefix. */
  readonly length?: number;
  /** Number of trained parameters, for methods with such a budget. */
  readonly dimension?: number;
}

/** What the command line offers of a method. */
export interface CommandLine {
  /** Peak learning rate when none is given: the paper's, or that of its released code. */
  readonly rate: number;
  /** The rate of a short run of a small model; default ten times `rate`, at most 0.05. */
  readonly shortRate?: number;
  /** Whether it is the one of a run that names none; one method is. */
  readonly standard?: true;
  /** Its place among the methods of `graft compare` when none are named. */
  readonly compared?: number;
  /** Whether `prepare` trains: a run that is killed then keeps what was prepared. */
  readonly stages?: true;
  /** What a run writes, where that is a whole model and no adapter. */
  readonly writes?: "model";
  /** The shared flags that it takes. */
  readonly flags: readonly (keyof SharedFlags)[];
  /**
   * Its options from flags, and sizes suited to the model, where they are more than the flags under their own names.
   * Those that are undefined count as not given, and options given by name go before these.
   *
   * @param flags `targets` are those given, or "all-linear" where the definition has targets and none are given.
   * @param places The layers that `targets` choose; empty where the definition has none.
   * @param named The options given by name.
   */
  options?(
    flags: SharedFlags,
    spec: Spec,
    places: readonly MatrixPlace[],
    named: Readonly<Record<string, unknown>>,
  ): Readonly<Record<string, unknown>>;
  /** The layers without `--targets`: every linear layer of the blocks (default), or those of the method's own default. */
  readonly targets?: "all-linear" | "own";
  /** Options that only a run has, beside the definition's: what `prepare` reads. */
  readonly also?: Options;
  /** The optimizer when none is given; "paged" where state for every weight would fill compute memory. */
  readonly optimizer?: "adamw" | "paged";
  /** How the base is quantized first, unless it already is. */
  readonly quantize?: QuantizeOptions;
  /** What it trains of a task's head by itself, so that the head is not trained beside it: all of it, or the classifier. */
  readonly head?: "all" | "classifier";
}

/** What a run has when a method is prepared. */
export interface Preparing {
  /** The loaded model. */
  readonly model: Model;
  /** The method's options and those of `cli.also`, checked, with defaults. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The seed of initial parameters. */
  readonly seed: number;
  /**
   * The first so many rows of the training data, in batches.
   *
   * @param size Rows in a batch; default: as the run has them, and never fewer where rows are compared with each other.
   */
  batches(most: number, size?: number): readonly Batch[];
  /** Loss and gradients of a batch, where the run is trained for something else than its labels. */
  readonly gradients?: BatchGradients;
  /** Loads another adapter for the model from a folder; the caller owns its tensors. */
  load(folder: string): Promise<Adapter>;
  /** Trains an adapter as the run does; the caller owns the result. @param steps Default: as many as the run. */
  train(adapter: Adapter, stage: Stage): Promise<Adapter>;
  /** Steps of the run. */
  readonly steps: number;
  /** A definition by name, for options that name a method. */
  method(name: string): MethodDefinition;
}

/** The loss of an adapted model on a batch, and the gradients of the adapter's parameters. The caller owns both. */
export type BatchGradients = (
  model: Model,
  adapter: Adapter,
  batch: Batch,
) => { readonly value: Tensor; readonly gradients: Tree };

/** A stage of training before a run. */
export interface Stage {
  /** Its name: a recipe has options for each. */
  readonly name: string;
  /** How many steps; default: as many as the run. */
  readonly steps?: number;
  /** Groups of parameters whose gradients are clipped apart, by path. */
  readonly clipGroup?: (path: string) => string;
}

/** What a method's memory is planned from. */
export interface Planning {
  /** The model; shapes are enough. */
  readonly model: Model;
  /** As for `prepare`. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Shapes of the tensors that an adapter's folder has, by name; empty where it is not on this machine. */
  stored(folder: string): Readonly<Record<string, Shape>>;
  /** A definition by name. */
  method(name: string): MethodDefinition;
}

/** A prepared run. */
export interface PreparedRun {
  /** The adapter at its first step; its tensors belong to the run. */
  readonly adapter: Adapter;
  /** The base that it is for, where that is another than the loaded model. */
  readonly base?: Model;
  /** The adapter of the loaded model that remains of the trained one. */
  finish?(trained: Adapter): Promise<Adapter>;
  /** Frees what was made, after the run; default: the adapter's parameters, as soon as the run has copied them. */
  dispose?(): void;
}

/** The setting of a method's literature, as far as a model allows. */
export interface Published {
  /** In a few words: "r 8 on q and v". */
  readonly setting: string | ((model: Model) => string);
  /** The options that differ from the defaults. */
  options?(model: Model): Readonly<Record<string, unknown>>;
  /** The method, where options alone do not make it; its tensors are the caller's. */
  make?(model: Model): Method;
  /** The method that remains after training, where that is another. */
  kept?(model: Model): Method;
  /** The method that the literature trains along with it. */
  beside?(): Method;
}

/**
 * A method in PEFT folders, as names: of the type, of the tensors below a layer's path, of the config's fields.
 */
export interface PeftMapping {
  /** `peft_type`. */
  readonly type: string;
  /** The file's name of each leaf; an embedding's may be another. */
  readonly tensors: Readonly<Record<string, string | { readonly layer: string; readonly embedding: string }>>;
  /** The field of each option, with pairs of our values and PEFT's where those differ. */
  readonly fields: Readonly<
    Record<
      string,
      string | { readonly field: string; readonly values: readonly (readonly [ours: Json, theirs: Json])[] }
    >
  >;
  /** Known fields that no option sets, with PEFT's defaults. */
  readonly others?: Readonly<Record<string, Json>>;
  /** Of these, those that must keep their default, with what they would mean. */
  readonly refused?: Readonly<Record<string, string>>;
}

/**
 * Whether an adapter of the method is right on a changed base alone, or one of its components is.
 *
 * @example
 * ```ts
 * import { compose, lora, needsChangedBase } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(needsChangedBase(compose({ low: lora() })), false);
 * ```
 */
export function needsChangedBase({ definition, components = {} }: Method): boolean {
  return definition?.planBase !== undefined || Object.values(components).some(needsChangedBase);
}
