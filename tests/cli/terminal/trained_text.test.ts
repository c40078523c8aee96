import assert from "node:assert/strict";
import { trainedText } from "../../../cli/terminal/trained_text.ts";

const decode = (ids: readonly number[]): string => ids.map((id) => "ab\n\x1b\t"[id]).join("");
const row = { inputIds: [0, 1, 1, 2, 0, 3], labels: [0, -100, 1, 2, 0, -100] };

Deno.test("trainedText() colours what is trained, not the first token, which nothing predicts", () => {
  assert.equal(trainedText(row, decode, "colour"), "ab\x1b[32mb\x1b[39m\n\x1b[32ma\x1b[39m\\x1b");
});

Deno.test("trainedText() underlines without colour, line ends too", () => {
  assert.equal(trainedText(row, decode, "underline"), "abb\u0332↵\u0332\na\u0332\\x1b");
});
