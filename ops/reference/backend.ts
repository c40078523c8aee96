/** Puts the kernels together, with the memory they work on. */
import type { Backend, Operand, Raw } from "../../tensor/backend.ts";
import { size } from "../../tensor/shape.ts";
import { attention, attentionGrad } from "./attention.ts";
import { binary, select, swiglu, swigluGrad, unary } from "./elementwise.ts";
import { orderStatistic, qr, svd } from "./linalg.ts";
import { matmul } from "./matmul.ts";
import { matmulRounded } from "./rounded.ts";
import {
  concat,
  gatherLast,
  gatherRows,
  permute,
  place,
  scatterAddLast,
  scatterAddRows,
  slice,
} from "./movement.ts";
import { layerNorm, layerNormGrad, rmsNorm, rmsNormGrad, rope } from "./norm.ts";
import { adamw, uniform } from "./optimizer.ts";
import { argmax, crossEntropy, crossEntropyGrad, reduce, softmax, softmaxGrad } from "./reduce.ts";
import { walshHadamard } from "./walsh_hadamard.ts";
import { bytesOf, type HostBytes, numbers, write } from "./storage.ts";
import { failure } from "../../errors/error.ts";

/**
 * A reference backend: every kernel in plain TypeScript, f64 inside.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * assert.deepEqual([...await read(tensor([1, 2], { backend }))], [1, 2]);
 * ```
 */
export function reference(): Backend {
  let held = 0;
  return {
    name: "reference",
    allocate(bytes: number): HostBytes {
      try {
        const raw = { bytes: new Uint8Array(bytes) };
        held += bytes;
        return raw;
      } catch (cause) {
        throw failure("OUT_OF_MEMORY", `Cannot allocate ${bytes} bytes: ${held} bytes are held already`, {
          cause,
        });
      }
    },
    release(raw: Raw, bytes: number): void {
      held -= bytes;
      (raw as HostBytes).bytes = new Uint8Array(0); // a later use finds nothing, and fails
    },
    upload(raw: Raw, bytes: Uint8Array, offset: number = 0): void {
      (raw as HostBytes).bytes.set(bytes, offset);
    },
    download(raw: Raw, bytes: number): Uint8Array {
      return (raw as HostBytes).bytes.slice(0, bytes);
    },
    pooled: () => 0,
    close(): void {},
    fill(value: number, out: Operand): void {
      write(out, new Float64Array(size(out.shape)).fill(value));
    },
    copy(x: Operand, out: Operand): void {
      bytesOf(out).set(bytesOf(x));
    },
    cast(x: Operand, out: Operand): void {
      if (x.dtype === out.dtype) bytesOf(out).set(bytesOf(x));
      else write(out, numbers(x));
    },
    unary,
    binary,
    select,
    reduce,
    argmax,
    permute,
    slice,
    place,
    concat,
    matmul,
    matmulRounded,
    gatherRows,
    scatterAddRows,
    gatherLast,
    scatterAddLast,
    softmax,
    softmaxGrad,
    rmsNorm,
    rmsNormGrad,
    layerNorm,
    layerNormGrad,
    rope,
    attention,
    attentionGrad,
    crossEntropy,
    crossEntropyGrad,
    swiglu,
    swigluGrad,
    uniform,
    walshHadamard,
    adamw,
    qr,
    svd,
    orderStatistic,
  };
}
