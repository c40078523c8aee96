/** What a resumed run must have in common with the one that began. */
import assert from "node:assert/strict";
import { knownMethods } from "../../io/records/known_methods.ts";
import type { RunFolder } from "../../io/run_folder.ts";
import type { StateRecord } from "../../io/training_state.ts";
import { checkSameRun } from "../../tuning/run_identity.ts";

const folder = { path: "runs/lora" } as RunFolder;
const record = { base: "a", data: "b", options: { method: "lora", rank: 2 } } as const;
const check = (then: StateRecord, now: StateRecord): void => checkSameRun(folder, then, now, knownMethods());

Deno.test("checkSameRun() takes the same kernels, and those of a record that names none", () => {
  check({ ...record, kernels: "12345678" }, { ...record, kernels: "12345678" });
  check(record, { ...record, kernels: "12345678" });
});

Deno.test("checkSameRun() refuses other kernels, another base, other data and other options", () => {
  const begun = { ...record, kernels: "12345678" };
  const refused: readonly (readonly [StateRecord, RegExp])[] = [
    [
      { ...begun, kernels: "87654321" },
      /began on the kernels of build 12345678, and those here are of build 87654321/,
    ],
    [record, /those here are of build none/],
    [{ ...begun, base: "c" }, /the model has other weights/],
    [{ ...begun, data: "c" }, /--data has other bytes/],
    [{ ...begun, options: { method: "lora", rank: 4 } }, /--rank was 2 and is 4 now/],
  ];
  for (const [now, message] of refused) assert.throws(() => check(begun, now), message);
});
