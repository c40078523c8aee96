/** A step of processes that train together on this machine, measured in processes of their own. */

/** What rank 0 measured. */
export interface RankedStep {
  /** Of a step, in seconds: the median. */
  readonly step: number;
  /** Of sending the gradients to a rank and getting their sum back, in seconds: the median; 0 for one process. */
  readonly sum: number;
  /** The gradients' bytes. */
  readonly bytes: number;
  /** Peak resident memory of rank 0. */
  readonly peakBytes: number;
}

const PROGRAM = new URL("peers/ranked_step.ts", import.meta.url).pathname;

/**
 * Measures a step in one process of two threads, or in two processes of one thread.
 *
 * @throws {Error} with what was said where it fails, or there is no mpirun.
 */
export async function rankedStep(processes: 1 | 2): Promise<RankedStep> {
  const deno = [Deno.execPath(), "run", "-A", "--quiet", "--no-lock", PROGRAM, String(2 / processes)];
  const [command, ...args] = processes === 1 ? deno : ["mpirun", "-n", "2", ...deno];
  const { code, stdout, stderr } = await new Deno.Command(command!, {
    args,
    env: { OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (code !== 0) throw new Error(`Error: ${command}: ${err}`);
  return JSON.parse(out!.trim().split("\n").at(-1)!);
}
