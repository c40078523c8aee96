/** Errors in one line, in the words of commands. */
import assert from "node:assert/strict";
import { oneLine } from "../../../cli/terminal/one_line.ts";
import { encodeExample } from "../../../train/mod.ts";

Deno.test("oneLine() advises options of commands where messages name those of functions", () => {
  const cases: Readonly<Record<string, string>> = {
    "twice; pass { requantize: true }": "twice; give --requantize",
    "no product; try { rank: 8 } or { error: 0.01 }": "no product; try --rank 8 or --error 0.01",
    "no room; raise maxLength": "no room; raise --max-length",
    "ENOENT: no such file or directory, stat 'x'": "Cannot find x: no such file or directory",
    "two\n  lines": "two; lines",
  };
  for (const [message, said] of Object.entries(cases)) {
    assert.equal(oneLine(new Error(message)), `graft: ${said}`);
  }
});

Deno.test("oneLine() says by what options a text that is too long can be cut", () => {
  const letters = { encode: (text: string) => [...text].map(() => 1), chat: () => "", eos: 2 };
  const options = { maxLength: 4, longPrompt: "refuse" } as const;
  const saidOf = (text: Parameters<typeof encodeExample>[0]): string => {
    try {
      encodeExample(text, letters, options);
    } catch (error) {
      return oneLine(error);
    }
    return "";
  };
  const fits = "raise --max-length or keep only the head or tail";
  assert.ok(
    saidOf({ prompt: "abcdef", answer: "g" }).endsWith(
      `8 tokens, more than the 4 that a row may have; ${fits} of long prompts (--long-prompts)`,
    ),
  );
  assert.ok(saidOf({ prompt: "", answer: "abcdef", text: true }).endsWith(`${fits} (--long-prompts)`));
});
