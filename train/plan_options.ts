/** What a plan of a run is given. */
import type { ExampleSizes } from "./micro_batch.ts";
import type { Optimizer } from "./optimizer.ts";
import type { RowSize } from "./placeholder_rows.ts";
import type { Rows } from "./rows.ts";
import type { TrainOptions } from "./training.ts";

/** Sizes of rows, and what of them must stay together. */
export type RowSizes = ExampleSizes & Pick<Rows, "together" | "textsInRow">;

/** Options of a plan: the training options and further information on the run. */
export interface PlanOptions extends Omit<TrainOptions, "moments"> {
  /** The update rule. */
  readonly optimizer: Optimizer;
  /** Where the optimizer state is stored. */
  readonly state: "resident" | "paged";
  /**
   * The evaluation between steps, while the optimizer state is held: longer rows may need more memory than
   * training.
   */
  readonly evaluated?: ExampleSizes & { readonly batchSize: number };
  /** Rows of given sizes, where they are not of the model's kind of label. */
  readonly rowsOf?: (sizes: readonly RowSize[]) => Rows;
}
