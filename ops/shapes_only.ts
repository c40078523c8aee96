/**
 * A backend that computes nothing. Tensors on it have shapes and are counted by `memory`, but no bytes exist:
 * a pass on it tells how much memory the same pass would take on a real one, for any model, method, optimizer
 * and size.
 */
import type { Backend } from "../tensor/mod.ts";

/**
 * Creates such a backend. Everything read from it is zero.
 *
 * @example
 * ```ts
 * import { shapesOnly, zeros } from "@graft/peft/ops";
 * import { memory } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = shapesOnly();
 * const huge = zeros([1 << 20, 1 << 20], backend);
 * assert.equal(memory(backend).live, 2 ** 42);
 * huge.storage.free();
 * ```
 */
export function shapesOnly(): Backend {
  const nothing = (): void => {};
  return {
    name: "shapes",
    allocate: nothing,
    release: nothing,
    upload: nothing,
    download: (_, bytes) => new Uint8Array(bytes),
    pooled: () => 0,
    close: nothing,
    fill: nothing,
    copy: nothing,
    cast: nothing,
    unary: nothing,
    binary: nothing,
    select: nothing,
    reduce: nothing,
    argmax: nothing,
    permute: nothing,
    slice: nothing,
    place: nothing,
    concat: nothing,
    matmul: nothing,
    gatherRows: nothing,
    scatterAddRows: nothing,
    gatherLast: nothing,
    scatterAddLast: nothing,
    softmax: nothing,
    softmaxGrad: nothing,
    rmsNorm: nothing,
    rmsNormGrad: nothing,
    layerNorm: nothing,
    layerNormGrad: nothing,
    rope: nothing,
    attention: nothing,
    attentionGrad: nothing,
    crossEntropy: nothing,
    crossEntropyGrad: nothing,
    swiglu: nothing,
    swigluGrad: nothing,
    uniform: nothing,
    walshHadamard: nothing,
    fastfood: nothing,
    fastfoodTranspose: nothing,
    adamw: nothing,
    qr: nothing,
    svd: nothing,
    orderStatistic: nothing,
  };
}
