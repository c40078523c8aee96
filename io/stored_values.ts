/** Loads stored tensors in f32, and compares them. */
import { castTo, fromBytes, type Model, read, scope, type Synchronous, type Tensor } from "../core/mod.ts";
import type { StoredTensor } from "../formats/tensor_file.ts";

/** A stored tensor in f32, or as integers. */
export function loadTensor(stored: StoredTensor, { backend }: Model, dtype: "f32" | "i32" = "f32"): Tensor {
  return scope((): Synchronous<Tensor> =>
    castTo(fromBytes(stored.read(), stored.shape, stored.dtype, backend), dtype)
  );
}

/** Whether two tensors have the same values. They are made here and freed again. */
export async function equalValues(makeA: () => Tensor, makeB: () => Tensor): Promise<boolean> {
  const [a, b] = [makeA(), makeB()];
  try {
    const [x, y] = [await read(a), await read(b)];
    return x.length === y.length && x.every((value, i) => value === y[i]);
  } finally {
    a.storage.free();
    b.storage.free();
  }
}
