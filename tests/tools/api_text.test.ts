/** The API of every export stands in a file, and the changelog names what changed. */
import assert from "node:assert/strict";
import { apiComplaints, apiOfSources } from "../../tools/api_text.ts";

Deno.test("docs/api/current.txt is the API of the sources, and CHANGELOG.md names its changes", () => {
  assert.deepEqual(apiComplaints(), []);
});

Deno.test("the API's text has every export, and its signatures, options and members", () => {
  const lines = new Set(apiOfSources().split("\n"));
  const some = [
    "# @graft/peft",
    "# @graft/peft/train",
    "function reference(): Backend",
    "export reference of @graft/peft",
    "  readonly learningRate: number",
  ];
  for (const line of some) assert.ok(lines.has(line), line);
});
