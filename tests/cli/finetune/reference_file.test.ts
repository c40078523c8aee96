/** A file of log-probabilities is read again when it is whole and of the same run, and no other. */
import assert from "node:assert/strict";
import { truncateSync } from "node:fs";
import { openReferenceFile } from "../../../cli/finetune/reference_file.ts";
import { temporaryFolder } from "../tiny.ts";

const TEXTS = [[-1.5, -0.25], [], [-7.125]];
const COUNTS = TEXTS.map((text) => text.length);

async function written(path: string, finish = true): Promise<void> {
  using file = openReferenceFile(path, COUNTS, "run 1");
  assert.equal(file.complete, false);
  for (const i of [2, 0, 1]) file.write(i, Float32Array.from(TEXTS[i]!));
  assert.deepEqual([...file.read(0) as Float32Array], TEXTS[0]);
  if (finish) await file.finish();
}

Deno.test("what was written is there when the same run opens it again", async () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/sub/known.f32`;
  await written(path);
  using again = openReferenceFile(path, COUNTS, "run 1");
  assert.equal(again.complete, true);
  assert.deepEqual(TEXTS.map((_, i) => [...again.read(i) as Float32Array]), TEXTS);
});

Deno.test("another run, an unfinished file and a short one begin anew", async () => {
  using folder = temporaryFolder();
  const complete = (path: string, counts: readonly number[], identity: string): boolean => {
    using file = openReferenceFile(path, counts, identity);
    return file.complete;
  };
  const path = `${folder.path}/known.f32`;
  await written(path);
  assert.equal(complete(path, COUNTS, "run 2"), false);
  assert.equal(complete(path, COUNTS, "run 1"), false); // it was emptied for the other
  await written(path, false);
  assert.equal(complete(path, COUNTS, "run 1"), false);
  await written(path);
  truncateSync(path, 8);
  assert.equal(complete(path, COUNTS, "run 1"), false);
  await written(path);
  assert.equal(complete(path, [2, 1, 1], "run 1"), false);
  using file = openReferenceFile(path, COUNTS, "run 1");
  assert.throws(() => file.write(0, Float32Array.of(1)), /Expected 2 numbers of text 0 but found 1/);
});
