/** Tensor types of GGUF files: those supported as dtypes, and the names of the others for error messages. */
import type { DType } from "../tensor/mod.ts";
import { rangeError, typeError } from "../errors/error.ts";

const DTYPES: ReadonlyMap<number, DType> = new Map<number, DType>([
  [0, "f32"],
  [1, "f16"],
  [2, "q4_0"],
  [3, "q4_1"],
  [6, "q5_0"],
  [7, "q5_1"],
  [8, "q8_0"],
  [12, "q4_k"],
  [13, "q5_k"],
  [14, "q6_k"],
  [26, "i32"],
  [30, "bf16"],
]);

const OTHERS: ReadonlyMap<number, string> = new Map([
  [9, "Q8_1"],
  [10, "Q2_K"],
  [11, "Q3_K"],
  [15, "Q8_K"],
  [16, "IQ2_XXS"],
  [17, "IQ2_XS"],
  [18, "IQ3_XXS"],
  [19, "IQ1_S"],
  [20, "IQ4_NL"],
  [21, "IQ3_S"],
  [22, "IQ2_S"],
  [23, "IQ4_XS"],
  [24, "I8"],
  [25, "I16"],
  [27, "I64"],
  [28, "F64"],
  [29, "IQ1_M"],
  [34, "TQ1_0"],
  [35, "TQ2_0"],
  [39, "MXFP4"],
  [40, "NVFP4"],
]);

/** `general.file_type` of a file most of whose bytes have the dtype. */
const FILE_TYPES: ReadonlyMap<DType, number> = new Map<DType, number>([
  ["f32", 0],
  ["f16", 1],
  ["q4_0", 2],
  ["q4_1", 3],
  ["q8_0", 7],
  ["q5_0", 8],
  ["q5_1", 9],
  ["q4_k", 15],
  ["q5_k", 17],
  ["q6_k", 18],
  ["bf16", 32],
]);

/**
 * The dtype of a type code.
 *
 * @throws {RangeError} when the type is not supported; the message names it.
 */
export function ggufDtype(where: string, code: number): DType {
  const dtype = DTYPES.get(code);
  if (dtype !== undefined) return dtype;
  const readable = [...DTYPES.values()].join(", ");
  throw rangeError(
    "FILE_UNSUPPORTED",
    `Cannot read ${where}: type ${
      OTHERS.get(code) ?? code
    } is not supported; convert the file to one of ${readable}`,
  );
}

/**
 * The type code of a dtype.
 *
 * @throws {TypeError} when GGUF has no such type.
 */
export function ggufCode(where: string, dtype: DType): number {
  for (const [code, known] of DTYPES) if (known === dtype) return code;
  throw typeError(
    "CANNOT_SAVE",
    `Cannot write ${where}: GGUF has no ${dtype}; dequantize it or quantize it to a GGUF type`,
  );
}

/** The code for `general.file_type` of a file whose tensors are mostly of a dtype. */
export function ggufFileType(dtype: DType): number | undefined {
  return FILE_TYPES.get(dtype);
}
