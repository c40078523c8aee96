/**
 * Runs one kernel on the reference backend and on the wasm backend with one and with three threads: the values must agree
 * within a tolerance, and the two wasm runs must be the same bits.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Backend } from "../../core/tensor/backend.ts";
import { showShape } from "../../core/tensor/shape.ts";
import { reference } from "../../ops/reference/mod.ts";
import { wasm } from "../../ops/wasm/mod.ts";
import {
  assertClose,
  floats,
  type Input,
  type Output,
  type Run,
  run,
  type Tolerance,
} from "./kernel_operands.ts";

/** The three backends that a test compares. */
export interface Backends {
  readonly oracle: Backend;
  readonly single: Backend;
  readonly threaded: Backend;
}

/** Runs a test with the three backends. */
export async function withBackends(test: (backends: Backends) => void | Promise<void>): Promise<void> {
  const [single, threaded] = [await wasm({ threads: 1 }), await wasm({ threads: 3 })];
  try {
    await test({ oracle: reference(), single, threaded });
  } finally {
    single.close();
    threaded.close();
  }
}

/** Asserts that the three backends agree. Outputs that are not f32 must be equal. */
export function compare(
  { oracle, single, threaded }: Backends,
  name: string,
  inputs: readonly Input[],
  outputs: readonly Output[],
  tolerance: Tolerance,
  kernel: Run,
): void {
  const [expected, actual, shared] = [oracle, single, threaded].map((b) => run(b, inputs, outputs, kernel));
  outputs.forEach(({ shape, dtype = "f32" }, i) => {
    const place = `${name}, output ${i} ${dtype} ${showShape(shape)}`;
    assert.ok(Buffer.from(actual![i]!).equals(shared![i]!), `${place}: one and three threads differ`);
    if (dtype === "f32") assertClose(place, floats(actual![i]!), floats(expected![i]!), tolerance);
    else assert.deepEqual(actual![i], expected![i], place);
  });
}
