/** The final report of `graft finetune`. */
import { exists } from "../../io/path_exists.ts";
import type { Outcome } from "../../recipes/supervised.ts";
import type { Evaluation } from "./evaluation.ts";
import type { FinetuneFlags } from "./settings.ts";
import type { LossScale } from "../../train/mod.ts";
import { note, print, printJson, showBytes, showSeconds, showUnits } from "../terminal/output.ts";

/** The result of a run. */
export interface Result {
  readonly outcome: Outcome;
  readonly steps: number;
  readonly totalSteps: number;
  readonly trainable: number;
  readonly base: number;
  readonly firstLoss: number | undefined;
  readonly lastLoss: number | undefined;
  readonly evaluations: readonly (Evaluation & { readonly step: number })[];
  readonly best: { readonly step: number; readonly value: number } | undefined;
  readonly seconds: number;
  readonly tokens: number;
  /** Peak number of live bytes from the first step to the last. */
  readonly peak: number;
  /** The state of loss scaling, with f16. */
  readonly lossScale?: LossScale;
}

/** Prints it. `peakElsewhere` is the peak before or after the steps. */
export function report(
  flags: FinetuneFlags & { readonly output: string },
  result: Result & { readonly planned: number; readonly peakElsewhere: number },
): void {
  const { outcome, evaluations, best } = result;
  const tokensPerSecond = result.tokens / result.seconds;
  if (flags.json === true) printJson({ ...result, tokensPerSecond, output: flags.output });
  if (outcome === "interrupted") {
    note(
      `Interrupted after step ${result.steps} of ${result.totalSteps}; to go on, repeat the command with --resume` +
        // Where there was nothing to overwrite, the run is in the folder itself, and would begin anew.
        `${flags.overwrite === true && exists(`${flags.output}.new`) ? " --overwrite" : ""}`,
    );
    return;
  }
  if (flags.json === true) return;
  const [first, last] = [evaluations[0], evaluations.at(-1)];
  print(
    [
      `${outcome === "finished" ? "Finished" : "Stopped early"} after ${
        showUnits(result.steps, "step")
      } in ` +
      `${showSeconds(result.seconds)}, ${tokensPerSecond.toFixed(0)} tokens/s`,
      ...result.lastLoss === undefined
        ? []
        : [`loss ${result.firstLoss?.toFixed(4)} → ${result.lastLoss.toFixed(4)}`],
      ...result.lossScale === undefined ? [] : [
        `loss scale ${result.lossScale.scale} at the end, ${
          showUnits(result.lossScale.skipped, "step")
        } skipped`,
      ],
      ...first === undefined || last === undefined || first === last ? [] : [
        `held-out loss ${first.loss.toFixed(4)} → ${last.loss.toFixed(4)}, best ${
          best?.value.toFixed(4)
        } at step ${best?.step}`,
      ],
      `memory ${showBytes(result.peak)} at most, ${showBytes(result.planned)} planned` +
      `${
        result.peakElsewhere > result.peak
          ? `; ${showBytes(result.peakElsewhere)} before or after the steps`
          : ""
      }`,
      `written to ${flags.output}`,
    ].join("\n"),
  );
}
