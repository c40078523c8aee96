/** Data files of every form, beside what Python's writers of them wrote. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { readJsonl } from "../../../train/jsonl.ts";
import { readRecords } from "../../../train/records/read.ts";
import { inFolder } from "../../support/folder.ts";
import { GOLDEN } from "../../support/golden.ts";

const FOLDER = `${GOLDEN}data_files/same`;
const PACKED = ["", ".gz", ".zst"];
const values = (file: string): Promise<unknown[]> => Array.fromAsync(readRecords(file), ({ value }) => value);
const expected = await Array.fromAsync(readJsonl(`${FOLDER}/records.jsonl`), ({ value }) => value);

for (const form of ["jsonl", "json", "csv", "tsv"]) {
  for (const packed of PACKED) {
    Deno.test(`readRecords() reads records.${form}${packed}`, async () => {
      assert.deepEqual(await values(`${FOLDER}/records.${form}${packed}`), expected);
    });
  }
}

for (const compression of ["none", "snappy", "gzip", "brotli", "lz4", "zstd"]) {
  Deno.test(`readRecords() reads Parquet compressed by ${compression}`, async () => {
    assert.deepEqual(await values(`${FOLDER}/records_${compression}.parquet`), expected);
  });
}

Deno.test("readRecords() reads nested columns of Parquet, and integers that a number holds", async () => {
  assert.deepEqual(
    await values(`${GOLDEN}data_files/nested/records.parquet`),
    await values(`${GOLDEN}data_files/nested/records.jsonl`),
  );
});

/** What reading a file with this name and content says. */
const said = (name: string, content: string | Uint8Array): Promise<string> =>
  inFolder(async (folder) => {
    writeFileSync(`${folder}/${name}`, content);
    const error = await values(`${folder}/${name}`).then((found) => JSON.stringify(found), (error: Error) =>
      error);
    return typeof error === "string" ? error : `${error}`.replaceAll(folder, "F");
  });

Deno.test("readRecords() names file and row of what is wrong in a table", async () => {
  assert.match(
    await said("a.csv", "a,b\n1,2\n3\n"),
    /SyntaxError: F\/a.csv row 2: it has 1 cells but the heading has 2/,
  );
  assert.match(
    await said("a.csv", "a,b\n1,2\n3,4,5\n"),
    /SyntaxError: F\/a.csv row 2: it has 3 cells/,
  );
  assert.match(
    await said("a.csv", 'a,b\n1,"2\n3,4\n'),
    /SyntaxError: F\/a.csv row 1: a quote does not close/,
  );
  assert.match(
    await said("a.csv", "a,b,a\n1,2,3\n"),
    /RangeError: .*two columns of its heading are named "a"/,
  );
  assert.match(
    await said("a.csv", Uint8Array.of(97, 10, 98, 10, 0xC3, 0x28, 10)),
    /F\/a.csv line 3: the bytes are not UTF-8/,
  );
  assert.match(await said("a.tsv", "a\tb\n"), /RangeError: Cannot use F\/a.tsv: it has no records/);
  assert.equal(await said("a.csv", '\ufeffa,b\r\n"x\r\ny","q""z"\r\n\r\n'), '[{"a":"x\\r\\ny","b":"q\\"z"}]');
});

Deno.test("readRecords() names file and row of what is wrong in JSON", async () => {
  assert.match(await said("a.json", '[{"a":1},{"a":}]'), /SyntaxError: F\/a.json row 2: malformed JSON/);
  assert.match(
    await said("a.json", '[{"a":1},2]'),
    /TypeError: F\/a.json row 2: expected a JSON object but found a number/,
  );
  assert.match(await said("a.json", '[{"a":1}'), /SyntaxError: F\/a.json row \d: the JSON array is cut off/);
  assert.match(
    await said("a.json", '[{"a":1}] {"b":2}'),
    /SyntaxError: F\/a.json: something follows the JSON array/,
  );
  assert.match(await said("a.json", " [ ] "), /RangeError: Cannot use .*no records/);
  assert.equal(
    await said("a.json", '\ufeff [{"a":"],{\\"["}, {"b":[[1]]}]\n'),
    '[{"a":"],{\\"["},{"b":[[1]]}]',
  );
});

Deno.test("readRecords() takes .json for JSON Lines, or for an object with a list of records", async () => {
  assert.equal(await said("a.json", '{"a":1}\n{"a":2}\n'), '[{"a":1},{"a":2}]');
  assert.equal(await said("a.json", '{"data": [{"a":1}, {"a":2}]}'), '[{"a":1},{"a":2}]');
  assert.equal(await said("a.json", '{\n  "data": [\n {"a":1}\n ]\n}\n'), '[{"a":1}]');
  assert.equal(await said("a.json", '{"messages": [{"role":"user"}]}'), '[{"messages":[{"role":"user"}]}]');
  assert.match(await said("a.json", '{"a":1}\n{"a":\n'), /F\/a.json line 2: malformed JSON/);
});

Deno.test("readRecords() says that compressed or Parquet bytes are damaged", async () => {
  const cut = (name: string): Uint8Array => Deno.readFileSync(`${FOLDER}/${name}`).slice(0, -9);
  assert.match(
    await said("a.jsonl.gz", cut("records.jsonl.gz")),
    /SyntaxError: Cannot unpack F\/a.jsonl.gz: gzip/,
  );
  assert.match(
    await said("a.jsonl.zst", cut("records.jsonl.zst")),
    /SyntaxError: Cannot unpack F\/a.jsonl.zst: zstd/,
  );
  assert.match(
    await said("a.parquet", cut("records_snappy.parquet")),
    /SyntaxError: Cannot read F\/a.parquet as Parquet/,
  );
  assert.match(await said("a.parquet", "text"), /SyntaxError: Cannot read F\/a.parquet as Parquet/);
});

Deno.test("readRecords() reads a folder's data files by name and leaves others out", () =>
  inFolder(async (folder) => {
    mkdirSync(`${folder}/.cache`);
    mkdirSync(`${folder}/part`);
    writeFileSync(`${folder}/README.md`, "# data");
    writeFileSync(`${folder}/.cache/x.jsonl`, "{}");
    copyFileSync(`${FOLDER}/records_zstd.parquet`, `${folder}/part/b.parquet`);
    copyFileSync(`${FOLDER}/records.csv.gz`, `${folder}/a.csv.gz`);
    assert.deepEqual(await values(folder), [...expected, ...expected]);
  }));

Deno.test("readRecords() says that a folder has no data", () =>
  inFolder(async (folder) => {
    await assert.rejects(() => values(folder), /the folder has no \.jsonl, \.json, \.csv/);
  }));
