/**
 * Checkpoints that transformers saved with bitsandbytes: each quantized weight is a group of tensors in the
 * file and becomes one tensor here, of dtype nf4, fp4, nf4_double, fp4_double or int8, with the weight's own
 * shape. The codes and scales are the file's bytes, concatenated.
 *
 * 4 bit, of `w = …q_proj.weight`: w (codes), w.absmax, w.quant_map, w.quant_state.bitsandbytes__nf4 or __fp4 (JSON), and with
 * double quantization w.nested_absmax, w.nested_quant_map. 8 bit: w (I8), …q_proj.SCB, …q_proj.weight_format.
 */
import { byteLength, CODE_BLOCK, layout, NESTED_BLOCK, size } from "../tensor/mod.ts";
import type { DType } from "../tensor/mod.ts";
import { dynamicMap, FP4_MAP, NF4_MAP } from "./bitsandbytes_maps.ts";
import type { RawTensor, SafetensorsFile } from "./safetensors.ts";
import { isObject, parseJson } from "./strict_json.ts";
import type { StoredTensor, TensorFile } from "./tensor_file.ts";
import { rangeError, syntaxError } from "../errors/error.ts";

const STATE = /^(.+)\.quant_state\.bitsandbytes__(nf4|fp4)$/;

/**
 * A view of a safetensors file in which bitsandbytes groups are single tensors; all other tensors are
 * unchanged. Closing the view closes the file.
 *
 * @throws {SyntaxError} when a group's JSON is malformed.
 * @throws {RangeError} when a group lacks a part, has parts of the wrong size, a block size other than 64
 * (scales: 256), or a nonstandard code table.
 * @example
 * ```ts
 * import { bytesOf, castTo, reference, tensor } from "@graft/peft";
 * import {
 *   bitsandbytesGroup, bitsandbytesView, bytesSource, encodeSafetensors, openSafetensors,
 * } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * // Four bits as bitsandbytes writes them: several tensors in the file, one in the view.
 * const weight = castTo(tensor(Array.from({ length: 128 }, (_, i) => i), { backend: reference() }), "nf4");
 * const bytes = await bytesOf(weight);
 * const read = () => bytes;
 * const stored = { name: "q.weight", dtype: weight.dtype, shape: [2, 64], byteLength: bytes.length, read };
 * const file = openSafetensors(bytesSource("q", await encodeSafetensors(bitsandbytesGroup(stored))));
 * assert.ok(file.tensors.size > 1);
 * const view = bitsandbytesView(file);
 * assert.deepEqual([...view.tensors.keys()], ["q.weight"]);
 * assert.equal(view.tensors.get("q.weight")!.dtype, "nf4");
 * ```
 */
export function bitsandbytesView(file: SafetensorsFile): TensorFile {
  const tensors = new Map(file.tensors);
  for (const raw of file.raw.values()) {
    const state = STATE.exec(raw.name);
    if (state) replaceGroup(tensors, file, fourBit(file, raw, state[1]!, state[2] as "nf4" | "fp4"));
    else if (raw.name.endsWith(".SCB")) replaceGroup(tensors, file, eightBit(file, raw));
  }
  const left = [...tensors.keys()].find((name) =>
    /\.(quant_map|nested_absmax|nested_quant_map|weight_format)$/.test(name)
  );
  if (left !== undefined) {
    throw rangeError("FILE_INVALID", `Cannot read "${left}": the rest of its bitsandbytes group is missing`);
  }
  return { tensors, metadata: file.metadata, close: () => file.close() };
}

interface Group {
  readonly tensor: StoredTensor;
  readonly parts: readonly string[];
}

function replaceGroup(tensors: Map<string, StoredTensor>, file: SafetensorsFile, group: Group): void {
  for (const name of group.parts) if (file.raw.has(name)) tensors.delete(name);
  tensors.set(group.tensor.name, group.tensor);
}

function fourBit(file: SafetensorsFile, stateTensor: RawTensor, name: string, code: "nf4" | "fp4"): Group {
  const state = readState(name, stateTensor);
  const { shape } = state;
  const dtype: DType = state.nested ? `${code}_double` : code;
  const n = size(shape);
  const blocks = Math.ceil(n / CODE_BLOCK);
  const codes = part(file, name, name, Math.ceil(n / 2));
  const absmax = part(file, name, `${name}.absmax`, state.nested ? blocks : 4 * blocks);
  checkMap(file, name, `${name}.quant_map`, code === "nf4" ? NF4_MAP : FP4_MAP);
  const parts = [name, `${name}.absmax`, `${name}.quant_map`, stateTensor.name];
  const at = layout(dtype, shape);
  if (!state.nested) {
    const tensor = assembled(name, dtype, shape, [[0, codes], [at.scales, absmax]]);
    return { parts, tensor: { ...tensor, ...state.decodesTo && { decodesTo: state.decodesTo } } };
  }
  const nested = part(file, name, `${name}.nested_absmax`, 4 * Math.ceil(blocks / NESTED_BLOCK));
  checkMap(file, name, `${name}.nested_quant_map`, dynamicMap());
  const offset = { read: () => new Uint8Array(new Float32Array([state.offset]).buffer) };
  const tensor = assembled(name, dtype, shape, [
    [0, codes],
    [at.scales, absmax],
    [at.nested, nested],
    [at.offset, offset],
  ]);
  return {
    parts: [...parts, `${name}.nested_absmax`, `${name}.nested_quant_map`],
    tensor: { ...tensor, ...state.decodesTo && { decodesTo: state.decodesTo } },
  };
}

function eightBit(file: SafetensorsFile, scales: RawTensor): Group {
  const stem = scales.name.slice(0, -"SCB".length);
  const name = `${stem}weight`;
  const weight = file.raw.get(name);
  if (weight?.type !== "I8" || weight.shape.length !== 2) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot read "${scales.name}": expected "${name}" to be an I8 matrix beside it`,
    );
  }
  const [rows] = weight.shape as readonly [number, number];
  part(file, name, scales.name, 4 * rows);
  const format = file.raw.get(`${stem}weight_format`);
  if (format && format.read().some((byte) => byte !== 0)) {
    throw rangeError(
      "FILE_UNSUPPORTED",
      `Cannot read "${name}": only the row-major weight_format 0 is supported; save it again with a newer bitsandbytes`,
    );
  }
  const at = layout("int8", weight.shape);
  return {
    parts: [name, scales.name, `${stem}weight_format`],
    tensor: assembled(name, "int8", weight.shape, [[0, weight], [at.scales, scales]]),
  };
}

function assembled(
  name: string,
  dtype: DType,
  shape: readonly number[],
  parts: readonly (readonly [number, { read(): Uint8Array }])[],
): StoredTensor {
  const length = byteLength(dtype, shape);
  return {
    name,
    dtype,
    shape,
    byteLength: length,
    read() {
      const bytes = new Uint8Array(length);
      for (const [offset, source] of parts) bytes.set(source.read(), offset);
      return bytes;
    },
  };
}

function part(file: SafetensorsFile, group: string, name: string, bytes: number): RawTensor {
  const raw = file.raw.get(name);
  if (!raw) {
    throw rangeError("FILE_INVALID", `Cannot read "${group}": its bitsandbytes group has no "${name}"`);
  }
  if (raw.byteLength !== bytes) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot read "${group}": expected "${name}" to have ${bytes} bytes but found ${raw.byteLength}`,
    );
  }
  return raw;
}

interface State {
  readonly shape: readonly number[];
  readonly nested: boolean;
  readonly offset: number;
  readonly decodesTo: StoredTensor["decodesTo"];
}

/** The state's `dtype`. Files of older versions have none. */
function decodesTo(where: string, dtype: unknown): StoredTensor["decodesTo"] {
  switch (dtype) {
    case undefined:
      return undefined;
    case "float16":
      return "f16";
    case "bfloat16":
      return "bf16";
    case "float32":
      return "f32";
    default:
      throw rangeError(
        "FILE_INVALID",
        `Cannot read ${where}: expected dtype float16, bfloat16 or float32 but found ${
          JSON.stringify(dtype)
        }`,
      );
  }
}

function readState(name: string, raw: RawTensor): State {
  const where = `the quantization state of "${name}"`;
  const json = parseJson(where, raw.read());
  const field = (key: string): unknown => isObject(json) ? json[key] : undefined;
  const shape = field("shape");
  if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw syntaxError(
      "FILE_INVALID",
      `Cannot parse ${where}: its shape ${JSON.stringify(shape)} is not a list of sizes`,
    );
  }
  if (field("blocksize") !== CODE_BLOCK) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot read "${name}": expected blocksize ${CODE_BLOCK} but found ${field("blocksize")}`,
    );
  }
  const nestedBlock = field("nested_blocksize");
  const rounded = decodesTo(where, field("dtype"));
  if (nestedBlock === undefined) return { shape, nested: false, offset: 0, decodesTo: rounded };
  const offset = field("nested_offset");
  if (nestedBlock !== NESTED_BLOCK || field("nested_dtype") !== "float32" || typeof offset !== "number") {
    throw rangeError(
      "FILE_INVALID",
      `Cannot read "${name}": expected nested_blocksize ${NESTED_BLOCK} of float32 with a nested_offset but found ${nestedBlock} of ${
        field("nested_dtype")
      } with ${offset}`,
    );
  }
  return { shape, nested: true, offset, decodesTo: rounded };
}

/** Tables computed on other machines may differ in the last bits, so a relative error of 1e-6 is allowed. */
function checkMap(file: SafetensorsFile, group: string, name: string, expected: readonly number[]): void {
  const bytes = part(file, group, name, 4 * expected.length).read();
  const found = new Float32Array(bytes.buffer, bytes.byteOffset, expected.length);
  const wrong = expected.findIndex((value, i) => !(Math.abs(value - found[i]!) <= 1e-6 * Math.abs(value)));
  if (wrong >= 0) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot read "${group}": "${name}" is not the standard table; entry ${wrong} is ${
        found[wrong]
      } instead of ${expected[wrong]}`,
    );
  }
}
