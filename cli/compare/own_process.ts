/** A method's process, so that its memory is measured alone. */
import { writeFile } from "node:fs/promises";
import { failure } from "../../errors/error.ts";
import { runOwnProgram } from "../../platform/own_program.ts";
import type { MethodResult, MethodSettings } from "./method.ts";

/** Runs this command again for one method. Its progress is passed through, its result is returned as JSON. */
export async function inFreshProcess(
  settings: MethodSettings,
  title: string,
  told: string,
): Promise<MethodResult> {
  await writeFile(told, JSON.stringify(settings));
  const main = new URL("../main.ts", import.meta.url);
  const { code, output } = await runOwnProgram(main, ["compare", "--one", told]);
  if (code !== 0) throw failure("INVALID_ARGUMENT", `${title} failed, see above`);
  return JSON.parse(output);
}
