/** `npm pack`, which makes of a folder what registries take. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

/** Packs a folder that has a package.json, into itself. @returns The tarball's path. @throws {Error} with what npm said. */
export function packedFolder(folder: string): string {
  const { status, stdout, stderr, error } = spawnSync("npm", ["pack", "--json", "--silent"], {
    cwd: folder,
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`npm pack failed: ${error?.message ?? stdout + stderr}`);
  const [packed]: readonly { readonly filename: string }[] = JSON.parse(stdout);
  return join(folder, packed!.filename);
}
