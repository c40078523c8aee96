/** The MPI launchers of this machine, and graft as the processes that they start. */
import { createHash } from "node:crypto";
import { graftArguments, type Ran } from "../cli/tiny.ts";

/** A launcher's command, and how it is asked for more processes than cores. */
export type Launcher = readonly [command: string, ...more: string[]];

/** The launchers that are installed. */
export const LAUNCHERS: readonly Launcher[] = ([
  ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe"],
  ["mpirun.mpich"],
] as const).filter(([command]) => isInstalled(command));

/** Kernels that every machine has. */
export const ENVIRONMENT = { GRAFT_BACKEND: "wasm" };

/** Starts n processes of graft. */
export function launch([command, ...more]: Launcher, n: number, args: readonly string[]): Deno.ChildProcess {
  return new Deno.Command(command, {
    args: [...more, "-n", String(n), Deno.execPath(), ...graftArguments(args)],
    env: ENVIRONMENT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** What n processes of graft printed together, and the launcher's exit code. */
export async function launched(launcher: Launcher, n: number, args: readonly string[]): Promise<Ran> {
  return ranOf(await launch(launcher, n, args).output());
}

/** An ended child's code and texts. */
export function ranOf({ code, stdout, stderr }: Deno.CommandOutput): Ran {
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)) as [string, string];
  return { code, out, err };
}

/** SHA-256 of the adapter in a folder. */
export const digest = (folder: string): string =>
  createHash("sha256").update(Deno.readFileSync(`${folder}/adapter_model.safetensors`)).digest("hex");

/** The ids of the processes that train into a folder, their launcher left out. */
export function processesOf(output: string, [launcher]: Launcher): readonly number[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter((id) => {
    if (!Number.isInteger(id)) return false;
    try {
      const words = Deno.readTextFileSync(`/proc/${id}/cmdline`).split("\0");
      return words.includes(output) && /deno/.test(words[0]!) && !words.includes(launcher);
    } catch {
      return false; // it has ended
    }
  });
}

/** Waits until no process trains into a folder. @throws {Error} when one does after ten seconds. */
export async function allEnded(output: string, launcher: Launcher): Promise<void> {
  const began = performance.now();
  while (processesOf(output, launcher).length > 0) {
    if (performance.now() - began > 10_000) throw new Error("a process outlived the others");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Waits until a file is there. */
export async function appears(path: string): Promise<void> {
  while (!isThere(path)) await new Promise((resolve) => setTimeout(resolve, 20));
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function isInstalled(command: string): boolean {
  try {
    return new Deno.Command(command, { args: ["--version"], stdout: "null", stderr: "null" }).outputSync()
      .success;
  } catch {
    return false;
  }
}
