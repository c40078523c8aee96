/** `read`: the only way to get a tensor's values. */
import { reinterpret, type Tensor } from "./tensor.ts";
import { runKernel, scope } from "./scope.ts";
import { allocate } from "./create.ts";
import { byteLength, type DType } from "./dtype.ts";
import { transiently } from "./storage.ts";

/**
 * The values of a tensor, row-major. Quantized and half-precision types are converted to f32.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual(await read(tensor([1.5, 2], { backend: reference() })), new Float32Array([1.5, 2]));
 * ```
 */
export async function read(x: Tensor): Promise<Float32Array> {
  if (x.dtype === "f32") return new Float32Array((await bytesOf(x)).buffer);
  if (x.dtype === "i32") return Float32Array.from(new Int32Array((await bytesOf(x)).buffer));
  const decoded = transiently(() =>
    scope(() => {
      const f32 = allocate(x.backend, x.shape);
      x.backend.cast(x, f32);
      return f32;
    })
  );
  const numbers = new Float32Array((await bytesOf(decoded)).buffer);
  decoded.storage.free();
  return numbers;
}

/**
 * A copy of the tensor's bytes in its dtype's layout. A lazy tensor stays lazy.
 *
 * @example
 * ```ts
 * import { bytesOf, castTo, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2], { backend: reference() });
 * assert.deepEqual(await bytesOf(castTo(x, "bf16")), new Uint8Array([0x80, 0x3f, 0x00, 0x40]));
 * ```
 */
export async function bytesOf(x: Tensor): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await transiently(() => x.backend.download(x.raw, byteLength(x.dtype, x.shape)));
  return bytes.buffer.byteLength === bytes.byteLength && bytes.buffer instanceof ArrayBuffer
    ? bytes as Uint8Array<ArrayBuffer>
    : new Uint8Array(bytes);
}

/**
 * The tensor in another dtype; the same handle if it already has that dtype. Detached from the gradient
 * graph.
 *
 * @example
 * ```ts
 * import { castTo, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 1 + 2 ** -12], { backend: reference() });
 * assert.deepEqual([...await read(castTo(x, "bf16"))], [1, 1]); // bf16 keeps eight bits
 * assert.equal(castTo(x, "f32").storage, x.storage);
 * ```
 */
export function castTo(x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return reinterpret(x, x.shape);
  const result = allocate(x.backend, x.shape, dtype);
  runKernel([x], [result], () => x.backend.cast(x, result));
  return result;
}
