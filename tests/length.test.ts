/** A file has one idea: at most 300 lines, but for those that have a reason. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";

const MOST = 300;

/** Why a file is longer. */
const REASONS: Readonly<Record<string, string>> = {
  "core/adapters/method.ts":
    "the contract of a method and of its definition, which name each other; two thirds of it documentation",
  "core/edits/edit.ts": "the closed union of edits, two thirds of it documentation",
  "methods/index.ts": "the list of every method, written by `deno task index`",
  "tensor/backend.ts": "the one interface that every backend implements",
  "studio/node/fs.ts": "stands for one module of Node in a bundle, whose functions must be found in one file",
  "ops/gpu/moves.ts": "the host side of one family of kernels, which share their arguments",
};

const ROOT = new URL("../", import.meta.url);
const LEFT_OUT = /(^|\/)(node_modules|target|tests|lib|\.\w+|runs)(\/|$)/;

Deno.test("no file is longer than 300 lines without a reason, and no reason is idle", () => {
  const long = readdirSync(ROOT, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !LEFT_OUT.test(path))
    .filter((path) => readFileSync(new URL(path, ROOT), "utf8").split("\n").length - 1 > MOST);
  assert.deepEqual(long.sort(), Object.keys(REASONS).sort());
});
