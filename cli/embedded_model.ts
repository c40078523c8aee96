/** Where the embedded model lies: in a clone, or in a package of its own, for 4 MB that most programs never need. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { cachedFolder, installedFile } from "../platform/companion_package.ts";
import { UsageError } from "../tuning/usage_error.ts";

/** The package that has it. */
const PACKAGE = "@graft/embedded-model";

/** @throws {UsageError} where it is not installed, with what installs it. */
export async function embeddedModel(): Promise<string> {
  const inClone = new URL("../embedded/model/config.json", import.meta.url);
  if (inClone.protocol === "file:" && existsSync(inClone)) return dirname(fileURLToPath(inClone));
  const installed = installedFile(`${PACKAGE}/config.json`);
  if (installed !== undefined) return dirname(fileURLToPath(installed));
  const cached = await cachedFolder(PACKAGE).catch(notCached);
  if (cached !== undefined) return fileURLToPath(cached).replace(/[\\/]$/, "");
  throw new UsageError(
    `Cannot use the embedded model: it is a package of its own, which is not installed here; "npm install ${PACKAGE}" ` +
      "or your package manager's like adds it, or name a model of yours with --model",
  );
}

function notCached(error: Error): never {
  throw new UsageError(
    `Cannot use the embedded model, which is a package of its own. ${error.message}. Name a model of yours with --model`,
    { cause: error },
  );
}
