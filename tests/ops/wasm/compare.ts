/**
 * Runs one kernel on the reference backend, on the wasm backend with one and with three threads, and on the native one where
 * it was built: the values must agree within a tolerance, and the two wasm runs must be the same bits.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Backend } from "../../../tensor/backend.ts";
import { showShape } from "../../../tensor/shape.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { isNativeBuilt, native } from "../../../ops/native/mod.ts";
import { wasm } from "../../../ops/wasm/mod.ts";
import {
  assertClose,
  floats,
  type Input,
  type Output,
  type Run,
  run,
  type Tolerance,
} from "../kernel_operands.ts";

/** The backends that a test compares. */
export interface Backends {
  readonly oracle: Backend;
  readonly single: Backend;
  readonly threaded: Backend;
  readonly compiled?: Backend;
}

/** Runs a test with the backends. */
export async function withBackends(test: (backends: Backends) => void | Promise<void>): Promise<void> {
  const [single, threaded] = [await wasm({ threads: 1 }), await wasm({ threads: 3 })];
  const compiled = isNativeBuilt() ? { compiled: native({ threads: 3 }) } : {};
  try {
    await test({ oracle: reference(), single, threaded, ...compiled });
  } finally {
    for (const backend of [single, threaded, compiled.compiled]) backend?.close();
  }
}

/** Asserts that the backends agree. Outputs that are not f32 must be equal. */
export function compare(
  { oracle, single, threaded, compiled }: Backends,
  name: string,
  inputs: readonly Input[],
  outputs: readonly Output[],
  tolerance: Tolerance,
  kernel: Run,
): void {
  const [expected, actual, shared] = [oracle, single, threaded].map((b) => run(b, inputs, outputs, kernel));
  const machine = compiled && run(compiled, inputs, outputs, kernel);
  outputs.forEach(({ shape, dtype = "f32" }, i) => {
    const place = `${name}, output ${i} ${dtype} ${showShape(shape)}`;
    assert.ok(Buffer.from(actual![i]!).equals(shared![i]!), `${place}: one and three threads differ`);
    for (const found of machine ? [actual!, machine] : [actual!]) {
      const where = `${place}${found === machine ? " (native)" : ""}`;
      if (dtype === "f32") assertClose(where, floats(found[i]!), floats(expected![i]!), tolerance);
      else assert.deepEqual(found[i], expected![i], where);
    }
  });
}
