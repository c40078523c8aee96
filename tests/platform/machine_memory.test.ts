import assert from "node:assert/strict";
import { machineMemory } from "../../platform/machine_memory.ts";

Deno.test("machineMemory() is at most what the system says, and some of it is free", () => {
  const { total, free } = machineMemory()!;
  const system = Deno.systemMemoryInfo();
  assert.ok(total > 0 && total <= system.total, `${total} of ${system.total}`);
  assert.ok(free > 0 && free <= total, `${free} of ${total}`);
});

Deno.test({
  name: "machineMemory() is not known where the program may not ask",
  permissions: { read: true, sys: false },
  fn: () => assert.equal(machineMemory(), undefined),
});
