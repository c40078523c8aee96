import assert from "node:assert/strict";
import { type Example, examplesOf, readExamples } from "../../train/examples.ts";
import { shapeOf } from "../../train/record_shapes.ts";
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

Deno.test("examplesOf() learns each assistant message in one row, or the last", () => {
  const messages = [system(""), user("a"), assistant("b"), user("c"), assistant("d"), user("e")];
  const one = record({ messages, prompt: "a" });
  const shared = { prompt: messages.slice(0, 4), answer: "d", at };
  const [kept] = [messages.slice(0, 5)];
  assert.equal(shapeOf(one), "messages");
  assert.deepEqual(examplesOf(one, "messages"), [{
    ...shared,
    conversation: { messages: kept, learned: [2, 4] },
  }]);
  assert.deepEqual(examplesOf(one, "messages", { answers: "last" }), [
    { ...shared, conversation: { messages: kept, learned: [4] } },
  ]);
});

Deno.test("examplesOf() learns the messages that weight and train name", () => {
  const learned = (...turns: unknown[]) =>
    examplesOf(record({ messages: turns }), "messages")[0]!.conversation;
  const found = learned(user("a"), { ...assistant("b"), weight: 0 }, user("c"), {
    ...assistant("d"),
    weight: 1,
  });
  assert.deepEqual(found?.learned, [3]);
  assert.deepEqual(found?.messages[1], assistant("b")); // the template does not see the weight
  assert.deepEqual(
    learned(user("a"), { ...assistant("b"), train: true }, user("c"), { ...assistant("d"), train: false }),
    { messages: [user("a"), assistant("b")], learned: [1] },
  );
  assert.throws(
    () => learned(user("a"), { ...assistant("b"), weight: 0 }),
    /f\.jsonl line 3: no message .* is trained/,
  );
  assert.throws(
    () => learned(user("a"), { ...assistant("b"), weight: 0.5 }),
    /message 1: "weight" must be 0 or 1 but is 0.5/,
  );
  assert.throws(
    () => learned(user("a"), { ...assistant("b"), train: "no" }),
    /message 1: "train" must be true or false/,
  );
});

Deno.test("examplesOf() never makes an opening greeting an answer", () => {
  const one = record({ messages: [assistant("hello"), user("a"), assistant("b")] });
  assert.deepEqual(examplesOf(one, "messages")[0]?.conversation?.learned, [2]);
  const only = record({ messages: [assistant("hello"), user("a")] });
  assert.throws(
    () => examplesOf(only, "messages"),
    /^RangeError: f\.jsonl line 3: .*no assistant message after another/,
  );
});

Deno.test("examplesOf() reads ShareGPT's conversations, their tools and calls", () => {
  const one = record({
    system: "Be brief.",
    tools: '[{"name": "clock"}]',
    conversations: [
      { from: "human", value: "time?" },
      { from: "function_call", value: '{"name": "clock", "arguments": {}}' },
      { from: "observation", value: "" },
      { from: "gpt", value: "noon", weight: null },
    ],
  });
  assert.equal(shapeOf(one), "sharegpt");
  assert.deepEqual(examplesOf(one, "sharegpt")[0]?.conversation, {
    messages: [
      system("Be brief."),
      user("time?"),
      { ...assistant(""), tool_calls: [{ type: "function", function: { name: "clock", arguments: {} } }] },
      { role: "tool", content: "" },
      assistant("noon"),
    ],
    learned: [2, 4],
    tools: [{ name: "clock" }],
  });
  const bad = (turn: unknown, message: RegExp) =>
    assert.throws(() => examplesOf(record({ conversations: [turn] }), "sharegpt"), message);
  bad({ from: "me", value: "x" }, /message 0: expected "from" to be one of human, .* but found "me"/);
  bad({ value: "x" }, /expected "from" .* but found it is missing/);
  bad({ from: "gpt", value: 3 }, /message 0: "value" must be a string but is a number/);
  bad({ from: "function_call", value: "clock()" }, /expected JSON of \{ name, arguments \}/);
});

Deno.test("examplesOf() reads Alpaca's instructions and raw text", () => {
  const alpaca = { instruction: "Add.", input: "1 1", output: "2", system: "Be exact." };
  assert.equal(shapeOf(record(alpaca)), "alpaca");
  assert.deepEqual(examplesOf(record(alpaca), "alpaca"), [
    { prompt: [system("Be exact."), user("Add.\n\n1 1")], answer: "2", at },
  ]);
  assert.deepEqual(examplesOf(record({ instruction: "Add.", input: "", output: "2" }), "alpaca")[0]?.prompt, [
    user("Add."),
  ]);
  assert.deepEqual(examplesOf(record({ text: "x y" }), "text"), [{
    prompt: "",
    answer: "x y",
    text: true,
    at,
  }]);
});

Deno.test("readExamples() takes a shape by order, and fields by other names", async () => {
  const rows = [{ question: "1 + 1 =", reply: "2", text: "x" }];
  const fields = { prompt: "question", completion: "reply" };
  const read = (options: Parameters<typeof readExamples>[1]) =>
    withLines(
      rows,
      (file) => Array.fromAsync(readExamples(file, options), ({ prompt, answer }) => [prompt, answer]),
    );
  assert.deepEqual(await read({ fields }), [["1 + 1 =", "2"]]);
  assert.deepEqual(await read({}), [["", "x"]]);
  assert.deepEqual(await read({ format: "prompt/completion", fields }), [["1 + 1 =", "2"]]);
  await assert.rejects(
    read({ format: "alpaca" }),
    /expected a alpaca record as before|"instruction" is missing/,
  );
  await assert.rejects(
    read({ fields: { prompt: "query" } }),
    /line 1: field "query", which is to be "prompt", is missing; the record has "question"/,
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
  bad({ words: "x" }, /^TypeError: f\.jsonl line 3: expected the fields .* but found "words"; rename/);
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
    const [answers, expected] of [["last", [[1], [5], [1]]], ["each", [[1], [1, 3, 5], [1]]]] as const
  ) {
    await withLines(lines, async (file) => {
      const inOrder = await Array.fromAsync(readExamples(file, { answers }));
      const visited: Example[] = [];
      using opened = await openExamples(file, { answers }, (example, n) => visited[n] = example);
      assert.deepEqual(inOrder.map((example) => example.conversation?.learned), expected);
      assert.deepEqual(visited, inOrder);
      const byNumber = Array.from({ length: opened.count }, (_, n) => opened.example(opened.count - 1 - n));
      assert.deepEqual(byNumber.reverse(), inOrder);
      assert.throws(() => opened.example(opened.count), /Cannot read example/);
    });
  }
});
