/** What a command says of an error on standard error: a line for people, or one of JSON for programs. */
import { errorCode } from "../../errors/error.ts";
import { systemCode } from "../../platform/files.ts";
import { oneLine } from "./one_line.ts";

/**
 * Lines of standard error. With `--json` the first is `{"error":{"code":"MODEL_NOT_FOUND","message":"…"}}`, where the code is
 * graft's, the system's or null; with `--debug` the code and the stack follow.
 *
 * @param args The command line.
 */
export function complaint(error: unknown, args: readonly string[]): readonly string[] {
  const own = args.slice(0, args.includes("--") ? args.indexOf("--") : args.length);
  const line = oneLine(error);
  const first = own.includes("--json")
    ? JSON.stringify({
      error: {
        code: errorCode(error) ?? systemCode(error) ?? null,
        message: line.slice("graft: ".length),
      },
    })
    : line;
  return own.includes("--debug") && error instanceof Error
    ? [first, `${errorCode(error) ?? "no code"}: ${error.stack ?? ""}`]
    : [first];
}
