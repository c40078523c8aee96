/** A full disk ends a process with one line, and is no fault of the point that met it. */
import assert from "node:assert/strict";
import { isOfDisk } from "../../../cli/sharing/disk_errors.ts";
import { graft, temporaryFolder, tinyData, tinyModel } from "../tiny.ts";

const coded = (code: string, cause?: unknown): Error => Object.assign(new Error(code, { cause }), { code });

Deno.test("errors of the disk are told by their codes, also those that they caused", () => {
  for (const code of ["ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE"]) {
    assert.ok(isOfDisk(coded(code)));
    assert.ok(isOfDisk(new Error("Cannot write x", { cause: new Error("y", { cause: coded(code) }) })));
  }
  for (
    const other of [
      coded("ENOENT"),
      new RangeError("rank"),
      "ENOSPC",
      undefined,
      new Error("x", { cause: "y" }),
    ]
  ) {
    assert.ok(!isOfDisk(other));
  }
});

/** A file system of so many bytes; undefined where this user may not mount one. */
function smallDisk(folder: string, size: string) {
  const mount = (...args: readonly string[]): boolean => {
    try {
      return new Deno.Command("mount", { args: [...args, folder], stderr: "null" }).outputSync().success;
    } catch {
      return false; // there is no such program
    }
  };
  if (!mount("-t", "tmpfs", "-o", `size=${size}`, "tmpfs")) return undefined;
  return {
    grow: (size: string) => assert.ok(mount("-o", `remount,size=${size}`)),
    [Symbol.dispose]: () => void new Deno.Command("umount", { args: [folder] }).outputSync(),
  };
}

Deno.test("a sweep on a full disk ends with one line, and goes on when there is room", async (test) => {
  using folder = temporaryFolder();
  const place = `${folder.path}/disk`;
  Deno.mkdirSync(place);
  using disk = smallDisk(place, "96k");
  await test.step({
    name: disk === undefined ? "not tried: this user may mount no small disk" : "on 96 kB",
    ignore: disk === undefined,
    fn: async () => {
      const line = [
        ...["sweep", "-m", tinyModel(folder.path), "-d", tinyData(folder.path), "-o", `${place}/out`],
        ...["--grid", "rank=1,2,4,8,16", "--shard", "1/1", "--backend", "reference", "--held-out", "2"],
      ];
      const full = await graft(line);
      assert.equal(full.code, 1);
      assert.match(
        full.err,
        /^graft: Cannot write .*: No space left on device.*; what was there before is whole$/m,
      );
      assert.doesNotMatch(full.err, /^Failed/m);
      disk!.grow("8m");
      const whole = await graft(line);
      assert.equal(whole.code, 0, whole.err);
      assert.equal(whole.out.trimEnd().split("\n").length, 7);
      assert.doesNotMatch(whole.err, /Run 1 of 5/, "the first point was done");
    },
  });
});
