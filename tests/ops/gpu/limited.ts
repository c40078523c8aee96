/** Tests that see a GPU through bindings of a few bytes, so that small operands are bound in parts. */
import type { Backend } from "../../../tensor/backend.ts";
import { gpuTest, withGpu } from "../../support/gpu.ts";
import { compare } from "./compare.ts";
import type { Input, Output, Run, Tolerance } from "../kernel_operands.ts";

/** Asserts that a kernel gives the reference's numbers. */
export type Check = (
  name: string,
  inputs: readonly Input[],
  outputs: readonly Output[],
  tolerance: Tolerance,
  run: Run,
) => Promise<void>;

/** Registers a test on a GPU with bindings of so many bytes. */
export const limited = (
  name: string,
  test: (check: Check, gpu: Backend) => Promise<void>,
  bindingBytes: number = 2 ** 16, // 16384 numbers
): void =>
  gpuTest(name, () => withGpu((gpu) => test((...call) => compare(gpu, ...call), gpu), { bindingBytes }));
