/** Groups of texts: read from their file again whenever they are needed. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { groupRows } from "../../train/objectives/group_rows.ts";
import { openGroups } from "../../train/groups.ts";

async function written(text: string | Uint8Array, suffix: string): Promise<string> {
  const path = await Deno.makeTempFile({ prefix: "graft-groups-", suffix });
  await Deno.writeFile(path, typeof text === "string" ? new TextEncoder().encode(text) : text);
  return path;
}

const letters = (text: string): readonly number[] => [...text].map((letter) => letter.charCodeAt(0));

Deno.test("groups stay on disk: what is written over them is what the next batch has", async () => {
  const lines = (a: string, b: string) =>
    `{"anchor": "${a}", "positive": "x"}\n{"anchor": "${b}", "positive": "yz"}\n`;
  const path = await written(lines("a", "b"), ".jsonl");
  using groups = await openGroups(path, ["triplet", "pair"]);
  const rows = groupRows(groups, letters);
  assert.deepEqual([rows.count, [...rows.lengths as Uint32Array], groups.shape], [2, [1, 2], "pair"]);
  assert.deepEqual(rows.batch([1, 0], 0).inputIds, [[98, 0], [97, 0], [121, 122], [120, 0]]);
  await Deno.writeTextFile(path, lines("c", "d"));
  assert.deepEqual(rows.batch([0], 0).inputIds, [[99], [120]]);
  await Deno.remove(path);
});

Deno.test("every form of file has the same groups", async () => {
  const csv = "sentence1,sentence2,score\ncat,kitten,0.5\ndog,map,-1\n";
  for (
    const [text, suffix] of [[csv, ".csv"], [gzipSync(csv), ".csv.gz"], [
      csv.replaceAll(",", "\t"),
      ".tsv",
    ]] as const
  ) {
    const path = await written(text, suffix);
    using groups = await openGroups(path, ["scored pair"]);
    const { batch } = groupRows(groups, letters);
    assert.deepEqual(batch([1, 0], 0).similarities, [-1, 0.5], suffix);
    await Deno.remove(path);
  }
});

Deno.test("a row of another shape, an empty text and a score that is no number are told with their place", async () => {
  const refused = async (line: string, message: RegExp) => {
    const path = await written(`{"anchor": "a", "positive": "b"}\n${line}\n`, ".jsonl");
    await assert.rejects(() => openGroups(path, ["triplet", "pair"]), message);
    await Deno.remove(path);
  };
  await refused('{"anchor": "a"}', /line 2: field "positive" is missing/);
  await refused('{"anchor": "a", "positive": ""}', /line 2: field "positive" is empty/);
  await refused('{"text": "a", "label": 1}', /line 2: expected a pair record as before but found label/);
  const path = await written("sentence1,sentence2,score\na,b,high\n", ".csv");
  await assert.rejects(
    () => openGroups(path, ["scored pair"]),
    /row 1: field "score" must be a number but is "high"/,
  );
  await assert.rejects(
    () => openGroups(path, ["pair"]),
    /expected the fields anchor, positive but found scored pair/,
  );
  await Deno.remove(path);
});
