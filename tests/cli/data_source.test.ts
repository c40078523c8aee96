/** Where `--data` may point. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { dataSource, localData } from "../../cli/data_source.ts";
import { inFolder } from "../support/folder.ts";

Deno.test("dataSource() keeps a path, also one that a hub id could be", () =>
  inFolder(async (folder) => {
    writeFileSync(`${folder}/a.jsonl`, "{}");
    assert.equal(await dataSource(`${folder}/a.jsonl`), `${folder}/a.jsonl`);
    assert.equal(await dataSource("tests/cli"), "tests/cli");
    assert.equal(await dataSource("nowhere.jsonl"), "nowhere.jsonl");
  }));

Deno.test("localData() leaves flags without data as they are", async () => {
  assert.deepEqual(await localData({ rank: 4 } as { rank: number; data?: string }), { rank: 4 });
});
