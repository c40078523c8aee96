/** Event files beside TensorBoard's own: tests/oracles/event_files.py made golden/event_files.json. */
import { Buffer } from "node:buffer";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { scalarRecord, versionRecord } from "../../train/event_file.ts";
import { GOLDEN } from "../support/golden.ts";

Deno.test("records have TensorBoard's bytes", () => {
  const { scalars, bytes }: {
    readonly scalars: readonly [number, number, [string, number][]][];
    readonly bytes: string;
  } = JSON.parse(readFileSync(`${GOLDEN}event_files.json`, "utf8"));
  const records = [
    versionRecord(scalars[0]![0]),
    ...scalars.map(([wallTime, step, values]) =>
      scalarRecord({ wallTime, step, scalars: Object.fromEntries(values) })
    ),
  ];
  assert.equal(Buffer.concat(records).toString("base64"), bytes);
});
