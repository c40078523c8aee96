/** The parts that an HF PEFT folder is made of: one main method and, beside it, saved modules, token rows and the base's own tables. */
import type { MatrixPlace, Method, Model, Tree } from "../../core/mod.ts";
import type { ModulesToSaveOptions } from "../../methods/selective/modules_to_save.ts";
import type { PeftFields, PeftTensor } from "../../methods/peft/codec.ts";
import type { TrainableTokensOptions } from "../../methods/selective/trainable_tokens.ts";
import type { ChangedBase } from "./changed_base.ts";

/** A codec with options and the layers that it adapts. */
export interface MainPart {
  readonly type: string;
  readonly method: Method;
  readonly places: readonly MatrixPlace[];
  readonly tensors: readonly PeftTensor[];
  readonly fields: PeftFields;
  /** The codec's word for the adapted layers' biases. */
  readonly biases?: string;
  /** What PEFT puts before the names of modules saved beside it, where that is not what it puts before all others. */
  readonly savedPrefix?: "base_model.";
  /** Where the adapter's start changed the base, as PEFT does once more when it loads the folder. */
  readonly changed?: ChangedBase;
  /** Frozen parameters that the folder lacks and PEFT finds anew from the base when it loads one. */
  readonly frozen?: (model: Model) => Promise<Tree>;
}

/** The parts of a folder. At least `main` or `tokens` is there. */
export interface FolderParts {
  readonly main?: MainPart;
  /** Which biases of the base train beside it, where that is no option of the method's own. */
  readonly biases?: "adapted" | "all";
  readonly saved?: ModulesToSaveOptions;
  readonly tokens?: TrainableTokensOptions;
  /** Leaves that the folder brings along, by path. */
  readonly fixed?: readonly string[];
  /** Embeddings and heads whose factors PEFT has in one storage, the one's as the other's transposes. */
  readonly shared?: readonly (readonly [embedding: string, head: string])[];
}
