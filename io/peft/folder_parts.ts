/**
 * The parts of an HF PEFT folder: one main method and, optionally, saved modules, token rows and the base's
 * own tables.
 */
import type { MatrixPlace, Method, Model, Tree } from "../../core/mod.ts";
import type { ModulesToSaveOptions } from "../../methods/selective/modules_to_save.ts";
import type { PeftFields, PeftTensor } from "../../methods/peft/codec.ts";
import type { TrainableTokensOptions } from "../../methods/selective/trainable_tokens.ts";
import type { ChangedBase } from "../../methods/low_rank/changed_base.ts";

/** A codec with options and the layers that it adapts. */
export interface MainPart {
  readonly type: string;
  readonly method: Method;
  readonly places: readonly MatrixPlace[];
  readonly tensors: readonly PeftTensor[];
  readonly fields: PeftFields;
  /** The codec's value for the adapted layers' biases. */
  readonly biases?: string;
  /** PEFT's prefix of the names of modules saved along with it, where that differs from the usual prefix. */
  readonly savedPrefix?: "base_model.";
  /** The change of the base by the adapter's initialization, which PEFT repeats on loading the folder. */
  readonly changed?: ChangedBase;
  /** Frozen parameters that the folder lacks and that PEFT recomputes from the base on loading. */
  readonly frozen?: (model: Model) => Promise<Tree>;
}

/** The parts of a folder. At least one of `main` and `tokens` is present. */
export interface FolderParts {
  readonly main?: MainPart;
  /** Which biases of the base are trained along with it, where that is not an option of the method itself. */
  readonly biases?: "adapted" | "all";
  readonly saved?: ModulesToSaveOptions;
  readonly tokens?: TrainableTokensOptions;
  /** Leaves of the base that the folder contains, by path. */
  readonly fixed?: readonly string[];
  /** Embeddings and heads whose factors share storage in PEFT, as each other's transposes. */
  readonly shared?: readonly (readonly [embedding: string, head: string])[];
}
