/** Every error of graft's has a code, each code is given somewhere, and the page has them all. */
import assert from "node:assert/strict";
import {
  errorCode,
  failure,
  MEANINGS,
  rangeError,
  syntaxError,
  typeError,
  withCode,
} from "../../errors/error.ts";

Deno.test("errors keep their class, sentence and cause, and have a code beside them", () => {
  const cause = new Error("below");
  for (
    const [make, Kind] of [[rangeError, RangeError], [typeError, TypeError], [syntaxError, SyntaxError], [
      failure,
      Error,
    ]] as const
  ) {
    const error = make("DATA_INVALID", "line 3", { cause });
    assert.ok(error instanceof Kind && error.constructor === Kind);
    assert.deepEqual([error.message, error.cause, error.code], ["line 3", cause, "DATA_INVALID"]);
    assert.equal(errorCode(error), "DATA_INVALID");
  }
  // @ts-expect-error a code that is not one
  withCode("DATA_INVALLID", cause);
});

Deno.test("codes of others are not graft's", () => {
  for (const code of ["ENOENT", "ABORT_ERR", "toString", 20, undefined]) {
    assert.equal(errorCode(Object.assign(new Error("another's"), { code })), undefined);
  }
  assert.equal(errorCode({ code: "FREED" }), undefined);
  assert.equal(errorCode(undefined), undefined);
});

Deno.test("codes are words in capitals, and what they mean a sentence", () => {
  for (const [code, meaning] of Object.entries(MEANINGS)) {
    assert.match(code, /^[A-Z]+(_[A-Z]+)*$/);
    assert.match(meaning, /^[A-Z].*\.$/);
  }
});
