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
  assert.match(out, /1 rows longer than the 64 tokens of a row:\n {2}.*line 5/);
  assert.match(out, /1 rows repeat an earlier row:\n {2}.*line 3 is .*line 2/);
  assert.match(
    out,
    /1 rows have an empty field:\n {2}.*line 4: field "messages", message 1: "content" is empty/,
  );
  assert.match(out, /1 rows cannot be trained:\n {2}.*line 6: .*no assistant message/);
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
