import assert from "node:assert/strict";
import fc from "fast-check";
import { indexJsonl, type JsonlRecord, openJsonl, readJsonl, textField } from "../../train/jsonl.ts";

/** Runs f on a file with these bytes. */
async function withFile<T>(content: string | Uint8Array, f: (file: string) => Promise<T>): Promise<T> {
  const file = await Deno.makeTempFile({ suffix: ".jsonl" });
  try {
    await Deno.writeFile(file, typeof content === "string" ? new TextEncoder().encode(content) : content);
    return await f(file);
  } finally {
    await Deno.remove(file);
  }
}

const readAll = (content: string | Uint8Array): Promise<JsonlRecord[]> =>
  withFile(content, (file) => Array.fromAsync(readJsonl(file)));

/** The error must name the file and this line. */
const rejects = (content: string | Uint8Array, type: ErrorConstructor, message: RegExp): Promise<void> =>
  assert.rejects(() => readAll(content), (error: Error) => {
    assert.ok(error instanceof type, `${error}`);
    assert.match(error.message, /\.jsonl/);
    assert.match(error.message, message);
    return true;
  });

Deno.test("readJsonl() accepts a byte order mark, CRLF, blank lines and a missing last line feed", async () => {
  const records = await readAll('\ufeff{"a":1}\r\n\r\n  \t\n{"a":"ü\u2028"}\r\n{"a":3}');
  assert.deepEqual(records.map(({ line, value }) => [line, value]), [
    [1, { a: 1 }],
    [4, { a: "ü\u2028" }],
    [5, { a: 3 }],
  ]);
});

Deno.test("readJsonl() names file and line of what is wrong", async () => {
  await rejects('{"a":1}\n\n{"a":', SyntaxError, /line 3: malformed JSON/);
  await rejects('{"a":1}\n[1]\n', TypeError, /line 2: expected a JSON object but found an array/);
  await rejects("null\n", TypeError, /line 1: expected a JSON object but found null/);
  await rejects('{"a":1}\n"x"\n', TypeError, /line 2: expected a JSON object but found a string/);
  await rejects('{"a":1}\n\ufeff{"a":1}\n', SyntaxError, /line 2: malformed JSON/);
  await rejects(
    Uint8Array.of(123, 125, 10, 34, 0xC3, 0x28, 34),
    SyntaxError,
    /line 2: the bytes are not UTF-8/,
  );
});

Deno.test("readJsonl() refuses a file without records", async () => {
  for (const content of ["", "\n\n", "\ufeff", "\ufeff \r\n"]) {
    await rejects(content, RangeError, /no records/);
  }
  await assert.rejects(() => Array.fromAsync(readJsonl("no/such.jsonl")), /no\/such\.jsonl/);
});

Deno.test("readJsonl() and indexJsonl() name what is no file to read records from", async () => {
  const folder = await Deno.makeTempDir();
  for (const read of [() => Array.fromAsync(readJsonl(folder)), () => indexJsonl(folder)]) {
    await assert.rejects(read, {
      name: "TypeError",
      message: `Cannot read ${folder}: it is a folder; give a file of JSON Lines in it`,
    });
  }
  await Deno.remove(folder);
  if (Deno.build.os === "windows") return; // it has no file that stands for a device
  await assert.rejects(
    () => indexJsonl("/dev/null"),
    /Cannot read \/dev\/null in any order: it is a pipe or a device/,
  );
});

Deno.test("textField() names the field that is missing, empty or no string", () => {
  const record = {
    file: "f.jsonl",
    line: 7,
    value: JSON.parse('{"text":"x","empty":" ","list":[],"none":null}'),
  };
  assert.equal(textField(record, "text"), "x");
  assert.throws(() => textField(record, "empty"), /^RangeError: f\.jsonl line 7: field "empty" is empty$/);
  assert.throws(
    () => textField(record, "list"),
    /^TypeError: f\.jsonl line 7: field "list" must be a string but is an array$/,
  );
  assert.throws(() => textField(record, "none"), /"none" must be a string but is null/);
  assert.throws(() => textField(record, "toString"), /"toString" is missing; the record has "text", "empty"/);
});

Deno.test("openJsonl() reads any record as a sequential read does, in any order, across read buffers", async () => {
  const text = fc.string({ unit: "grapheme", maxLength: 40 });
  const big = fc.integer({ min: 60_000, max: 140_000 }).map((n) => "é".repeat(n));
  const line = fc.oneof(
    { weight: 10, arbitrary: text.map((t) => JSON.stringify({ t })) },
    { weight: 1, arbitrary: big.map((t) => JSON.stringify({ t })) },
    { weight: 2, arbitrary: fc.constantFrom("", "  ", "\t") },
  );
  const file = fc.record({
    lines: fc.array(line, { minLength: 1, maxLength: 20, size: "max" }),
    end: fc.constantFrom("\n", "\r\n"),
    mark: fc.constantFrom("", "\ufeff"),
  });
  await fc.assert(
    fc.asyncProperty(file, async ({ lines, end, mark }) => {
      const all = [...lines, '{"t":"last"}'];
      await withFile(mark + all.join(end), async (path) => {
        const expected = all.flatMap((t, i) => t.trim() === "" ? [] : [[i + 1, JSON.parse(t)]]);
        const seen: unknown[] = [];
        const index = await indexJsonl(path, ({ line, value }) => seen.push([line, value]));
        assert.deepEqual(seen, expected);
        assert.equal(index.count, expected.length);
        using opened = openJsonl(index);
        for (let n = index.count - 1; n >= 0; n--) {
          const { line, value } = opened.record(n);
          assert.deepEqual([line, value], expected[n]);
        }
        const streamed = await Array.fromAsync(readJsonl(path));
        assert.deepEqual(streamed.map(({ line, value }) => [line, value]), expected);
      });
    }),
    { numRuns: 60 },
  );
});

Deno.test("openJsonl() refuses a record that does not exist and a file that has changed", async () => {
  await withFile('{"a":1}\n', async (path) => {
    const index = await indexJsonl(path);
    {
      using opened = openJsonl(index);
      assert.throws(() => opened.record(1), /Cannot read record 1 of .*: it has records 0 to 0/);
      assert.throws(() => opened.record(-1), RangeError);
      assert.throws(() => opened.record(0.5), RangeError);
    }
    await Deno.writeTextFile(path, '{"a":2}\n', { append: true });
    assert.throws(() => openJsonl(index), /it had 8 bytes when indexed and has 16 now/);
  });
});
