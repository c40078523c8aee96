/** The options of a loss, which methods with a loss of their own are given as well. */
import type { ForwardOptions } from "./model.ts";

/** How a loss is computed. */
export interface LossOptions extends ForwardOptions {
  /** Mixes the target with the uniform distribution (arXiv 1512.00567). Default 0. */
  readonly labelSmoothing?: number;
  /**
   * Whether the labels of prompts themselves count ("scored", default) or not ("ignored", to score the text
   * alone).
   */
  readonly context?: "scored" | "ignored";
  /** Divide the summed loss by this instead of the batch's own number of labels (gradient accumulation). */
  readonly labelCount?: number;
  /** Multiplies the gradients, but not the returned loss. Default 1. */
  readonly lossScale?: number;
}
