/** Numbers as people read them. */
import assert from "node:assert/strict";
import { showUnits } from "../../../cli/terminal/output.ts";

Deno.test("showUnits() says one of one and several of others", () => {
  assert.deepEqual([0, 1, 2, 1234].map((n) => showUnits(n, "row")), [
    "0 rows",
    "1 row",
    "2 rows",
    "1,234 rows",
  ]);
});
