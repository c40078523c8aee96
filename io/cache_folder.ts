/** Where files lie that can be had again: downloads, and what was computed of data. Any of them may be removed. */
import { join } from "node:path";

/**
 * The folder: `$HF_HOME/graft` of downloads and `$HF_HOME/graft-sizes` of sizes, else those in `$XDG_CACHE_HOME/graft` or
 * `~/.cache/graft`. Undefined where no variable says where.
 *
 * @param variable Reads a variable of the environment; undefined where it is not set, or empty.
 */
export function cacheFolder(
  of: "hub" | "sizes",
  variable: (name: string) => string | undefined,
): string | undefined {
  const home = variable("HF_HOME");
  if (home !== undefined) return join(home, of === "hub" ? "graft" : "graft-sizes");
  const own = variable("HOME");
  const base = variable("XDG_CACHE_HOME") ?? (own && join(own, ".cache"));
  return base && join(base, "graft", of);
}
