/** What a download says: one line per tenth, nothing of what is there already. */
import assert from "node:assert/strict";
import { downloadNotes } from "../../../cli/terminal/download_notes.ts";

Deno.test("downloadNotes() says each tenth of a large file once, and nothing of small or finished ones", () => {
  const lines: string[] = [];
  const hear = downloadNotes((line) => lines.push(line));
  const heard = (file: string, index: number, size: number, ...received: readonly number[]): void =>
    received.forEach((n) => hear({ file, received: n, size, index, count: 4 }));
  heard("config.json", 0, 700, 0, 700);
  heard("here.safetensors", 1, 2e6, 2e6);
  heard("a.safetensors", 2, 2e6, 0, 1000, 199_999, 210_000, 390_000, 1_999_999, 2e6);
  heard("b.safetensors", 3, 4e6, 2e6, 4e6); // continued in the middle
  assert.deepEqual(lines, [
    "Downloading a.safetensors (file 3 of 4): 0 % of 2.00 MB",
    "Downloading a.safetensors (file 3 of 4): 10 % of 2.00 MB",
    "Downloading a.safetensors (file 3 of 4): 90 % of 2.00 MB",
    "Downloading a.safetensors (file 3 of 4): 100 % of 2.00 MB",
    "Downloading b.safetensors (file 4 of 4): 50 % of 4.00 MB",
    "Downloading b.safetensors (file 4 of 4): 100 % of 4.00 MB",
  ]);
});
