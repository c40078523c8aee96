/** Preferences in records: with a prompt, with one that both answers repeat, and what is wrong with others. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { openPreferences, preferenceOf } from "../../train/preferences.ts";
import { inFolder } from "../support/folder.ts";

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const at = { file: "f.jsonl", line: 3 };
const of = (value: Record<string, unknown>) => preferenceOf({ ...at, value });

Deno.test("preferenceOf() takes texts with a prompt, or with one that both repeat", () => {
  const wanted = {
    chosen: { prompt: "sky?", answer: " blue", at },
    rejected: { prompt: "sky?", answer: " green", at },
  };
  assert.deepEqual(of({ prompt: "sky?", chosen: " blue", rejected: " green" }), wanted);
  assert.deepEqual(of({ prompt: "sky?", chosen: "sky? blue", rejected: "sky? green" }), wanted);
  assert.deepEqual(of({ chosen: "sky? blue", rejected: "sky? green" }), wanted);
  assert.equal(of({ prompt: "a", chosen: "b", rejected: "c", margin: "1.5" }).margin, 1.5);
});

Deno.test("preferenceOf() takes messages in every arrangement that data sets have", () => {
  const conversation = (answer: string) => ({ messages: [user("sky?"), assistant(answer)], learned: [1] });
  const wanted = {
    chosen: { prompt: [user("sky?")], answer: "blue", conversation: conversation("blue"), at },
    rejected: { prompt: [user("sky?")], answer: "green", conversation: conversation("green"), at },
  };
  const [blue, green] = [[assistant("blue")], [assistant("green")]];
  assert.deepEqual(of({ prompt: [user("sky?")], chosen: blue, rejected: green }), wanted);
  assert.deepEqual(of({ prompt: "sky?", chosen: blue, rejected: green }), wanted);
  assert.deepEqual(of({ chosen: [user("sky?"), ...blue], rejected: [user("sky?"), ...green] }), wanted);
  assert.deepEqual(
    of({ prompt: "sky?", chosen: [user("sky?"), ...blue], rejected: [user("sky?"), ...green] }),
    wanted,
  );
  // Only what is their own is learned.
  const before = [user("hi"), assistant("hello"), user("sky?")];
  const longer = of({ chosen: [...before, ...blue], rejected: [...before, ...green] });
  assert.deepEqual(longer.chosen.conversation?.learned, [3]);
});

Deno.test("preferenceOf() names file, line and what is wrong", () => {
  const bad = (value: Record<string, unknown>, message: RegExp) => assert.throws(() => of(value), message);
  bad(
    { prompt: "a", chosen: "b", rejected: "b" },
    /^RangeError: f\.jsonl line 3: "chosen" and "rejected" are the same$/,
  );
  bad({ chosen: [user("a"), assistant("b")], rejected: [user("a"), assistant("b")] }, /are the same|its own/);
  bad({ chosen: "b", rejected: "c" }, /line 3: a preference without a prompt/);
  bad({ chosen: [assistant("b")], rejected: [assistant("c")] }, /line 3: a preference without a prompt/);
  bad({ prompt: "a", chosen: "b" }, /field "rejected" is missing/);
  bad({ prompt: "a", chosen: "b", rejected: " " }, /field "rejected" is empty/);
  bad(
    { prompt: "a", chosen: "b", rejected: "c", margin: "much" },
    /field "margin" must be a number but is "much"/,
  );
});

Deno.test("openPreferences() checks every record first, and reads fields of other names", () =>
  inFolder(async (folder) => {
    const file = `${folder}/a.csv`;
    writeFileSync(file, "question,good,bad\nsky?,blue,green\nsea?,blue,blue\n");
    const fields = { prompt: "question", chosen: "good", rejected: "bad" };
    await assert.rejects(
      () => openPreferences(file, { fields }),
      /a\.csv row 2: "chosen" and "rejected" are the same/,
    );
    writeFileSync(file, "question,good,bad\nsky?,blue,green\n");
    using opened = await openPreferences(file, { fields });
    assert.deepEqual([opened.count, opened.preference(0).rejected.answer], [1, "green"]);
  }));
