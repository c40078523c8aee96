/** The running program, started again in a process of its own. */
import { spawn } from "node:child_process";
import { Buffer } from "node:buffer";
import process from "node:process";
import { deno } from "./deno.ts";

/** How a process ended, and what it wrote to its standard output. */
export interface Ended {
  readonly code: number;
  readonly output: string;
}

/** The module of the command line: among the sources, or where npm's package, whose modules stand elsewhere, exports it. */
export const ownModule = (main: URL): string =>
  import.meta.url.endsWith(".ts") ? main.href : import.meta.resolve("@graft/peft/cli");

/**
 * Runs a program of this package again and waits for it. What it writes to standard error is passed through.
 *
 * @param main The program's module, which Deno runs; other runtimes run the script that they were started with.
 */
export function runOwnProgram(main: URL, args: readonly string[]): Promise<Ended> {
  const program = deno === undefined ? [process.argv[1]!] : ["run", "-A", ownModule(main)];
  const child = spawn(process.execPath, [...program, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const pieces: Uint8Array[] = [];
  child.stdout.on("data", (bytes: Uint8Array) => pieces.push(bytes));
  return new Promise((ended, failed) => {
    child.once("error", failed);
    child.once("close", (code) => ended({ code: code ?? 1, output: Buffer.concat(pieces).toString("utf8") }));
  });
}
