import assert from "node:assert/strict";
import { type Example, examplesOf, readExamples, shapeOf } from "../../train/examples.ts";
import { openExamples } from "../../train/example_file.ts";

const record = (value: unknown, line = 3) => ({
  file: "f.jsonl",
  line,
  value: value as Record<string, unknown>,
});
const at = { file: "f.jsonl", line: 3 };

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const system = (content: string) => ({ role: "system", content });

async function withLines<T>(lines: readonly unknown[], f: (file: string) => Promise<T>): Promise<T> {
  const file = await Deno.makeTempFile({ suffix: ".jsonl" });
  try {
    await Deno.writeTextFile(file, lines.map((line) => JSON.stringify(line)).join("\n"));
    return await f(file);
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("examplesOf() asks for a summary of a dialogue", () => {
  const shape = "dialogue/summary";
  const one = record({ dialogue: "A: hi\nB: bye", summary: "They part.", topic: "x" });
  assert.equal(shapeOf(one), shape);
  assert.deepEqual(examplesOf(one, shape), [{
    prompt: [user("Summarize the conversation.\n\nA: hi\nB: bye")],
    answer: "They part.",
    body: "A: hi\nB: bye",
    at,
  }]);
  assert.deepEqual(examplesOf(one, shape, { instruction: "TL;DR" })[0]?.prompt, [
    user("TL;DR\n\nA: hi\nB: bye"),
  ]);
  assert.deepEqual(examplesOf(one, shape, { instruction: "" })[0]?.prompt, [user("A: hi\nB: bye")]);
});

Deno.test("examplesOf() takes prompt and completion as they are", () => {
  const one = record({ prompt: " p\n", completion: " c " });
  assert.equal(shapeOf(one), "prompt/completion");
  assert.deepEqual(examplesOf(one, "prompt/completion"), [{ prompt: " p\n", answer: " c ", at }]);
});

Deno.test("examplesOf() answers with the last assistant message, or with each", () => {
  const messages = [system(""), user("a"), assistant("b"), user("c"), assistant("d"), user("e")];
  const one = record({ messages, prompt: "a" });
  assert.equal(shapeOf(one), "messages");
  assert.deepEqual(examplesOf(one, "messages"), [{ prompt: messages.slice(0, 4), answer: "d", at }]);
  assert.deepEqual(examplesOf(one, "messages", { answers: "each" }), [
    { prompt: messages.slice(0, 2), answer: "b", at },
    { prompt: messages.slice(0, 4), answer: "d", at },
  ]);
});

Deno.test("examplesOf() never makes an opening greeting an answer", () => {
  const one = record({ messages: [assistant("hello"), user("a"), assistant("b")] });
  assert.deepEqual(examplesOf(one, "messages", { answers: "each" }).map((e) => e.answer), ["b"]);
  const only = record({ messages: [assistant("hello"), user("a")] });
  assert.throws(
    () => examplesOf(only, "messages"),
    /^RangeError: f\.jsonl line 3: .*no assistant message after another/,
  );
});

Deno.test("examplesOf() names line and field of what is wrong", () => {
  const bad = (value: unknown, message: RegExp) => {
    assert.throws(() => examplesOf(record(value), shapeOf(record(value))), message);
  };
  bad(
    { dialogue: "x" },
    /^TypeError: f\.jsonl line 3: field "summary" is missing; the record has "dialogue"/,
  );
  bad({ dialogue: "x", summary: "" }, /^RangeError: f\.jsonl line 3: field "summary" is empty/);
  bad({ prompt: 3, completion: "x" }, /field "prompt" must be a string but is a number/);
  bad({ text: "x" }, /^TypeError: f\.jsonl line 3: expected the fields .* but found "text"$/);
  bad({}, /but found no fields/);
  bad({ messages: "x" }, /"messages" must be an array but is a string/);
  bad({ messages: [] }, /"messages" is empty/);
  bad({ messages: [user("x"), null] }, /message 1: expected \{ role, content \} but found null/);
  bad({ messages: [user("x"), { role: "assistant" }] }, /message 1: "content" is missing/);
  bad(
    { messages: [user("x"), { role: "assistant", content: [] }] },
    /message 1: "content" must be a string but is an array/,
  );
  bad({ messages: [user("x"), assistant(" ")] }, /message 1: "content" is empty/);
  bad({ messages: [user("x"), { role: "", content: "y" }] }, /message 1: "role" is empty/);
});

Deno.test("readExamples() refuses a second shape by its line, and fields that go missing by name", async () => {
  const first = { prompt: "p", completion: "c" };
  const read = (lines: readonly unknown[]) => withLines(lines, (file) => Array.fromAsync(readExamples(file)));
  assert.equal((await read([first, { ...first, dialogue: "x", summary: "y" }])).length, 2);
  await assert.rejects(
    read([first, first, { dialogue: "x", summary: "y" }]),
    /\.jsonl line 3: expected a prompt\/completion record as before but found dialogue\/summary/,
  );
  await assert.rejects(read([first, { prompt: "p", answer: "y" }]), /line 2: field "completion" is missing/);
});

Deno.test("openExamples() gives by number what readExamples() gives in order", async () => {
  const lines = [
    { messages: [user("a"), assistant("b")] },
    { messages: [user("c"), assistant("d"), user("e"), assistant("f"), user("g"), assistant("h")] },
    { messages: [user("i"), assistant("j")] },
  ];
  for (
    const [answers, expected] of [["last", ["b", "h", "j"]], ["each", ["b", "d", "f", "h", "j"]]] as const
  ) {
    await withLines(lines, async (file) => {
      const inOrder = await Array.fromAsync(readExamples(file, { answers }));
      const visited: Example[] = [];
      using opened = await openExamples(file, { answers }, (example, n) => visited[n] = example);
      assert.deepEqual(inOrder.map((example) => example.answer), expected);
      assert.deepEqual(visited, inOrder);
      const byNumber = Array.from({ length: opened.count }, (_, n) => opened.example(opened.count - 1 - n));
      assert.deepEqual(byNumber.reverse(), inOrder);
      assert.throws(() => opened.example(opened.count), /Cannot read example/);
    });
  }
});
