/** Files of sizes: what is read is what was written, and no more is kept than is said. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { readSizes, sizeFileName, writeSizes } from "../../../cli/tokenizing/size_file.ts";

const folder = (): string => mkdtempSync(join(tmpdir(), "graft-sizes-"));

Deno.test("sizes are read as they were written, and not for another number of rows", async () => {
  const kept = folder();
  const numbers = fc.array(fc.tuple(fc.nat(2 ** 31), fc.nat(2 ** 31)), { minLength: 1, maxLength: 50 });
  await fc.assert(
    fc.asyncProperty(numbers, async (rows) => {
      const sizes = {
        lengths: Uint32Array.from(rows, ([length]) => length),
        targets: Uint32Array.from(rows, ([, targets]) => targets),
      };
      await writeSizes(kept, "a.sizes", sizes);
      assert.deepEqual(readSizes(kept, "a.sizes", rows.length), sizes);
      assert.equal(readSizes(kept, "a.sizes", rows.length + 1), undefined);
      assert.equal(readSizes(kept, "b.sizes", rows.length), undefined);
    }),
    { numRuns: 20 },
  );
  rmSync(kept, { recursive: true });
});

Deno.test("of more than 64 files those that were used last are kept", async () => {
  const kept = folder();
  const one = { lengths: Uint32Array.of(1), targets: Uint32Array.of(1) };
  for (let n = 0; n < 64; n++) {
    await writeSizes(kept, `${n}.sizes`, one);
    utimesSync(join(kept, `${n}.sizes`), 1000 + n, 1000 + n);
  }
  assert.ok(readSizes(kept, "0.sizes", 1)); // used
  await writeSizes(kept, "new.sizes", one);
  const names = readdirSync(kept);
  assert.equal(names.length, 64);
  assert.deepEqual(["0.sizes", "1.sizes", "new.sizes"].map((name) => names.includes(name)), [
    true,
    false,
    true,
  ]);
  rmSync(kept, { recursive: true });
});

Deno.test("a folder that cannot be written to keeps nothing and breaks nothing", async () => {
  await writeSizes("/dev/null/no", "a.sizes", { lengths: Uint32Array.of(1), targets: Uint32Array.of(1) });
  assert.equal(readSizes("/dev/null/no", "a.sizes", 1), undefined);
});

Deno.test("names differ where anything does", () => {
  const names = [{ a: 1 }, { a: 2 }, { b: 1 }].map(sizeFileName);
  assert.equal(new Set(names).size, 3);
  assert.match(names[0]!, /^[0-9a-f]{64}\.sizes$/);
});
