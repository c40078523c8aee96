/**
 * Packages that are published beside graft and may be absent: native kernels, the embedded model. npm puts them into
 * node_modules; a program that loads graft from the web has them in Deno's own cache, where they are fetched when asked for.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { deno } from "./deno.ts";
import { failure } from "../errors/error.ts";

/** The address of a package's file in node_modules; undefined where the package is not installed. */
export function installedFile(specifier: string): string | undefined {
  try {
    const url = import.meta.resolve(specifier);
    return url.startsWith("file:") && existsSync(fileURLToPath(url)) ? url : undefined;
  } catch {
    return undefined; // it is not installed
  }
}

/**
 * The folder of a package of graft's own version in Deno's cache, as the address that it exports as `folder`; undefined in other
 * runtimes, and where graft was not loaded from the web.
 *
 * @param from The address of one of graft's modules.
 * @throws {Error} FILE_NOT_FOUND with what Deno says, when it cannot fetch or run the package.
 */
export async function cachedFolder(
  name: string,
  from: string = import.meta.url,
): Promise<string | undefined> {
  const version = versionIn(from);
  if (deno === undefined || version === undefined) return undefined;
  const specifier = `npm:${name}@${version}`; // computed, so that nothing is fetched before it is asked for
  try {
    return (await import(specifier)).folder;
  } catch (error) {
    throw failure("FILE_NOT_FOUND", `Cannot load ${specifier}: ${sentenceOf(error)}`, { cause: error });
  }
}

/** An error's message without the end that a sentence around it brings. */
const sentenceOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).trim().replace(/\.$/, "");

/** The version in the address of a module of JSR: "https://…/@graft/peft/1.2.3/…"; undefined of others. */
export const versionIn = (url: string): string | undefined =>
  /^https?:.*\/@graft\/peft\/(\d[^/]*)\//.exec(url)?.[1];
