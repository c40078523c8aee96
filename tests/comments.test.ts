/** Comments of the sources name files that are there. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";

const ROOT = new URL("../", import.meta.url);
const LEFT_OUT = /(^|\/)(node_modules|target|golden|\.git|\.venv|runs|ops\/wasm\/lib)(\/|$)/;

const FILES = readdirSync(ROOT, { recursive: true, encoding: "utf8" }).filter((path) => !LEFT_OUT.test(path));

/** Names of TypeScript and Markdown files in a source's comments. Other programs' files are Python's, or have an address. */
export function namedIn(source: string): readonly string[] {
  const comments = source.match(/\/\*[^]*?\*\/|(?<=^|\s)\/\/ .*$/gm) ?? [];
  return comments.flatMap((
    comment,
  ) => [...comment.matchAll(/(?<![\w./:-])[\w./-]*\w\.(?:ts|md)\b(?!\.)/g)])
    .map(([name]) => name);
}

Deno.test("every file that a comment names is there", () => {
  const missing = FILES.filter((path) => path.endsWith(".ts")).flatMap((path) =>
    namedIn(readFileSync(new URL(path, ROOT), "utf8"))
      .filter((name) => !FILES.some((file) => `/${file}`.endsWith(`/${name.replace(/^(\.\.?\/)+/, "")}`)))
      .map((name) => `${path} names ${name}`)
  );
  assert.deepEqual(missing, []);
});
