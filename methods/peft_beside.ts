/**
 * What a PEFT folder can hold beside its method, as methods: modules saved whole, biases that train along, rows of tables, and
 * tables of the base. It is PEFT's list, and part of every type's config; the io of folders knows these by what they are there.
 */
import type { DefinedMethod, Json, Method, MethodDefinition, Model, Spec } from "../core/mod.ts";
import type { PeftConfig } from "../formats/peft_config.ts";
import type { PeftFields, PeftTensor } from "./peft/codec.ts";
import { fixedWeights, fixedWeightsDefinition } from "./selective/fixed_weights.ts";
import { only } from "./selective/full_fine_tune.ts";
import {
  modulesToSave,
  type ModulesToSaveOptions,
  type SavedLeaf,
  savedLeaves,
} from "./selective/modules_to_save.ts";
import {
  type TokenRows,
  tokenRows,
  tokenTensors,
  trainableTokens,
  type TrainableTokensOptions,
} from "./selective/trainable_tokens.ts";
import { ALONE_TYPE, aloneTokens, tokensAlone, tokensOf } from "./selective/trainable_tokens_peft.ts";

export type { ModulesToSaveOptions as SavedModules } from "./selective/modules_to_save.ts";
export type { SavedLeaf } from "./selective/modules_to_save.ts";
export type { TrainableTokensOptions as TrainedRows } from "./selective/trainable_tokens.ts";

/** Modules saved whole: `modules_to_save`. */
export const SAVED: {
  readonly method: DefinedMethod<ModulesToSaveOptions>;
  leaves(model: Model, options: ModulesToSaveOptions): readonly SavedLeaf[];
} = { method: modulesToSave, leaves: savedLeaves };

/** The base's biases that train along: `bias`. */
export const BIASES: {
  readonly definition: MethodDefinition;
  method(paths: readonly string[]): Method;
} = { definition: only.definition, method: (parameters) => only({ parameters }) };

/** Rows of tables: `trainable_token_indices`, or a type of their own. */
export const ROWS: {
  readonly method: DefinedMethod<TrainableTokensOptions>;
  readonly type: string;
  of(given: Json, spec: Spec): TrainableTokensOptions;
  alone(config: PeftConfig, spec: Spec): TrainableTokensOptions;
  fields(options: TrainableTokensOptions, spec: Spec): PeftFields;
  tables(spec: Spec, options: TrainableTokensOptions): readonly TokenRows[];
  tensors(
    spec: Spec,
    options: TrainableTokensOptions,
    wrapper: "token_adapter." | "",
  ): readonly PeftTensor[];
} = {
  method: trainableTokens,
  type: ALONE_TYPE,
  of: tokensOf,
  alone: tokensAlone,
  fields: aloneTokens,
  tables: tokenRows,
  tensors: tokenTensors,
};

/** Tables of the base that the folder brings. */
export const FIXED: {
  readonly definition: MethodDefinition;
  method(paths: readonly string[]): Method;
} = {
  definition: fixedWeightsDefinition,
  method: (parameters) => fixedWeights({ parameters }),
};
