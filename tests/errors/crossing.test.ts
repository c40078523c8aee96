/** Errors that cross between threads as data. */
import assert from "node:assert/strict";
import { errorData, errorOf } from "../../errors/crossing.ts";
import { errorCode, rangeError } from "../../errors/error.ts";

Deno.test("an error comes back with class, name, code, stack and cause", () => {
  const cause = Object.assign(new Error("no such file"), { code: "ENOENT" });
  const thrown = rangeError("DATA_INVALID", "Expected one line", { cause });
  const back = errorOf(structuredClone(errorData(thrown)));
  assert.ok(back instanceof RangeError);
  assert.equal(errorCode(back), "DATA_INVALID");
  assert.deepEqual([back.message, back.stack], [thrown.message, thrown.stack]);
  assert.deepEqual((back.cause as Error & { readonly code: string }).code, "ENOENT");
  assert.equal((back.cause as Error).cause, undefined);
});

Deno.test("an error of another class keeps its name, and what is no error becomes one", () => {
  class UsageError extends TypeError {
    readonly code = "USAGE";
    override readonly name = "UsageError";
  }
  const back = errorOf(errorData(new UsageError("no such flag")));
  assert.deepEqual([back.name, errorCode(back), String(back)], [
    "UsageError",
    "USAGE",
    "UsageError: no such flag",
  ]);
  assert.equal(errorOf(errorData("a text")).message, "a text");
  assert.equal(errorOf({ name: "toString", message: "m" }).constructor, Error);
});
