/** Every golden file has a script that makes it and a test that reads it, and index.md says which. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { inFolder } from "../support/folder.ts";
import { type Case, casesIn, index, readersOf, sourcesIn, unmade } from "./index.ts";

const cases = casesIn();
const readers = readersOf(cases, sourcesIn());

Deno.test("every golden file is below the name of a script that makes it", () => {
  assert.deepEqual(cases.map((entry) => unmade(entry)).filter((fault) => fault !== undefined), []);
});

Deno.test("every golden file is read by a test", () => {
  const unread = [...readers].filter(([, tests]) => tests.length === 0).map(([{ path }]) => path);
  assert.deepEqual(unread, []);
});

Deno.test("index.md is up to date", () => {
  assert.equal(
    readFileSync(new URL("index.md", import.meta.url), "utf8"),
    index(readers),
    "write it again: deno run -A tests/oracles/index.ts",
  );
});

Deno.test("a golden file without a script, or that its script does not name, is found", () =>
  inFolder((folder) => {
    mkdirSync(`${folder}/golden/made`, { recursive: true });
    writeFileSync(`${folder}/made.py`, 'save(f"{GOLDEN}/made/{base}_wide.json", "bert")');
    for (
      const path of ["made/bert_wide.json", "made/old_bert.json", "made.json", "lost.json", "lost_too.json"]
    ) {
      writeFileSync(`${folder}/golden/${path}`, "{}");
    }
    const faults = casesIn(`${folder}/golden/`).map((entry) => unmade(entry, `${folder}/`));
    assert.deepEqual(faults, [
      "golden/lost.json: there is no lost.py",
      "golden/lost_too.json: there is no lost_too.py",
      undefined, // made/bert_wide.json
      'golden/made/old_bert.json: made.py names no "old_bert"',
      undefined, // made.json
    ]);
  }));

Deno.test("what a test reads is found by whole names, templates and lists of folders", () => {
  const made: readonly Case[] = ["road", "road_2"].map((name) => ({ path: `a/${name}`, script: "a", name }));
  const read = (text: string) => {
    const found = readersOf(made, [{ path: "a.test.ts", text: `import { GOLDEN } from "b";\n${text}` }]);
    return [...found].filter(([, tests]) => tests.length > 0).map(([{ name }]) => name);
  };
  assert.deepEqual(read('goldenNumbers("a/road/expected")'), ["road"]);
  assert.deepEqual(read('for (const name of ["road_2"]) goldenNumbers(`a/${name}/expected`)'), ["road_2"]);
  assert.deepEqual(read("for (const name of given) goldenNumbers(`a/${name}`)"), ["road", "road_2"]);
  assert.deepEqual(read("const ROOT = `${GOLDEN}a/`; Deno.readDirSync(ROOT)"), ["road", "road_2"]);
  assert.deepEqual(read("const ROOT = `${GOLDEN}a`; load(`${ROOT}/road_2`)"), ["road_2"]);
  assert.deepEqual(read('goldenNumbers("b/road/expected")'), []);
});
