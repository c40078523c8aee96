/** What counts as written by hand when a method is added. */
import assert from "node:assert/strict";
import { filesOf } from "../../tools/method_commit.ts";

Deno.test("a method, its test and its oracle are written by hand; the rest of its commit is generated", () => {
  const hand = ["methods/low_rank/kasa.ts", "tests/methods/low_rank/kasa.test.ts", "tests/oracles/kasa.py"];
  const generated = [
    "CHANGELOG.md",
    "docs/api/current.txt",
    "docs/methods/low_rank.md",
    "docs/methods/reference.md",
    "methods/exports.ts",
    "methods/index.ts",
    "tests/oracles/golden/kasa/kasa.safetensors",
    "tests/oracles/index.md",
  ];
  assert.deepEqual(filesOf([...generated, ...hand]), { hand, generated });
  assert.deepEqual(filesOf(["cli/methods.ts"]), { hand: ["cli/methods.ts"], generated: [] });
});
