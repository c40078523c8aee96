/** Golden files that other programs wrote. */
import type { Backend } from "../../core/mod.ts";
import { fromBytes, type Tensor } from "../../core/mod.ts";
import { openSafetensors } from "../../formats/safetensors.ts";

/** The folder of golden files. */
export const GOLDEN: string = new URL("../oracles/golden/", import.meta.url).pathname;

/** The f32 tensors of a safetensors file as numbers, by name. */
export function goldenNumbers(path: string): ReadonlyMap<string, Float32Array> {
  const file = openSafetensors(`${GOLDEN}${path}`);
  try {
    return new Map([...file.tensors.values()].map((t) => [t.name, new Float32Array(t.read().buffer)]));
  } finally {
    file.close();
  }
}

/** The tensors of a safetensors file on a backend, by name. */
export function goldenTensors(path: string, backend: Backend): ReadonlyMap<string, Tensor> {
  const file = openSafetensors(`${GOLDEN}${path}`);
  try {
    return new Map(
      [...file.tensors.values()].map((t) => [t.name, fromBytes(t.read(), t.shape, t.dtype, backend)]),
    );
  } finally {
    file.close();
  }
}
