/** What stands in the place of Node's modules in a page. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { absentIn, standIn, writeBrowserModules } from "../../tools/npm_browser.ts";
import { inFolder } from "../support/folder.ts";

const evaluated = async (code: string): Promise<Readonly<Record<string, unknown>>> =>
  await import(`data:text/javascript,${encodeURIComponent(code)}`);

Deno.test("absentIn() finds what is imported of Node's modules, however it is written", () => {
  const code = `import fs, { readFileSync as r } from "node:fs";
import { stat } from "node:fs/promises";
import{join}from"node:path";
import { statSync } from "node:fs";
import * as zlib from "node:zlib";
import { other } from "./chunk.js";
const text = 'import { no } from "node:os"';
`;
  assert.deepEqual(Object.fromEntries(absentIn(code)), {
    "node:fs": ["readFileSync", "statSync"],
    "node:fs/promises": ["stat"],
    "node:path": ["join"],
    "node:zlib": [],
  });
});

Deno.test("a stand-in throws when it is called, with what is missing, and has a default", async () => {
  const { stat, default: all } = await evaluated(standIn("node:fs", ["stat", "stat"])) as {
    readonly stat: () => void;
    readonly default: Readonly<Record<string, unknown>>;
  };
  assert.throws(stat, { message: "Cannot use stat of node:fs in a page" });
  assert.equal(all["stat"], stat);
});

Deno.test("writeBrowserModules() leaves out the command line, and says where each module's stand-in is", async () => {
  await inFolder((folder) => {
    for (const room of ["cli", "io"]) mkdirSync(`${folder}/${room}`);
    writeFileSync(`${folder}/cli/main.js`, 'import { spawn } from "node:child_process";\n');
    writeFileSync(`${folder}/io/mod.js`, 'import { readFile } from "node:fs/promises";\n');
    const field = writeBrowserModules(folder);
    assert.equal(field["node:child_process"], undefined);
    assert.equal(field["node:fs/promises"], "./browser/absent/fs_promises.js");
    assert.match(readFileSync(`${folder}/browser/absent/fs_promises.js`, "utf8"), /function readFile\(/);
    assert.equal(field["./platform/worker.js"], "./browser/worker.js");
  });
});
