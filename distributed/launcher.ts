/** Who launched this process among others, told by the variables that MPI launchers and Slurm set. */

/** A launcher, and what it says of this process. */
export interface Launcher {
  /** "Open MPI", "PMI" (MPICH, Intel MPI and kin) or "Slurm". */
  readonly name: "Open MPI" | "PMI" | "Slurm";
  /** The number of this process, from 0. */
  readonly rank: number;
  /** How many were launched. */
  readonly size: number;
}

/** Launchers and their variables of rank and size, the surest first: an MPI launcher inside a job of Slurm sets both. */
export const LAUNCHERS = [
  ["Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"],
  ["PMI", "PMI_RANK", "PMI_SIZE"],
  // SLURM_NTASKS is set for the script of a job, too, which is one process.
  ["Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"],
] as const;

/**
 * The launcher of this process; undefined where it was started alone. A batch script of Slurm, which no `srun` started, is alone.
 *
 * @param variable The value of an environment variable.
 */
export function launcherOf(variable: (name: string) => string | undefined): Launcher | undefined {
  for (const [name, rankName, sizeName] of LAUNCHERS) {
    const [rank, size] = [variable(rankName), variable(sizeName)].map((text) =>
      text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined
    );
    if (rank === undefined || size === undefined || rank >= size) continue;
    return { name, rank, size };
  }
  return undefined;
}
