/** What a method's test says of it, for the laws to ask. */
import type { Batch, Counts, Model } from "../../core/mod.ts";
import type { NoGradient } from "./gradient_law.ts";
import type { Made, TinyModel } from "./subject.ts";

/** What holds for one method and what does not. */
export interface MethodExpectations {
  /** A method for a model. */
  method(model: Model): Made;
  /** Whether a fresh adapter leaves the model's function as it is. */
  readonly atInit: "base" | "other";
  /** Whether weights can hold it, and whether subtraction then takes it out again. */
  readonly merges: "and unmerges" | "only" | "no";
  /** The paper's formula. */
  counts(model: Model): Partial<Counts>;
  /** Leaves that finite differences misjudge: behind a constant (DoRA's norm) or a corner (ReLU). Golden cases judge those. */
  unlikeDifferences?(path: string): boolean;
  /** Trained leaves without a gradient, each with the reason. Default none. */
  readonly noGradient?: readonly NoGradient[];
  /** Whether something smaller remains after training. Default false. */
  readonly finalizes?: boolean;
  /** Whether a later token changes what an earlier one gives (a gate over the text): a cache cannot see that. */
  readonly looksAhead?: boolean;
  /** Whether `init` decomposes weights, which a GPU cannot: laws that start there are left to golden cases. */
  readonly decomposes?: boolean;
  /** What the method wants of a text, such as slots. */
  readonly batch?: (batch: Batch) => Batch;
  /** Default: a Llama and a GPT-2. */
  readonly models?: readonly TinyModel[];
  /** Random cases for each law, default 3; GRAFT_EXAMPLES says otherwise. */
  readonly runs?: number;
}
