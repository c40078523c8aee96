/** docs/what_goes_wrong.md quotes what the library says: every message stands in one of the sources, but for Deno's own. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { blocksOf } from "./blocks.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");
const FILE = "docs/what_goes_wrong.md";

/** Deno's own messages. */
const FOREIGN = /^Requires read access to /;

/** Literals of a source that are joined by + as one, and what is computed within them as "…". */
function messagesIn(source: string): string {
  return source.replace(/["`]\s*\+\s*["`]/g, "").replace(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, "…");
}

const sources: readonly string[] = ["cli", "core", "formats", "io", "models", "ops", "train", "tuning"]
  .flatMap((room) => globSync(`${ROOT}/${room}/**/*.ts`)).map((path) =>
    messagesIn(readFileSync(path, "utf8"))
  );

/** Whether a source has a message's parts between "…", in their order and near each other. */
function says(source: string, message: string): boolean {
  const pattern = message.split("…").map((part) => part.trim()).filter((part) => part !== "").map((part) =>
    part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
  ).join("[^]{0,200}?");
  return new RegExp(pattern).test(source);
}

Deno.test("the messages of docs/what_goes_wrong.md are those of the sources", () => {
  const messages = blocksOf(FILE, readFileSync(`${ROOT}/${FILE}`, "utf8")).filter(({ language }) =>
    language === "text"
  );
  assert.ok(messages.length >= 20, `${messages.length} messages`);
  const lost: string[] = [];
  for (const { text, line } of messages) {
    const message = text.trim();
    assert.ok(
      message.replaceAll(/[…"():;, ]/g, "").length >= 12,
      `${FILE}:${line} quotes too little: ${message}`,
    );
    if (FOREIGN.test(message)) continue;
    if (!sources.some((source) => says(source, message))) lost.push(`${FILE}:${line}: ${message}`);
  }
  assert.deepEqual(lost, []);
});

Deno.test("a message that no source has is seen", () => {
  assert.ok(says("Cannot open a, which is gone", "Cannot open …, which is …"));
  assert.ok(!says("Cannot open a, which is gone", "Cannot open …, which was …"));
  assert.ok(says(messagesIn('"of two " +\n  `parts ${n} long`'), "of two parts … long"));
});
