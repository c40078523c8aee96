/** Locks among processes: one holder, by the system's lock in Deno. */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { type FileLock, lockBeside, lockFile } from "../../platform/file_lock.ts";
import { inFolder } from "../support/folder.ts";

for (const [name, lock] of Object.entries({ lockFile, lockBeside })) {
  Deno.test(`${name}() gives a file to one at a time`, async () => {
    await inFolder((folder) => {
      const path = `${folder}/file`;
      writeFileSync(path, "");
      const first = lock(path) as FileLock;
      assert.equal(lock(path), "taken");
      first.release();
      const second = lock(path) as FileLock;
      assert.notEqual(second, "taken");
      second.release();
    });
  });
}

Deno.test("lockBeside() takes over what a process that has ended left, and a torn note", async () => {
  await inFolder((folder) => {
    const path = `${folder}/file`;
    for (const holder of ["4194303999", "", "no number"]) {
      writeFileSync(`${path}.lock`, holder);
      const lock = lockBeside(path);
      assert.notEqual(lock, "taken", holder);
      (lock as FileLock).release();
    }
    writeFileSync(`${path}.lock`, String(Deno.pid));
    assert.equal(lockBeside(path), "taken");
    rmSync(`${path}.lock`);
  });
});
