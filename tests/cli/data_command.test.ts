/** `graft data`: what a file holds, and its rows as they are trained. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { graft, temporaryFolder, tinyModel } from "./tiny.ts";

const messages = (...turns: (readonly [string, string])[]) => ({
  messages: turns.map(([role, content]) => ({ role, content })),
});

Deno.test("graft data tells sizes, faults and rows as they are trained", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  const data = `${folder.path}/data.jsonl`;
  const rows = [
    messages(["user", "cat"], ["assistant", "dog"], ["user", "sun"], ["assistant", "sea"]),
    messages(["user", "tea"], ["assistant", "map"]),
    messages(["user", "tea"], ["assistant", "map"]),
    messages(["user", "tea"], ["assistant", " "]),
    messages(["user", "a".repeat(70)], ["assistant", "map"]),
    messages(["user", "tea"]),
  ];
  writeFileSync(data, rows.map((row) => JSON.stringify(row)).join("\n"));
  const { code, out, err } = await graft(["data", data, "-m", model, "--rows", "1"]);
  assert.equal(code, 0, err);
  assert.match(out, /data\.jsonl: 4 rows to train, of shape messages \(messages\)/);
  assert.match(out, /1 row is longer than the 64 tokens of a row:\n {2}.*line 5/);
  assert.match(out, /1 row repeats an earlier row:\n {2}.*line 3 is .*line 2/);
  assert.match(
    out,
    /1 row has an empty field:\n {2}.*line 4: field "messages", message 1: "content" is empty/,
  );
  assert.match(out, /1 row cannot be trained:\n {2}.*line 6: .*no assistant message/);
  const low = (text: string) => [...text].map((letter) => `${letter}\u0332`).join("");
  // Each answer is learned where it stands; the last one ends with the end token in place of the template's line end.
  const line = "\u21b5\u0332";
  assert.ok(out.includes(`u:cat\na:${low("dog")}${line}\nu:sun\na:${low("sea</s>")}`), out);
  const json = JSON.parse((await graft(["data", data, "-m", model, "--json"])).out);
  assert.deepEqual([json.rows, json.shape, json.tooLong.length, json.empty.length], [4, "messages", 1, 1]);
  assert.equal(json.trainedTokens.most, 8); // "dog" and a line end, "sea" and the end token
});

Deno.test("graft data counts classes, also under other names", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  const data = `${folder.path}/data.csv`;
  writeFileSync(data, "review,stars\ncat,good\ndog,good\n");
  const read = (...more: string[]) => graft(["data", data, "-m", model, ...more]);
  assert.match(
    (await read("--fields", "text=review,label=stars")).out,
    /1 class, "good": a classifier needs two/,
  );
  assert.match(
    (await read("--fields", "text=review", "--format", "text")).out,
    /2 rows to train, of shape text/,
  );
  const refused = await read();
  assert.equal(refused.code, 1);
  assert.match(refused.err, /data\.csv row 1: expected the fields .* but found "review", "stars"/);
  assert.match((await read("--fields", "text")).err, /Expected names such as prompt=question/);
});

Deno.test("graft data tells the answers of preferences apart, and shows both as they are trained", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  const data = `${folder.path}/pairs.jsonl`;
  const pair = (prompt: string, chosen: string, rejected: string) => ({ prompt, chosen, rejected });
  const rows = [
    pair("sun", " sea", " a map"),
    pair("sun", " sea", " a map"),
    pair("tea", " cat", " cat"),
    pair("tea", " ☃", " ☂"), // both unknown
    pair("map", "", " cat"),
    { chosen: "ab", rejected: "cd" },
    pair("a".repeat(70), " cat", " dog"),
  ];
  writeFileSync(data, rows.map((row) => JSON.stringify(row)).join("\n"));
  const { code, out, err } = await graft(["data", data, "-m", model, "--rows", "1"]);
  assert.equal(code, 0, err);
  assert.match(out, /3 rows to train, of shape preference \(chosen, rejected\)/);
  // An answer is its letters and the end token; the prompt is what stands before it.
  const cells = (name: string): readonly string[] =>
    out.split("\n").find((line) => line.startsWith(name))!.trim().split(/\s+/).slice(1);
  assert.deepEqual(cells("prompt "), ["3", "3", "3", "70", "70", "70"]);
  assert.deepEqual(cells("chosen "), ["5", "5", "5", "5", "5", "5"]);
  assert.deepEqual(cells("rejected "), ["5", "5", "7", "7", "7", "7"]);
  assert.match(
    out,
    /\n2 rows have the same answer twice:\n.*line 3: .*are the same\n.*line 4: .*same tokens/,
  );
  assert.match(out, /1 row repeats an earlier row:\n {2}.*line 2 is .*line 1/);
  assert.match(out, /1 row has an empty field:\n {2}.*line 5: field "chosen" is empty/);
  assert.match(out, /1 row cannot be trained:\n {2}.*line 6: a preference without a prompt/);
  assert.match(out, /1 row is longer than the 64 tokens of a row:\n {2}.*line 7/);
  const low = (text: string) => [...text].map((letter) => `${letter}\u0332`).join("");
  assert.ok(out.includes(`chosen: sun${low(" sea</s>")}\nrejected: sun${low(" a map</s>")}`), out);
  const json = JSON.parse((await graft(["data", data, "-m", model, "--json"])).out);
  assert.deepEqual([json.rows, json.equal.length, json.tokensByText.rejected.most], [3, 2, 7]);
  // Both texts count: 2 · (8 + 10) + 75 + 75 tokens, of which 2 · (5 + 7) + 5 + 5 are trained.
  assert.deepEqual(json.totalTokens, { all: 186, trained: 34 });
  assert.deepEqual(json.shown[2].texts.map((text: { inputIds: unknown[] }) => text.inputIds.length), [
    64,
    64,
  ]);
});

Deno.test("graft data tells the texts of triplets, pairs and scored pairs apart", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  const data = `${folder.path}/data.csv`;
  const read = async (text: string, ...more: string[]) => {
    writeFileSync(data, text);
    return JSON.parse((await graft(["data", data, "-m", model, "--json", ...more])).out);
  };
  const triplets = await read("anchor,positive,negative\ncat,dogs,a\ncat,dogs,a\ncat,dogs,b\n");
  assert.deepEqual([triplets.shape, triplets.rows, triplets.duplicates.length], ["triplet", 3, 1]);
  assert.deepEqual(Object.keys(triplets.tokensByText), ["anchor", "positive", "negative"]);
  assert.equal(triplets.tokensByText.positive.most - triplets.tokensByText.anchor.most, 1);
  assert.equal(triplets.totalTokens.trained, 0);
  const pairs = await read(`query,found\ncat,${"a".repeat(80)}\n`, "--fields", "anchor=query,positive=found");
  assert.deepEqual([pairs.shape, pairs.tooLong.length, pairs.shown[0].texts[1].inputIds.length], [
    "pair",
    1,
    64,
  ]);
  const scored = await read("sentence1,sentence2,score\ncat,dog,0.5\ncat,dog,high\n");
  assert.deepEqual([scored.shape, scored.rows, scored.shown[0].label], ["scored pair", 1, "0.5"]);
  assert.match(scored.refused[0], /row 2: field "score" must be a number but is "high"/);
});
