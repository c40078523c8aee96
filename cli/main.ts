/**
 * The command `graft`, put together in `program.ts`. Exit codes: 0 done, 1 failed, 2 wrong arguments, 130
 * interrupted, 141 when the output's reader has gone. Errors are one line on standard error, with `--json` one of
 * JSON with the error's code; `--debug` adds the code and the stack.
 *
 * @module
 */
import process from "node:process";
import { thisThread } from "../platform/own_thread.ts";
import { runProgram } from "./terminal/arguments.ts";
import { complaint } from "./terminal/complaint.ts";
import { note } from "./terminal/output.ts";
import { graftProgram } from "./program.ts";
import { runThread } from "./threads.ts";

/**
 * Runs a command line.
 *
 * @returns The exit code.
 * @example
 * ```ts
 * import { main } from "@graft/peft/cli";
 * import assert from "node:assert/strict";
 * assert.equal(await main(["--version"]), 0);
 * assert.equal(await main(["inspect", "no-such-folder"]), 1); // and one line on standard error
 * ```
 */
export async function main(args: readonly string[]): Promise<number> {
  const thread = thisThread();
  if (thread !== undefined) {
    await runThread(thread);
    return 0;
  }
  return await runProgram(graftProgram(), args, (error) => complaint(error, args).forEach(note));
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
