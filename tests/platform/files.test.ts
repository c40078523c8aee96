/** Files by number, and what the system's errors say. */
import assert from "node:assert/strict";
import fs, { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { isMissing, readAt, systemCode, systemError, writeAt } from "../../platform/files.ts";
import { inFolder } from "../support/folder.ts";

Deno.test("readAt() and writeAt() finish what the system does in pieces", async () => {
  await inFolder((folder) => {
    const path = `${folder}/file`;
    writeFileSync(path, "");
    const file = openSync(path, "r+");
    const { readSync, writeSync } = fs;
    type InPieces = (
      file: number,
      bytes: Uint8Array,
      from: number,
      length: number,
      at: number | null,
    ) => number;
    const piece = (call: unknown): InPieces => (file, bytes, from, length, at) =>
      (call as InPieces)(file, bytes, from, Math.min(length, 3), at);
    Object.assign(fs, { readSync: piece(readSync), writeSync: piece(writeSync) });
    try {
      writeAt(file, null, new TextEncoder().encode("0123456789"));
      writeAt(file, 4, new TextEncoder().encode("abcdefgh"));
      const bytes = new Uint8Array(20);
      assert.equal(readAt(file, 2, bytes), 10);
      assert.equal(new TextDecoder().decode(bytes.subarray(0, 10)), "23abcdefgh");
    } finally {
      Object.assign(fs, { readSync, writeSync });
      closeSync(file);
    }
    assert.equal(readFileSync(path, "utf8"), "0123abcdefgh");
  });
});

Deno.test("systemCode() is the system's, and only of errors that have one", () => {
  const missing = ((): unknown => {
    try {
      return openSync("/nowhere/at all", "r");
    } catch (error) {
      return error;
    }
  })();
  assert.equal(systemCode(missing), "ENOENT");
  assert.ok(isMissing(missing));
  assert.equal(systemCode(systemError("EBUSY", "in use")), "EBUSY");
  for (const other of [new Error("no code"), { code: 5 }, null, "ENOENT"]) {
    assert.equal(systemCode(other), undefined);
  }
});
