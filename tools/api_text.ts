/**
 * Writes the API of every export as text: `deno task api:text`. With `--check` it compares that text with the committed one;
 * with `released` it also takes it for the API of a release, from which CHANGELOG.md's next section starts.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import configuration from "../deno.json" with { type: "json" };
import { apiText } from "./api_text/declarations.ts";
import { complaintsOf } from "./api_text/changes.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** The text of the API as it stands. */
export const CURRENT = "docs/api/current.txt";

/** The text of the API from which the changelog's unreleased section starts. */
export const RELEASED = "docs/api/released.txt";

const textOf = (path: string): string => readFileSync(`${ROOT}${path}`, "utf8");

/** The SHA-256 of a text, as CHANGELOG.md names it. */
export const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex");

/** The API of the sources. @throws {Error} with what `deno doc` said when it fails. */
export function apiOfSources(): string {
  const { name, exports } = configuration;
  const { status, stdout, stderr } = spawnSync("deno", ["doc", "--json", ...Object.values<string>(exports)], {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(stderr);
  return apiText(name, exports, new URL("../", import.meta.url), JSON.parse(stdout));
}

/** What is wrong with the committed text and with what the changelog says of the API. */
export function apiComplaints(): readonly string[] {
  const [current, released] = [textOf(CURRENT), textOf(RELEASED)];
  return [
    ...apiOfSources() === current ? [] : [`${CURRENT} is not the API of the sources: run deno task api:text`],
    ...complaintsOf({ current, released, releasedHash: hashOf(released), changelog: textOf("CHANGELOG.md") }),
  ];
}

if (import.meta.main) {
  const [flag] = process.argv.slice(2);
  if (flag !== "--check") {
    writeFileSync(`${ROOT}${CURRENT}`, apiOfSources());
    if (flag === "released") {
      writeFileSync(`${ROOT}${RELEASED}`, textOf(CURRENT));
      console.log(`In CHANGELOG.md's next section: compared with the API \`${hashOf(textOf(RELEASED))}\`.`);
    }
  }
  const complaints = apiComplaints();
  for (const complaint of complaints) console.error(complaint);
  process.exit(complaints.length === 0 ? 0 : 1);
}
