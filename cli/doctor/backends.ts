/** Which backends this machine has, and how fast each computes. */
import type { Backend } from "../../core/mod.ts";
import type { GpuBackend } from "../../ops/gpu/mod.ts";
import { recordingShapes } from "../../ops/recording.ts";
import { secondsOfAll, timeCalls } from "../../ops/timed_calls.ts";
import { threadsOf } from "../finetune/plan_time.ts";
import { type BackendName, openBackend } from "../load.ts";
import { type KernelResult, selfTest } from "./self_test.ts";

/** A backend, or why it is none here. */
export type BackendReport = { readonly name: BackendName } & ({ readonly missing: string } | BackendSpeed);

/** What a backend is, and how fast. */
export interface BackendSpeed {
  readonly threads?: number;
  /** The build of the kernels, with the width of their vectors. */
  readonly kernels?: string;
  /** The GPU's adapter. */
  readonly adapter?: string;
  readonly software?: boolean;
  /** Multiply-adds of a product of f32 matrices, as two operations each, in a second. */
  readonly productOperations: number;
  /** The same with a matrix of four bits (q4_0). */
  readonly quantizedOperations: number;
  /** Bytes read and written in a second by a sum of two long vectors. */
  readonly bytes: number;
  /** The kernels that were tried, and how each came out. */
  readonly kernelsTried: readonly KernelResult[];
}

/** Rows, inputs and outputs of the product that is measured. */
const [M, K, N] = [512, 1024, 1024];
/** Numbers in each vector of the sum. */
const LONG = 4 << 20;

/** Opens a backend and measures it. */
export async function examineBackend(name: BackendName, threads: number | undefined): Promise<BackendReport> {
  let backend: Backend;
  try {
    backend = await openBackend({ backend: name, ...threads !== undefined && { threads } });
  } catch (error) {
    return { name, missing: error instanceof Error ? error.message : String(error) };
  }
  try {
    const { adapter, software } = backend as Partial<GpuBackend>;
    const count = threadsOf(name, { ...threads !== undefined && { threads } });
    const product = await secondsOf(backend, (to) =>
      to.matmul(
        ...[operand(to, [M, K]), operand(to, [N, K])] as const,
        { transposeA: false, transposeB: true },
        operand(to, [M, N]),
      ));
    const quantized = await secondsOf(backend, (to) =>
      to.matmul(
        ...[operand(to, [M, K]), operand(to, [N, K], "q4_0")] as const,
        { transposeA: false, transposeB: true },
        operand(to, [M, N]),
      ));
    const sum = await secondsOf(
      backend,
      (to) => to.binary("add", operand(to, [LONG]), operand(to, [LONG]), operand(to, [LONG])),
    );
    return {
      name,
      ...count !== undefined && { threads: count },
      ...backend.kernels !== undefined && { kernels: backend.kernels },
      ...adapter !== undefined && { adapter },
      ...software !== undefined && { software },
      productOperations: 2 * M * K * N / product,
      quantizedOperations: 2 * M * K * N / quantized,
      bytes: 3 * 4 * LONG / sum,
      kernelsTried: await selfTest(backend),
    };
  } finally {
    backend.close();
  }
}

const operand = (to: Backend, shape: readonly number[], dtype: "f32" | "q4_0" = "f32") => ({
  raw: to.allocate(0),
  shape,
  dtype,
});

async function secondsOf(backend: Backend, call: (to: Backend) => void): Promise<number> {
  const recorder = recordingShapes(backend);
  call(recorder.backend);
  const calls = recorder.take();
  return secondsOfAll(calls, await timeCalls(backend, calls));
}
