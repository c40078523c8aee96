/** Learning rates of short runs. */
import type { MethodDefinition } from "../core/mod.ts";
import { commandLineOf } from "./chosen_method.ts";

/**
 * The peak learning rate of a run of a few dozen steps on a small model: the method's own, or ten times what papers use in
 * thousands of steps on large ones.
 */
export function shortRateOf(definition: MethodDefinition): number {
  const { rate, shortRate } = commandLineOf(definition);
  return shortRate ?? Math.min(0.05, 10 * rate);
}
