/** One source for every runtime: what only one of them has stands in `platform/`. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";

const ROOT = new URL("../", import.meta.url);
/** Rooms that are not published, or are documents. */
const LEFT_OUT =
  /(^|\/)(node_modules|target|\.\w+|runs)\/|^(tests|tools|claims|notebooks|bench|docs|examples)\//;

/** Programs that people run in a clone, which is Deno's, and that nothing imports. */
const OF_A_CLONE: readonly string[] = [
  "browser/bundle.ts",
  "embedded/pretrain.ts",
  "ops/wasm/check.ts",
  "studio/build.ts",
];

/** A source without its comments. Strings that hold comment marks lose their ends, which hides no call. */
const codeOf = (path: string): string =>
  readFileSync(new URL(path, ROOT), "utf8").replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");

const SOURCES: readonly string[] = readdirSync(ROOT, { recursive: true, encoding: "utf8" })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => /\.(ts|js)$/.test(path) && !path.endsWith(".d.ts") && !LEFT_OUT.test(path));

const wherever = (pattern: RegExp): readonly string[] =>
  SOURCES.filter((path) => pattern.test(codeOf(path))).sort();

Deno.test("sources ask Deno only in platform/, and programs of a clone where they do", () => {
  const asking = wherever(/\bDeno\s*[.\[]/);
  assert.deepEqual(asking.filter((path) => !path.startsWith("platform/")), OF_A_CLONE);
});

Deno.test("no source has an import that only some runtimes know: of source phases, bytes or text", () => {
  assert.deepEqual(
    wherever(/\bimport\s+(source|defer)\s|\bimport\.(source|defer)\b|type:\s*"(bytes|text)"/),
    [],
  );
});

Deno.test("sources start threads and open machine code only in platform/, pages in their own files", () => {
  assert.deepEqual(wherever(/\bnew Worker\b|worker_threads|\bdlopen\b|node:child_process/), [
    "browser/worker.ts",
    "platform/c_library.ts",
    "platform/deno.ts",
    "platform/foreign_library.ts",
    "platform/own_program.ts",
    "platform/own_thread.ts",
    "platform/program_worker.ts",
    "platform/worker.ts",
    "studio/page/client.ts",
  ]);
});
