/** A run as it begins: at its first step, or at its checkpoint. */
import type { Adapter } from "../../core/mod.ts";
import { writeTextAtomically } from "../../formats/atomic_write.ts";
import { openTrainingState, type StateRecord } from "../../io/training_state.ts";
import { RUN_START, type RunProgress } from "../../recipes/supervised.ts";
import { type MetricsLog, startTraining, type Training, type World } from "../../train/mod.ts";
import { checkSameRun } from "../../tuning/run_identity.ts";
import type { Data } from "../data.ts";
import type { Interrupt } from "../terminal/interrupt.ts";
import { padOf } from "./evaluation.ts";
import { openMetrics } from "./metrics.ts";
import type { Aim } from "./objective.ts";
import type { FinishedRun } from "./result.ts";
import type { RunFlags } from "./run_flags.ts";
import type { ChosenFlags } from "./settings.ts";
import { trainOptionsOf } from "./training_options.ts";

/** A run with everything that it takes. */
export interface Run extends FinishedRun {
  readonly flags: ChosenFlags<RunFlags>;
  readonly other: Data | undefined;
  readonly record: StateRecord;
  readonly interrupt: Interrupt;
  readonly maxLength: number;
  readonly aim: Aim | undefined;
  readonly world: World;
}

/** The run at its first step, or at its checkpoint. Takes ownership of the adapter's tensors. */
export async function begin(
  run: Run,
): Promise<
  {
    readonly training: Training<Adapter["params"]>;
    readonly reached: RunProgress;
    readonly metrics: MetricsLog;
  }
> {
  const { flags, folder, data, maxLength, started } = run;
  const { model, adapter } = started;
  const create = async (): Promise<void> => {
    folder.create();
    if (flags.runFile !== undefined) await writeTextAtomically(`${folder.path}/run.yaml`, flags.runFile);
  };
  let total = 0;
  const options = trainOptionsOf(
    flags,
    maxLength,
    padOf(model.tokenizer),
    () => total,
    run.world,
    run.aim?.objective,
  );
  try {
    if (!folder.continues) {
      const training = await startTraining(model, adapter, data.train, options);
      total = training.totalSteps;
      await create();
      // A run killed before its first checkpoint may have left a log.
      const metrics = openMetrics(flags, folder, flags.resume === true ? -1 : undefined);
      return { training, reached: RUN_START, metrics };
    }
    using state = openTrainingState(folder.state);
    const { standing: reached, ...then } = state.record as StateRecord & { readonly standing: RunProgress };
    checkSameRun(folder, then, run.record, flags.known);
    const params = state.params(model.backend);
    const { step, slots } = state;
    const resume = { step, params, slots, state: state.state(model.backend) };
    const training = await startTraining(model, adapter, data.train, options, resume);
    total = training.totalSteps;
    await create();
    return {
      training,
      reached,
      metrics: openMetrics(flags, folder, step),
    };
  } finally {
    started.release();
  }
}
