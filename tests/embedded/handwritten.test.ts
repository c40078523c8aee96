import assert from "node:assert/strict";
import { key } from "../../tensor/key.ts";
import { conversation } from "../../embedded/conversations/mod.ts";
import { grams, masked, nearDuplicates } from "../../embedded/duplicates.ts";

interface Example {
  readonly dialogue: string;
  readonly summary: string;
}

const examples: readonly Example[] = Deno
  .readTextFileSync(new URL("../../embedded/handwritten.jsonl", import.meta.url))
  .trimEnd().split("\n").map((line) => JSON.parse(line));

Deno.test("handwritten.jsonl holds 100 different conversations in the generator's format", () => {
  assert.equal(examples.length, 100);
  assert.equal(new Set(examples.map(({ dialogue }) => dialogue)).size, 100);
  for (const example of examples) {
    assert.deepEqual(Object.keys(example), ["dialogue", "summary"]);
    const speakers = example.dialogue.split("\n").map((line) => /^(Customer|Agent): \S/.exec(line)?.[1]);
    assert.ok(speakers.length >= 3 && speakers.length <= 12, example.dialogue);
    assert.ok(speakers.every((one, i) => one !== undefined && one !== speakers[i - 1]), example.dialogue);
  }
});

Deno.test("handwritten.jsonl's summaries tell no number and no name that the dialogue does not tell", () => {
  for (const { dialogue, summary } of examples) {
    const told = new Set(dialogue.match(/\d+/g));
    for (const number of summary.match(/\d+/g) ?? []) assert.ok(told.has(number), `${number}\n${summary}`);
    for (const [name] of summary.matchAll(/(?<!^|[.!?]["”]? )\b[A-Z][a-z]+/g)) {
      assert.ok(dialogue.includes(name), `${name}\n${summary}`);
    }
  }
});

Deno.test("handwritten.jsonl is unlike anything the generator makes", () => {
  const sets = (texts: readonly string[]) => texts.map((text) => grams(masked(text), 5));
  const generated = sets(Array.from({ length: 2000 }, (_, i) => conversation(key(0), i).dialogue));
  assert.equal(nearDuplicates(generated, sets(examples.map(({ dialogue }) => dialogue)), 0.05), 0);
});
