/** Runs one kernel on the reference backend and on a GPU: the values must agree within a tolerance. */
import assert from "node:assert/strict";
import type { Backend } from "../../../tensor/backend.ts";
import { byteLength } from "../../../tensor/dtype.ts";
import { showShape } from "../../../tensor/shape.ts";
import { reference } from "../../../ops/reference/mod.ts";
import {
  assertClose,
  floats,
  type Input,
  launch,
  type Output,
  type Run,
  run,
  type Tolerance,
} from "../kernel_operands.ts";

const oracle = reference();

/** Runs a kernel on a backend whose reads wait. */
export async function runOn(
  backend: Backend,
  inputs: readonly Input[],
  outputs: readonly Output[],
  kernel: Run,
): Promise<readonly Uint8Array[]> {
  const launched = launch(backend, inputs, outputs, kernel);
  // All at once: a read waits for the same submission as the next.
  const results = await Promise.all(
    launched.outputs.map(({ raw, dtype, shape }) => backend.download(raw, byteLength(dtype, shape))),
  );
  launched.release();
  return results;
}

/** Asserts that the GPU and the reference agree. Outputs that are not f32 must be equal. */
export async function compare(
  gpu: Backend,
  name: string,
  inputs: readonly Input[],
  outputs: readonly Output[],
  tolerance: Tolerance,
  kernel: Run,
): Promise<void> {
  const expected = run(oracle, inputs, outputs, kernel);
  const actual = await runOn(gpu, inputs, outputs, kernel);
  outputs.forEach(({ shape, dtype = "f32" }, i) => {
    const place = `${name}, output ${i} ${dtype} ${showShape(shape)}`;
    if (dtype === "f32") assertClose(place, floats(actual[i]!), floats(expected[i]!), tolerance);
    else assert.deepEqual(actual[i], expected[i], place);
  });
}
