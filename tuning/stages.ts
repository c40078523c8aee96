/** How a run trains in stages before its last: each as the run itself does, with a schedule of its own. */
import type { StageOptions } from "../recipes/stage.ts";

/** The training options of each stage: those of a whole run. */
export interface StageRun {
  /** Steps of a run. */
  readonly steps: number;
  /** Options of a stage with a number of steps. */
  options(steps: number): StageOptions;
}
