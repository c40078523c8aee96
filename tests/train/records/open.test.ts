/** Records by index, in any form of file. */
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { key } from "../../../core/mod.ts";
import { openExamples } from "../../../train/example_file.ts";
import { openRecords } from "../../../train/records/open.ts";
import { permutation } from "../../../train/shuffle.ts";
import { inFolder } from "../../support/folder.ts";
import { GOLDEN } from "../../support/golden.ts";

const FOLDER = `${GOLDEN}data_files/same`;

Deno.test("a shuffle meets the same examples in every form of file", async () => {
  const order = permutation(60, key(5));
  const shuffled = async (name: string): Promise<readonly unknown[]> => {
    using examples = await openExamples(`${FOLDER}/${name}`);
    return Array.from(order, (n) => {
      const { prompt, answer } = examples.example(n);
      return { prompt, answer };
    });
  };
  const wanted = await shuffled("records.jsonl");
  for (const name of ["records.json", "records.csv.gz", "records.tsv.zst", "records_snappy.parquet"]) {
    assert.deepEqual(await shuffled(name), wanted, name);
  }
});

Deno.test("openRecords() names file and row, and removes its copy", async () => {
  const copies = (): number =>
    readdirSync(tmpdir()).filter((name) => name.startsWith("graft-records-")).length;
  const before = copies();
  {
    using records = await openRecords(`${FOLDER}/records.csv`);
    assert.deepEqual([records.count, records.record(59).line, records.record(59).unit], [60, 60, "row"]);
    assert.throws(() => records.record(60), /it has records 0 to 59/);
  }
  await assert.rejects(() =>
    openRecords(`${FOLDER}/records.csv`, () => {
      throw new RangeError("no");
    }), /no/);
  assert.equal(copies(), before);
});

Deno.test("openRecords() gives any JSON value of an array back", () =>
  inFolder((folder) =>
    fc.assert(fc.asyncProperty(
      fc.array(fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue()), { minLength: 1 }),
      async (list) => {
        const wanted = JSON.parse(JSON.stringify(list));
        writeFileSync(`${folder}/a.json`, JSON.stringify(list, null, list.length % 3));
        using records = await openRecords(`${folder}/a.json`);
        const found = Array.from({ length: records.count }, (_, n) => records.record(n).value);
        assert.deepEqual(
          found.map((value) => JSON.stringify(value)),
          wanted.map((value: unknown) => JSON.stringify(value)),
        );
      },
    ))
  ));
