/** Shared by descriptions of models, adapters and plain files: totals over tensors, reading JSON. */
import { readFileSync, statSync } from "node:fs";
import { type DType, size } from "../core/mod.ts";
import { isObject, parseJson } from "../formats/strict_json.ts";
import type { JsonObject, StoredTensor } from "../formats/tensor_file.ts";
import { syntaxError } from "../errors/error.ts";

/** Totals over tensors. */
export interface Contents {
  /** How many tensors. */
  readonly tensors: number;
  /** Number of elements, for a quantized tensor those that it represents. */
  readonly parameters: number;
  /** Stored bytes. */
  readonly bytes: number;
  /** The same by dtype, most bytes first. */
  readonly dtypes: readonly {
    readonly dtype: DType;
    readonly tensors: number;
    readonly parameters: number;
    readonly bytes: number;
  }[];
}

/** Computes the totals over tensors. */
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

/** A JSON object from a file. @throws {SyntaxError} when it is not one. */
export function readJson(path: string): JsonObject {
  const json = parseJson(path, readFileSync(path));
  if (!isObject(json)) throw syntaxError("FILE_INVALID", `Cannot read ${path}: it is not a JSON object`);
  return json;
}

/** Whether a file exists. */
export function exists(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
