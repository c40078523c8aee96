/** What fits on this machine, and how long it takes, by the methods that a comparison trains. */
import type { Backend } from "../../core/mod.ts";
import { machineMemory } from "../../platform/machine_memory.ts";
import type { CallSeconds } from "../../ops/timed_calls.ts";
import { FAMILIES } from "../../methods/index.ts";
import { diskOf, type RunTime, timeOf, whyNotTimed } from "../finetune/plan_time.ts";
import { plannedRun, planOf } from "../finetune/plan.ts";
import type { PlannedSizes } from "../finetune/planned_sizes.ts";
import { chosenFlags, type FinetuneFlags } from "../finetune/settings.ts";
import type { BackendName } from "../load.ts";

/** A run by one method. */
export interface RunReport {
  readonly method: string;
  /** Bytes of memory at the peak. */
  readonly memory: number;
  /** Whether they are free now. */
  readonly fits: boolean;
  readonly disk: number;
  readonly time?: RunTime;
  /** Why the time is not known. */
  readonly untimed?: string;
}

/** The methods that a comparison trains, in its order. */
const COMPARED: readonly string[] = Object.values(FAMILIES).flat()
  .filter(({ cli }) => cli?.compared !== undefined)
  .toSorted((a, b) => a.cli!.compared! - b.cli!.compared!)
  .map(({ name }) => name);

/** Seconds for the times of all methods together. */
const BUDGET = 24;

/** Plans a run by each method. */
export async function examineRuns(
  given: FinetuneFlags & { readonly backend: BackendName },
  backend: Backend,
): Promise<readonly RunReport[]> {
  const reports: RunReport[] = [];
  let known: CallSeconds = new Map();
  let counted: PlannedSizes | undefined;
  for (const method of COMPARED) {
    const flags = { ...await chosenFlags({ ...given, method }), backend: given.backend };
    const { base, sizes, maxLength } = await plannedRun(flags, counted);
    counted = sizes;
    const plan = await planOf(base.shapes, flags, sizes, maxLength, base.fresh);
    const free = Math.min(machineMemory()?.free ?? Infinity, backend.capacity ?? Infinity);
    const common = { method, memory: plan.total, fits: plan.total <= free, disk: diskOf(plan, sizes) };
    const why = whyNotTimed(plan, backend);
    if (why !== undefined) reports.push({ ...common, untimed: why });
    else {
      const measured = await timeOf({
        ...{ model: base.shapes, flags, sizes, maxLength, fresh: base.fresh, backend, known },
        budget: BUDGET / COMPARED.length,
      });
      known = measured.known;
      reports.push({ ...common, time: measured.time });
    }
    base.shapes.dispose();
  }
  return reports;
}
