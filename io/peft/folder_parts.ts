/**
 * The parts of an HF PEFT folder: one main method and, optionally, saved modules, token rows and the base's
 * own tables.
 */
import type { MainPart } from "../../methods/peft/codec.ts";
import type { SavedModules, TrainedRows } from "../../methods/peft_beside.ts";

/** The parts of a folder. At least one of `main` and `tokens` is present. */
export interface FolderParts {
  readonly main?: MainPart;
  /** Which biases of the base are trained along with it, where that is not an option of the method itself. */
  readonly biases?: "adapted" | "all";
  readonly saved?: SavedModules;
  readonly tokens?: TrainedRows;
  /** Leaves of the base that the folder contains, by path. */
  readonly fixed?: readonly string[];
  /** Embeddings and heads whose factors share storage in PEFT, as each other's transposes. */
  readonly shared?: readonly (readonly [embedding: string, head: string])[];
}
