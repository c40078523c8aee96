/** Sizes of rows are those that one thread counts, whoever counts them, and whenever. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CountedRows, countedRows, type Counting, FEW } from "../../../cli/tokenizing/counted_rows.ts";
import { loadTokenizer, type Tokenizer } from "../../../formats/tokenizer.ts";
import { type ExampleFile, openExamples, type Rows, rowsOf } from "../../../train/mod.ts";
import { worldsOf } from "../../support/worlds.ts";

const made = await loadTokenizer("embedded/model");
const options = { maxLength: 32, longPrompt: { keep: "head" as const } };
const COUNT = FEW + 1000;

const lineOf = (n: number, completion: string): string =>
  JSON.stringify({ prompt: "late ".repeat(n % 50) + n, completion });

/** A file of examples, and how it is counted; some of them without an answer. */
function withExamples(
  wrong: readonly number[],
  use: (examples: ExampleFile, counting: Counting, folder: string) => Promise<void>,
): () => Promise<void> {
  return async () => {
    const folder = mkdtempSync(join(tmpdir(), "graft-counted-"));
    const path = `${folder}/rows.jsonl`;
    const long = "parcel ".repeat(64);
    const lines = Array.from({ length: COUNT }, (_, n) => lineOf(n, wrong.includes(n) ? long : `yes ${n}`));
    writeFileSync(path, lines.join("\n"));
    const examples = await openExamples(path);
    try {
      const counting: Counting = { decides: {}, sha256: "abc", early: false, threads: 2 };
      await use(examples, counting, folder);
    } finally {
      examples[Symbol.dispose]();
      rmSync(folder, { recursive: true });
    }
  };
}

const sizesOf = ({ lengths, targets }: Rows): readonly (readonly number[])[] => [
  Array.from(lengths),
  Array.from(targets),
];

/** A tokenizer that says how many texts it was given. */
function heard(): { readonly tokenizer: Tokenizer; readonly texts: () => number } {
  let texts = 0;
  return {
    tokenizer: { ...made, encode: (text, options) => (texts++, made.encode(text, options)) },
    texts: () => texts,
  };
}

Deno.test(
  "threads count what one thread counts",
  withExamples([], async (examples, counting) => {
    const { tokenizer, texts } = heard();
    const told: number[] = [];
    using counted = await countedRows(examples, tokenizer, options, {
      ...counting,
      counted: (n) => told.push(n),
    });
    assert.equal(texts(), 0, "this thread encoded texts");
    assert.equal(told.at(-1), COUNT);
    assert.deepEqual(sizesOf(counted.rows), sizesOf(rowsOf(examples, made, options)));
    assert.deepEqual(counted.rows.tokens(7), rowsOf(examples, made, options).tokens(7));
  }),
);

Deno.test(
  "a run that begins early waits for the rows that it needs alone",
  withExamples([], async (examples, counting) => {
    const { tokenizer, texts } = heard();
    using counted = await countedRows(examples, tokenizer, options, { ...counting, early: true });
    const { rows } = counted;
    assert.deepEqual([rows.lengths[5], texts()], [0, 0]);
    await rows.sized!([5, 9]);
    assert.equal(texts(), 4); // two prompts and two answers
    const all = sizesOf(rowsOf(examples, made, options));
    assert.deepEqual([rows.lengths[5], rows.targets[9]], [all[0]![5], all[1]![9]]);
    await rows.sized!();
    assert.equal(texts(), 4);
    assert.deepEqual(sizesOf(rows), all);
  }),
);

for (const early of [false, true]) {
  Deno.test(
    `the first row that cannot be encoded is named, ${early ? "by whoever waits for it" : "at once"}`,
    withExamples([2600, 900, 2100], async (examples, counting) => {
      const counted = async (): Promise<void> => {
        using found = await countedRows(examples, made, options, { ...counting, early });
        await found.rows.sized?.();
      };
      await assert.rejects(counted, /rows\.jsonl line 901: the answer has \d+ tokens/);
    }),
  );
}

Deno.test(
  "sizes are kept for the next run, and counted again when they are damaged or anything else is",
  withExamples([], async (examples, given, folder) => {
    const kept = `${folder}/sizes`;
    const all = sizesOf(rowsOf(examples, made, options));
    const countingOf = async (counting: Counting): Promise<boolean> => {
      let seen = false;
      using counted = await countedRows(examples, made, options, { ...counting, counted: () => seen = true });
      assert.deepEqual(sizesOf(counted.rows), all);
      return seen;
    };
    const counting = { ...given, folder: kept };
    assert.equal(await countingOf(counting), true);
    assert.equal(await countingOf(counting), false);
    assert.equal(await countingOf({ ...counting, folder: undefined }), true);
    assert.equal(await countingOf({ ...counting, sha256: "def" }), true);
    assert.equal(await countingOf({ ...counting, decides: { instruction: "" } }), true);
    assert.equal(readdirSync(kept).length, 3);
    for (const name of readdirSync(kept)) {
      const bytes = readFileSync(join(kept, name));
      bytes[100]! ^= 1;
      writeFileSync(join(kept, name), bytes);
    }
    assert.equal(await countingOf(counting), true);
    assert.equal(await countingOf(counting), false);
    for (const name of readdirSync(kept)) writeFileSync(join(kept, name), "");
    assert.equal(await countingOf(counting), true);
  }),
);

Deno.test(
  "each rank counts its share, and all know all",
  withExamples([], async (examples, counting) => {
    const limited = { ...examples, count: 100, example: (n: number) => examples.example(n) };
    const heardBy: (() => number)[] = [];
    const counted = await Promise.all(
      worldsOf(3).map((world): Promise<CountedRows> => {
        const { tokenizer, texts } = heard();
        heardBy.push(texts);
        return countedRows(limited, tokenizer, options, { ...counting, world });
      }),
    );
    const all = sizesOf(rowsOf(limited, made, options));
    for (const { rows } of counted) assert.deepEqual(sizesOf(rows), all);
    for (const texts of heardBy) assert.ok(texts() >= 66 && texts() <= 110, `${texts()} texts`); // some twice, to cut them
  }),
);

Deno.test(
  "ranks with other data count all of theirs",
  withExamples([], async (examples, counting) => {
    const limited = { ...examples, count: 20, example: (n: number) => examples.example(n) };
    const shifted = { ...limited, example: (n: number) => examples.example(n + 7) };
    const [one, other] = worldsOf(2);
    const counted = await Promise.all([
      countedRows(limited, made, options, { ...counting, world: one! }),
      countedRows(shifted, made, options, { ...counting, world: other!, sha256: "def" }),
    ]);
    assert.deepEqual(
      counted.map(({ rows }) => sizesOf(rows)),
      [limited, shifted].map((file) => sizesOf(rowsOf(file, made, options))),
    );
  }),
);
