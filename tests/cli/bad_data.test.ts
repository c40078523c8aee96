/** Data that nobody can train on: `graft finetune` says what is wrong with it in one sentence, with file and row. */
import assert from "node:assert/strict";
import { cpSync, writeFileSync } from "node:fs";
import { finetuned } from "./in_process.ts";
import { GOLDEN } from "../support/golden.ts";
import { temporaryFolder, tinyModel } from "./tiny.ts";

const WRONG = `${GOLDEN}data_files/wrong`;
const lines = (...records: readonly unknown[]): string =>
  records.map((record) => JSON.stringify(record)).join("\n");
const bytes = (...parts: readonly (string | number)[]): Uint8Array =>
  Uint8Array.from(
    parts.flatMap((part) => typeof part === "number" ? [part] : [...new TextEncoder().encode(part)]),
  );

/** A file's name, what is in it (or where it lies), what is trained for, and what is said. */
const FAULTS: readonly {
  readonly name: string;
  readonly content?: string | Uint8Array;
  readonly objective?: "dpo";
  readonly said: RegExp;
}[] = [
  {
    name: "nested.parquet",
    said: /^F\/nested\.parquet row 1: field "prompt" must be a string but is an object$/,
  },
  {
    name: "changed",
    said: /^F\/changed\/b\.parquet row 1: field "prompt" is missing; the record has "question", "answer"$/,
  },
  {
    name: "retyped",
    said: /^F\/retyped\/b\.parquet row 1: field "prompt" must be a string but is a number$/,
  },
  { name: "twice.parquet", said: /^Cannot read F\/twice\.parquet: two of its columns are named "prompt"$/ },
  {
    name: "not_utf8.parquet",
    said: /^F\/not_utf8\.parquet row 2: column "prompt" holds bytes that are not UTF-8$/,
  },
  {
    name: "inside.csv",
    content: 'prompt,completion\ncat,dog\nsun,a "b" c\n',
    said:
      /^F\/inside\.csv row 2: a quote stands inside a cell: put the whole cell in quotes, and each quote in it twice$/,
  },
  {
    name: "after.csv",
    content: 'prompt,completion\ncat,"dog" sun\n',
    said: /^F\/after\.csv row 1: something follows the quote that closes a cell/,
  },
  {
    name: "heading.csv",
    content: 'prompt,the "answer"\ncat,dog\n',
    said: /^F\/heading\.csv heading: a quote stands inside a cell/,
  },
  {
    name: "open.csv",
    content: 'prompt,completion\ncat,dog\nsun,"sea\n',
    said: /^F\/open\.csv row 2: a quote does not close before the end of the file$/,
  },
  {
    name: "twice.csv",
    content: "prompt,completion,prompt\ncat,dog,sun\n",
    said: /^Cannot read F\/twice\.csv: two columns of its heading are named "prompt"$/,
  },
  {
    name: "bytes.csv",
    content: bytes("prompt,completion\ncat,dog\n", 0xFF, ",sun\n"),
    said: /^F\/bytes\.csv line 3: the bytes are not UTF-8$/,
  },
  {
    name: "bytes.jsonl",
    content: bytes(
      '{"prompt": "cat", "completion": "dog"}\n{"prompt": "',
      0xC3,
      0x28,
      '", "completion": "a"}\n',
    ),
    said: /^F\/bytes\.jsonl line 2: the bytes are not UTF-8$/,
  },
  {
    name: "equal.jsonl",
    content: lines({ prompt: "a", chosen: "b", rejected: "c" }, { prompt: "a", chosen: "b", rejected: "b" }),
    objective: "dpo",
    said: /^F\/equal\.jsonl line 2: "chosen" and "rejected" are the same$/,
  },
  {
    name: "promptless.csv",
    content: "prompt,chosen,rejected\na,b,c\n,sun,tea\n",
    objective: "dpo",
    said: /^F\/promptless\.csv row 2: a preference without a prompt: /,
  },
  {
    name: "one.csv",
    content: `text,label\n${"cat,1\ndog,1\n".repeat(3)}`,
    said: /^Cannot tell classes apart in F\/one\.csv: all examples are "1", from F\/one\.csv row 1 on$/,
  },
  {
    name: "one.jsonl",
    content: lines(...Array.from({ length: 5 }, () => ({ tokens: ["cat", "dog"], tags: ["O", "O"] }))),
    said: /^Cannot tell classes apart in F\/one\.jsonl: all examples are "O", from F\/one\.jsonl line 1 on$/,
  },
  {
    name: "alike.jsonl",
    content: lines(...Array.from({ length: 5 }, () => ({ text: "cat", labels: ["a", "b"] }))),
    said:
      /^Cannot tell classes apart in F\/alike\.jsonl: all examples are "a, b", from F\/alike\.jsonl line 1 on$/,
  },
  {
    name: "called.jsonl",
    content: lines({
      messages: [
        { role: "user", content: "tea?" },
        {
          role: "assistant",
          content: null,
          tool_calls: [{ type: "function", function: { name: "brew", arguments: {} } }],
        },
      ],
    }),
    said:
      /^F\/called\.jsonl line 1: the chat template drops the call of "brew" in message 1: it knows no tools$/,
  },
];

for (const { name, content, objective, said } of FAULTS) {
  Deno.test(`graft finetune says what is wrong with ${name}`, async () => {
    using folder = temporaryFolder();
    const data = `${folder.path}/${name}`;
    if (content === undefined) cpSync(`${WRONG}/${name}`, data, { recursive: true });
    else writeFileSync(data, content);
    await assert.rejects(
      () =>
        finetuned({
          ...{
            model: tinyModel(folder.path),
            data,
            output: `${folder.path}/out`,
            method: "lora",
            heldOut: 0,
          },
          ...objective && { objective },
        }),
      (error: Error) => {
        assert.match(error.message.replaceAll(folder.path, "F"), said);
        return true;
      },
    );
  });
}

Deno.test("quotes, line ends and a byte order mark inside a table are read as they stand", async () => {
  using folder = temporaryFolder();
  const data = `${folder.path}/good.csv`;
  writeFileSync(data, '\ufeffprompt,completion\r\n"a ""cat"",\nsun",dog\r\n"sea","tea\r\n"\r\n');
  const { steps } = await finetuned({
    ...{
      model: tinyModel(folder.path),
      data,
      output: `${folder.path}/out`,
      method: "lora",
      heldOut: 0,
      maxSteps: 1,
    },
  });
  assert.equal(steps, 1);
});
