/** Sites by relative paths: a tower at the root of a checkpoint has the path "". */
import { into, type Site } from "../core/mod.ts";

/** The site at a path below another; "" is the site itself. */
export function childSite(site: Site, path: string): Site {
  return path === "" ? site : into(site, ...path.split("."));
}

/** A path below another, either of which may be "". */
export function joined(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(".");
}
