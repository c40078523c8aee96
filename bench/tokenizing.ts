/**
 * What tokenizing takes: `deno run -A bench/tokenizing.ts`. Rows of 400 words, drawn from those of the hand-written conversations,
 * by the embedded model's tokenizer: the first hundred with a fresh one, then thousands whose words it has met.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { loadTokenizer } from "../formats/mod.ts";
import { rowSize } from "../train/row_size.ts";

const path = (name: string): URL => new URL(`../embedded/${name}`, import.meta.url);
const words = readFileSync(path("handwritten.jsonl"), "utf8").split("\n").filter((line) => line !== "")
  .flatMap((line) => (JSON.parse(line).dialogue as string).split(/\s+/));
const text = (n: number): string =>
  Array.from({ length: 400 }, (_, i) => words[(n * 7919 + i * (n % 97 + 1)) % words.length]).join(" ");
const rows = Array.from({ length: 5100 }, (_, n) => ({ prompt: text(n), answer: " ok" }));
const tokenizer = await loadTokenizer(fileURLToPath(path("model")));

/** Milliseconds of CPU for each row. */
function timed(part: typeof rows): number {
  const before = process.cpuUsage();
  part.forEach((row, n) => rowSize(row, tokenizer, { maxLength: 2048, longPrompt: "refuse" }, n));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / part.length;
}

const [cold, warm] = [timed(rows.slice(0, 100)), timed(rows.slice(100))];
console.log(
  `a row of 400 words: ${cold.toFixed(2)} ms of CPU among the first hundred, ${
    warm.toFixed(2)
  } ms afterwards`,
);
