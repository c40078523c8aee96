/** `graft finetune --plan` of a run that does not fit: each change that it names fits, by the plan of a run that has it. */
import assert from "node:assert/strict";
import { graft, temporaryFolder, tinyData, tinyModel } from "../tiny.ts";

interface Planned {
  readonly total: number;
  readonly fits?: boolean;
  readonly changes?: readonly { readonly change: string; readonly total: number }[];
}

Deno.test("graft finetune --plan exits with 1 and names up to three changes that fit", async () => {
  using folder = temporaryFolder();
  const model = ["-m", tinyModel(folder.path), "-d", tinyData(folder.path)];
  const base = ["finetune", "--plan", ...model, "--batch-size", "8", "--accumulate", "2", "--held-out", "0"];
  const planned = async (...more: readonly string[]): Promise<Planned & { readonly code: number }> => {
    const { code, out, err } = await graft([...base, "--json", ...more]);
    assert.ok(out !== "", err);
    return { ...JSON.parse(out), code };
  };
  const whole = await planned();
  assert.equal(whole.code, 0);
  const memory = Math.round(0.6 * whole.total);
  const tight = await planned("--memory", String(memory));
  assert.deepEqual([tight.code, tight.fits, tight.total], [1, false, whole.total]);
  assert.ok(tight.changes!.length >= 1 && tight.changes!.length <= 3);
  for (const { change, total } of tight.changes!) {
    const changed = await planned(...change.split(" "), "--memory", String(memory));
    assert.deepEqual([changed.code, changed.fits, changed.total], [0, true, total], change);
  }
  const text = await graft([...base, "--memory", String(memory)]);
  assert.equal(text.code, 1);
  assert.ok(text.out.includes(`\nIt would fit with\n  ${tight.changes![0]!.change}: `), text.out);
  assert.equal(text.err.includes("graft:"), false, text.err);
  const none = await graft([...base, "--memory", "1kB"]);
  assert.equal(none.code, 1);
  assert.match(none.out, /\nNo change of the run fits: it takes a smaller model, or more memory\n$/);
});
