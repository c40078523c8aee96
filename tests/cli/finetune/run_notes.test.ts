/** What a run says of itself. */
import assert from "node:assert/strict";
import { fullNote } from "../../../cli/finetune/run_notes.ts";

Deno.test("fullNote() says what happens to long prompts, of one row and of several", () => {
  assert.equal(
    fullNote(1, 512, { longPrompts: "head" }),
    "1 row has 512 tokens, the most that are allowed: where a prompt is too long, only its beginning is kept. " +
      "--max-length sets how much, --long-prompts which part",
  );
  assert.match(
    fullNote(3000, 64, { longPrompts: "tail" })!,
    /^3,000 rows have 64 tokens, .* only its end is kept/,
  );
});

Deno.test("fullNote() says nothing where nothing is cut", () => {
  assert.equal(fullNote(0, 512, { longPrompts: "head" }), undefined);
  assert.equal(fullNote(7, 512, { longPrompts: "refuse" }), undefined);
});
