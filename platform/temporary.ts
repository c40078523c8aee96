/** Temporary files and folders. Deno's own functions ask for no more than the right to write where they are. */
import { closeSync, mkdtempSync, openSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deno } from "./deno.ts";

/** A new folder. Its maker removes it. */
export function temporaryFolder(prefix: string): string {
  return deno === undefined ? mkdtempSync(join(tmpdir(), prefix)) : deno.makeTempDirSync({ prefix });
}

/** A new, empty file in a folder, by default the system's. Its maker removes it. */
export function temporaryFile(prefix: string, folder?: string): string {
  if (deno !== undefined) {
    return deno.makeTempFileSync({ prefix, ...folder !== undefined && { dir: folder } });
  }
  const path = join(folder ?? tmpdir(), `${prefix}${crypto.randomUUID()}`);
  closeSync(openSync(path, "wx", 0o600));
  return path;
}
