/** The README's picture shows the README's table. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { demoPicture, demoRows } from "../../tools/demo_picture.ts";

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

Deno.test("docs/demo.svg is drawn from the README's table of the demo", () => {
  const rows = demoRows(read("README.md"));
  assert.ok(rows.length >= 5 && rows.every((row) => row.length === 7));
  assert.equal(read("docs/demo.svg"), demoPicture(rows), "run deno task docs:picture");
});
