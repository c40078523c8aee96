/**
 * The command `graft`, put together in `program.ts`. Exit codes: 0 done, 1 failed, 2 wrong arguments, 130
 * interrupted, 141 when the output's reader has gone. Errors are one line on standard error; `--debug` adds
 * the stack.
 *
 * @module
 */
import { runProgram } from "./terminal/arguments.ts";
import { note } from "./terminal/output.ts";
import { graftProgram, oneLine } from "./program.ts";

if (import.meta.main) {
  const debug = Deno.args.includes("--debug");
  const code = await runProgram(graftProgram(), Deno.args, (error) => {
    note(oneLine(error));
    if (debug && error instanceof Error) note(error.stack ?? "");
  });
  Deno.exit(code);
}
