/** What descriptions of models, adapters and plain files have in common: tensors added up, JSON read. */
import { type DType, size } from "../core/mod.ts";
import { isObject, parseJson } from "../formats/strict_json.ts";
import type { JsonObject, StoredTensor } from "../formats/tensor_file.ts";

/** Tensors added up. */
export interface Contents {
  /** How many tensors. */
  readonly tensors: number;
  /** Numbers, in a quantized tensor those it stands for. */
  readonly parameters: number;
  /** As stored. */
  readonly bytes: number;
  /** The same by dtype, most bytes first. */
  readonly dtypes: readonly {
    readonly dtype: DType;
    readonly tensors: number;
    readonly parameters: number;
    readonly bytes: number;
  }[];
}

/** Adds tensors up. */
export function contents(stored: readonly StoredTensor[]): Contents {
  const sums = new Map<DType, { tensors: number; parameters: number; bytes: number }>();
  for (const { dtype, shape, byteLength } of stored) {
    const old = sums.get(dtype) ?? { tensors: 0, parameters: 0, bytes: 0 };
    sums.set(dtype, {
      tensors: old.tensors + 1,
      parameters: old.parameters + size(shape),
      bytes: old.bytes + byteLength,
    });
  }
  const dtypes = [...sums].map(([dtype, sum]) => ({ dtype, ...sum })).sort((a, b) => b.bytes - a.bytes);
  const total = (of: "tensors" | "parameters" | "bytes"): number => dtypes.reduce((n, d) => n + d[of], 0);
  return { tensors: total("tensors"), parameters: total("parameters"), bytes: total("bytes"), dtypes };
}

/** A JSON object from a file. @throws {SyntaxError} when it is none. */
export function readJson(path: string): JsonObject {
  const json = parseJson(path, Deno.readFileSync(path));
  if (!isObject(json)) throw new SyntaxError(`Cannot read ${path}: it is not a JSON object`);
  return json;
}

/** Whether there is a file. */
export function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
