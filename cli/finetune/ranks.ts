/** `graft finetune` as one of many processes: `mpirun -n 4 graft finetune …`, `srun graft finetune …`. */
import { setTimeout } from "node:timers/promises";
import { launcherOf } from "../../distributed/launcher.ts";
import { openMpi } from "../../distributed/mpi.ts";
import { silence } from "../../distributed/quiet.ts";
import { environmentVariable } from "../../platform/environment.ts";
import { alone, type World } from "../../train/mod.ts";
import { Exit } from "../terminal/arguments.ts";
import { note } from "../terminal/output.ts";
import { oneLine } from "../terminal/one_line.ts";
import { failure } from "../../errors/error.ts";

/** Whether processes that were launched together train together. */
export type Distributed = "auto" | "mpi" | "off";

/**
 * Runs with the world that a launcher made, or alone. Rank 0 alone speaks; when one rank fails, all end.
 *
 * @throws {Error} when there is a launcher and no MPI library opens, or MPI is asked for and there is no launcher.
 */
export async function withRanks(how: Distributed, run: (world: World) => Promise<void>): Promise<void> {
  const launcher = how === "off" ? undefined : launcherOf(environmentVariable);
  if (launcher === undefined) {
    if (how === "mpi") {
      throw failure(
        "INVALID_ARGUMENT",
        "--distributed mpi needs a launcher: start with mpirun -n 4 graft finetune …, or with srun",
      );
    }
    return await run(alone);
  }
  if (launcher.size === 1 && how === "auto") return await run(alone);
  const world = openMpi(launcher, {
    library: environmentVariable("GRAFT_MPI"),
    path: environmentVariable("PATH") ?? "",
  });
  const silenced = world.rank === 0 ? undefined : silence();
  try {
    if (world.rank === 0) note(`Training in ${world.size} processes by ${world.library}`);
    await run(world);
  } catch (error) {
    // An interruption was agreed on; anything else may have happened to this rank alone.
    if (!(error instanceof Exit)) {
      // Where all fail alike, rank 0 says so and ends the others meanwhile.
      if (world.rank !== 0) await setTimeout(2000);
      silenced?.speak();
      note(`${world.rank === 0 ? "" : `process ${world.rank}: `}${oneLine(error)}`);
      // MPICH's launcher drops what it has not read when a process aborts.
      await setTimeout(200);
      world.abort(1);
    }
    world.finalize();
    throw error;
  }
  world.finalize();
}
