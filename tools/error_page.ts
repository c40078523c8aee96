/**
 * The page of error codes: what each means, and which files give it. `deno task errors` writes docs/errors.md.
 *
 * @module
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type ErrorCode, MEANINGS } from "../errors/error.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** Where the page stands. */
export const PAGE = "docs/errors.md";

/** The rooms whose errors a user can meet. */
export const ROOMS: readonly string[] = [
  "platform",
  "tensor",
  "ops",
  "numerics",
  "core",
  "methods",
  "models",
  "formats",
  "train",
  "distributed",
  "recipes",
  "io",
  "serve",
  "tuning",
  "browser",
  "cli",
  "embedded",
  "studio",
];

/** The sources of rooms, by path. */
export function sourcesOfRooms(rooms: readonly string[] = ROOMS): ReadonlyMap<string, string> {
  const paths = rooms.flatMap((room) =>
    readdirSync(`${ROOT}${room}`, { recursive: true, encoding: "utf8" })
      .map((path) => `${room}/${path.replaceAll("\\", "/")}`)
  );
  return new Map(
    paths.filter((path) => path.endsWith(".ts") && !/\.d\.ts$|\/(lib|target|node_modules)\//.test(path))
      .sort()
      .map((path) => [path, readFileSync(`${ROOT}${path}`, "utf8")]),
  );
}

/** A source without comments. */
export const codeOf = (source: string): string =>
  source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/ .*$/gm, "");

/** The codes that a source gives. */
export const codesIn = (source: string): readonly string[] =>
  [...source.matchAll(
    /(?:rangeError|typeError|syntaxError|failure|withCode)\(\s*([^`,]*),|readonly code: ("\w+") =/g,
  )]
    .flatMap(([, argument, field]) =>
      [...(field ?? argument!).matchAll(/"([A-Z_]+)"/g)].map(([, code]) => code!)
    );

/** The rooms that give each code. */
function roomsOf(sources: ReadonlyMap<string, string>): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>();
  for (const [path, source] of sources) {
    for (const code of codesIn(source)) {
      found.set(code, (found.get(code) ?? new Set()).add(path.slice(0, path.indexOf("/"))));
    }
  }
  return found;
}

/** The page. */
export function errorPage(sources: ReadonlyMap<string, string> = sourcesOfRooms()): string {
  const rooms = roomsOf(sources);
  const rows = Object.entries(MEANINGS).sort(([a], [b]) => a < b ? -1 : 1).map(([code, meaning]) =>
    `| \`${code}\` | ${meaning} | ${
      [...rooms.get(code as ErrorCode) ?? []].map((room) => `\`${room}/\``).join(", ")
    } |`
  );
  return `# Error codes

Every error of graft's has a sentence for people and a \`code\` for programs. Sentences become clearer from one version to the next; codes stay, and a new one is told in the changelog. [What goes wrong](what_goes_wrong.md) explains the commonest sentences.

\`\`\`ts
import { errorCode, loadModel, reference } from "@graft/peft";
import assert from "node:assert/strict";

try {
  await loadModel("no/such/folder", { backend: reference() });
} catch (error) {
  assert.equal(errorCode(error), "MODEL_NOT_FOUND"); // undefined for errors of others
}
\`\`\`

An error keeps its class: \`RangeError\`, \`TypeError\` or \`SyntaxError\`, as each function documents. Errors of the system go through as they are, with the system's codes ("ENOENT"), and so does what an \`AbortSignal\` was aborted with. \`graft … --debug\` prints the code after the sentence, and a command with \`--json\` says an error as JSON on standard error: \`{"error":{"code":"MODEL_NOT_FOUND","message":"…"}}\`.

| code | what it means | from |
|---|---|---|
${rows.join("\n")}

This page is written by \`deno task errors\`.
`;
}

if (import.meta.main) writeFileSync(`${ROOT}${PAGE}`, errorPage());
