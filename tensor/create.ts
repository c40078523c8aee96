/** New tensors, owned by the innermost scope: from values, bytes or another tensor. */
import type { Backend } from "./backend.ts";
import { byteLength, type DType } from "./dtype.ts";
import { adopt, ownedHere, runKernel } from "./scope.ts";
import { sameShape, type Shape, showShape, size } from "./shape.ts";
import { Storage } from "./storage.ts";
import { Tensor } from "./tensor.ts";
import { rangeError } from "../errors/error.ts";

/**
 * A new tensor with uninitialised bytes, owned by the innermost scope. For ops and loaders.
 *
 * @example
 * ```ts
 * import { allocate, read, reference } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const x = allocate(backend, [2, 2]);
 * backend.fill(7, x); // ops write once into what they have allocated, and hand it out
 * assert.deepEqual([...await read(x)], [7, 7, 7, 7]);
 * ```
 */
export function allocate(backend: Backend, shape: Shape, dtype: DType = "f32"): Tensor {
  const storage = new Storage(backend, byteLength(dtype, shape));
  adopt(storage);
  return new Tensor(storage, shape, dtype);
}

/**
 * A copy in new storage, owned by the innermost scope; detached from the gradient graph.
 *
 * @example
 * ```ts
 * import { copyOf, dispose, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2], { backend: reference() });
 * const y = copyOf(x);
 * dispose(x);
 * assert.deepEqual([...await read(y)], [1, 2]);
 * ```
 */
export function copyOf(x: Tensor): Tensor {
  const copy = allocate(x.backend, x.shape, x.dtype);
  runKernel([x], [copy], () => x.backend.copy(x, copy));
  return copy;
}

/**
 * A tensor owned by the innermost scope: x itself, or a copy if something else owns it.
 *
 * @example
 * ```ts
 * import { owned, reference, scope, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x = tensor([1], { backend: reference() });
 * scope(() => {
 *   const mine = owned(x); // x is older than the scope
 *   assert.notEqual(mine.storage, x.storage);
 *   assert.equal(owned(mine), mine);
 * });
 * ```
 */
export function owned(x: Tensor): Tensor {
  return ownedHere(x.storage) ? x : copyOf(x);
}

/** Values for a new tensor, nested like its shape, or flat with an explicit shape. */
export type Numbers = ArrayLike<number> | readonly Numbers[] | number;

/**
 * A tensor from values.
 *
 * @param numbers A number, a (nested) array, or a flat typed array with `shape`.
 * @param options `backend`: where the tensor is stored; `shape`: default derived from the nesting; `dtype`:
 * f32 (default) or i32.
 * @throws {RangeError} when rows have different lengths or the count does not fit the shape.
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x = tensor([[1, 2], [3, 4]], { backend: reference() });
 * assert.deepEqual(x.shape, [2, 2]);
 * assert.deepEqual([...await read(x)], [1, 2, 3, 4]);
 * ```
 */
export function tensor(
  numbers: Numbers,
  options: { readonly backend: Backend; readonly shape?: Shape; readonly dtype?: "f32" | "i32" },
): Tensor {
  const nested = shapeOf(numbers);
  const shape = options.shape ?? nested;
  if (size(shape) !== size(nested)) {
    throw rangeError(
      "INVALID_TENSOR",
      `Cannot make a tensor ${showShape(shape)} from ${size(nested)} numbers`,
    );
  }
  const flat = options.dtype === "i32" ? new Int32Array(size(shape)) : new Float32Array(size(shape));
  copyInto(numbers, nested, flat, 0);
  const result = allocate(options.backend, shape, options.dtype ?? "f32");
  options.backend.upload(result.raw, new Uint8Array(flat.buffer));
  return result;
}

/**
 * A tensor of any dtype from the bytes of its layout (see `DType`).
 *
 * @example
 * ```ts
 * import { fromBytes, read, reference } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const bytes = new Uint8Array([0x80, 0x3f, 0x00, 0x40]); // 1 and 2 in bf16
 * assert.deepEqual([...await read(fromBytes(bytes, [2], "bf16", reference()))], [1, 2]);
 * ```
 */
export function fromBytes(bytes: Uint8Array, shape: Shape, dtype: DType, backend: Backend): Tensor {
  checkBytes(bytes.byteLength, shape, dtype);
  const result = allocate(backend, shape, dtype);
  backend.upload(result.raw, bytes);
  return result;
}

/**
 * A tensor of any dtype from the bytes of its layout, given in order in chunks whose lengths, except the
 * last, are multiples of four. Each chunk is copied before the next is requested, so they may share one
 * buffer.
 *
 * @example
 * ```ts
 * import { fromChunks, read, reference } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const chunks = [[1, 2], [3]].map((numbers) => new Uint8Array(Float32Array.from(numbers).buffer));
 * assert.deepEqual([...await read(fromChunks(chunks, [3], "f32", reference()))], [1, 2, 3]);
 * ```
 */
export function fromChunks(
  chunks: Iterable<Uint8Array>,
  shape: Shape,
  dtype: DType,
  backend: Backend,
): Tensor {
  const room = byteLength(dtype, shape);
  const result = allocate(backend, shape, dtype);
  let done = 0;
  for (const chunk of chunks) {
    if (done + chunk.byteLength <= room) backend.upload(result.raw, chunk, done);
    done += chunk.byteLength;
  }
  checkBytes(done, shape, dtype);
  return result;
}

function checkBytes(found: number, shape: Shape, dtype: DType): void {
  const expected = byteLength(dtype, shape);
  if (found === expected) return;
  throw rangeError(
    "INVALID_TENSOR",
    `Cannot make ${dtype}${showShape(shape)} from ${found} bytes: it takes ${expected}`,
  );
}

function shapeOf(numbers: Numbers): Shape {
  if (typeof numbers === "number") return [];
  const first = numbers[0];
  if (numbers.length === 0 || typeof first === "number") return [numbers.length];
  const inner = shapeOf(first as Numbers);
  for (let i = 1; i < numbers.length; i++) {
    const row = shapeOf(numbers[i] as Numbers);
    if (!sameShape(row, inner)) {
      throw rangeError(
        "INVALID_TENSOR",
        `Cannot make a tensor from rows of shapes ${showShape(inner)} and ${showShape(row)}`,
      );
    }
  }
  return [numbers.length, ...inner];
}

function copyInto(numbers: Numbers, shape: Shape, flat: Float32Array | Int32Array, at: number): void {
  if (typeof numbers === "number") flat[at] = numbers;
  else if (shape.length === 1) flat.set(numbers as ArrayLike<number>, at);
  else {
    const step = size(shape.slice(1));
    for (let i = 0; i < shape[0]!; i++) copyInto(numbers[i] as Numbers, shape.slice(1), flat, at + i * step);
  }
}
