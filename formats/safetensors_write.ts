/** Writes safetensors: first the header, which needs only names and shapes, then each tensor in turn. */
import type { DType } from "../tensor/mod.ts";
import { writeAtomically } from "./atomic_write.ts";
import type { ByteSink } from "./atomic_write.ts";
import { NUMBER_BYTES } from "./plain_numbers.ts";
import type { NumberType } from "./plain_numbers.ts";
import type { RawTensor } from "./safetensors.ts";
import { checkTensorName } from "./tensor_file.ts";
import type { WritableTensor } from "./tensor_file.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** An input of a safetensors file: a tensor of a plain dtype, or bytes with the file's own number type. */
export type SafetensorsInput = WritableTensor | RawTensor;

/**
 * Writes a safetensors file atomically, tensors in the order of the safetensors library (wide types first, then names).
 * A tensor's `read` is called once, so a lazily made tensor exists only while it is written.
 *
 * @throws {TypeError} when a tensor's dtype is quantized (see `bitsandbytesGroup`, `writeGguf`).
 * @throws {RangeError} when two tensors have the same name, or one delivers the wrong number of bytes.
 * @example
 * ```ts
 * import { openSafetensors, writeSafetensors } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const path = await Deno.makeTempFile({ suffix: ".safetensors" });
 * const read = () => new Uint8Array(Float32Array.of(1, 2).buffer);
 * await writeSafetensors(path, [{ name: "w", dtype: "f32", shape: [2], byteLength: 8, read }]);
 * const file = openSafetensors(path);
 * assert.deepEqual(file.tensors.get("w")!.shape, [2]);
 * file.close();
 * await Deno.remove(path);
 * ```
 */
export function writeSafetensors(
  path: string,
  tensors: Iterable<SafetensorsInput>,
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): Promise<void> {
  const plan = layOut(path, tensors, metadata);
  return writeAtomically(path, (sink) => emit(path, plan, sink));
}

/**
 * The bytes of a safetensors file, in memory: for a browser, which has no files. Throws as
 * `writeSafetensors`.
 *
 * @example
 * ```ts
 * import { bytesSource, encodeSafetensors, openSafetensors } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const read = () => new Uint8Array(Float32Array.of(1, 2).buffer);
 * const bytes = await encodeSafetensors([{ name: "w", dtype: "f32", shape: [2], byteLength: 8, read }]);
 * assert.deepEqual(openSafetensors(bytesSource("in memory", bytes)).tensors.get("w")!.read(), read());
 * ```
 */
export async function encodeSafetensors(
  tensors: Iterable<SafetensorsInput>,
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): Promise<Uint8Array> {
  const plan = layOut("the file", tensors, metadata);
  const bytes = new Uint8Array(plan.header.length + plan.rows.reduce((sum, row) => sum + row.bytes, 0));
  let end = 0;
  await emit("the file", plan, {
    write(part) {
      bytes.set(part, end);
      end += part.length;
    },
  });
  return bytes;
}

interface Row {
  readonly input: SafetensorsInput;
  readonly type: NumberType;
  readonly bytes: number;
}

interface Plan {
  readonly header: Uint8Array;
  readonly rows: readonly Row[];
}

function layOut(
  file: string,
  tensors: Iterable<SafetensorsInput>,
  metadata: Readonly<Record<string, string>>,
): Plan {
  const rows = [...tensors].map((input): Row => {
    checkTensorName(file, input.name);
    const type = "type" in input ? input.type : numberType(file, input.name, input.dtype);
    return { input, type, bytes: input.shape.reduce((a, b) => a * b, NUMBER_BYTES[type]) };
  });
  const order = Object.keys(NUMBER_BYTES);
  const rank = (row: Row) => order.indexOf(row.type);
  rows.sort((a, b) => rank(b) - rank(a) || (a.input.name < b.input.name ? -1 : 1));
  const entries: [string, unknown][] = Object.keys(metadata).length > 0 ? [["__metadata__", metadata]] : [];
  const names = new Set<string>(["__metadata__"]);
  let end = 0;
  for (const { input, type, bytes } of rows) {
    if (names.has(input.name)) {
      throw rangeError("CANNOT_SAVE", `Cannot write ${file}: the tensor name "${input.name}" occurs twice`);
    }
    names.add(input.name);
    entries.push([input.name, { dtype: type, shape: input.shape, data_offsets: [end, end += bytes] }]);
  }
  // Built by hand: an object would move names that look like integers to the front.
  const json = `{${
    entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(",")
  }}`;
  const text = new TextEncoder().encode(json);
  const header = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(text, 8);
  return { header, rows };
}

async function emit(file: string, plan: Plan, sink: ByteSink): Promise<void> {
  sink.write(plan.header);
  for (const { input, bytes } of plan.rows) {
    const data = await input.read();
    if (data.length !== bytes) {
      throw rangeError(
        "CANNOT_SAVE",
        `Cannot write tensor "${input.name}" of ${file}: expected ${bytes} bytes but found ${data.length}`,
      );
    }
    sink.write(data);
  }
}

function numberType(file: string, name: string, dtype: DType): NumberType {
  switch (dtype) {
    case "f32":
      return "F32";
    case "f16":
      return "F16";
    case "bf16":
      return "BF16";
    case "i32":
      return "I32";
    case "u8":
      return "U8";
    default:
      throw typeError(
        "CANNOT_SAVE",
        `Cannot write tensor "${name}" of ${file}: safetensors has no ${dtype}; dequantize it or use bitsandbytesGroup`,
      );
  }
}
