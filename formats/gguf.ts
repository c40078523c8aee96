/**
 * GGUF files, versions 2 and 3: header, typed metadata, tensor list, aligned data. All counts, lengths and ranges are
 * checked against the file before they are used.
 *
 * This is our own parser. `@huggingface/gguf` (0.4) reads only from URLs or paths and asynchronously, does
 * not check tensor ranges against the file, accepts repeated names and keys, and does not know block sizes,
 * so everything relevant for safety would have to be written here anyway.
 */
import { byteLength, showShape, size } from "../tensor/mod.ts";
import type { DType, Shape } from "../tensor/mod.ts";
import { fileSource } from "./byte_source.ts";
import type { ByteSource } from "./byte_source.ts";
import { cursor } from "./gguf_cursor.ts";
import type { Cursor } from "./gguf_cursor.ts";
import { plainGgufValue, readGgufValue } from "./gguf_metadata.ts";
import type { GgufValue } from "./gguf_metadata.ts";
import { ggufDtype } from "./gguf_types.ts";
import { chunks } from "./chunks.ts";
import { checkTensorName } from "./tensor_file.ts";
import type { StoredTensor, TensorFile } from "./tensor_file.ts";
import { rangeError, syntaxError } from "../errors/error.ts";

/** An open GGUF file; tensors under the file's own names, shapes in our order (the last axis is contiguous). */
export interface GgufFile extends TensorFile {
  /** 2 or 3. */
  readonly version: number;
  /** Metadata without types: numbers (bigint only above 2^53), booleans, strings, arrays. */
  readonly metadata: ReadonlyMap<string, unknown>;
  /** The same metadata with types, as `writeGguf` takes it. */
  readonly fields: ReadonlyMap<string, GgufValue>;
}

/**
 * Opens a GGUF file. GGUF lists a tensor's sizes with the contiguous axis first; they are reversed here.
 *
 * @param source A path, or bytes.
 * @throws {SyntaxError} when it is not a GGUF file of a known version, or its header is malformed.
 * @throws {RangeError} when counts, shapes or ranges do not fit the file, or a tensor has an unsupported
 * type.
 * @example
 * ```ts
 * import { openGguf, writeGguf } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const path = await Deno.makeTempFile({ suffix: ".gguf" });
 * const read = () => new Uint8Array(Float32Array.of(1, 2).buffer);
 * await writeGguf(path, new Map([["general.architecture", { type: "string", value: "llama" }]]), [
 *   { name: "output_norm.weight", dtype: "f32", shape: [2], byteLength: 8, read },
 * ]);
 * const file = openGguf(path);
 * assert.equal(file.metadata.get("general.architecture"), "llama");
 * assert.deepEqual(file.tensors.get("output_norm.weight")!.read(), read());
 * file.close();
 * await Deno.remove(path);
 * ```
 */
export function openGguf(source: string | ByteSource): GgufFile {
  const bytes = typeof source === "string" ? fileSource(source) : source;
  try {
    const from = cursor(bytes);
    const version = readVersion(bytes.name, from);
    const tensorCount = from.count("the number of tensors", 24);
    const fieldCount = from.count("the number of metadata fields", 13);
    const fields = readFields(bytes.name, from, fieldCount);
    const entries = Array.from({ length: tensorCount }, () => readEntry(bytes.name, from));
    const alignment = alignmentOf(bytes.name, fields);
    const tensors = placeTensors(bytes, entries, alignment, aligned(from.offset(), alignment));
    const metadata = new Map([...fields].map(([key, value]) => [key, plainGgufValue(value)]));
    return { version, fields, metadata, tensors, close: () => bytes.close() };
  } catch (error) {
    bytes.close();
    throw error;
  }
}

/** The alignment of tensor data given by a file's metadata, default 32. */
export function alignmentOf(file: string, fields: ReadonlyMap<string, GgufValue>): number {
  const field = fields.get("general.alignment");
  if (field === undefined) return 32;
  const n = field.type === "u32" ? field.value : NaN;
  if (!(n > 0 && n <= 1 << 20 && (n & (n - 1)) === 0)) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot use ${file}: expected general.alignment to be a power of two up to 1048576 but found ${
        plainGgufValue(field)
      }`,
    );
  }
  return n;
}

/** The next multiple of the alignment. */
export function aligned(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

interface Entry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
  /** Offset from the start of the data. */
  readonly offset: number;
}

function readVersion(file: string, from: Cursor): number {
  const head = from.take("the GGUF header", 8);
  if (head.getUint32(0, false) !== 0x47475546) {
    throw syntaxError("FILE_INVALID", `Cannot read ${file}: it is not a GGUF file`);
  }
  const version = head.getUint32(4, true);
  if (version !== 2 && version !== 3) {
    const found = version > 0 && version % 65536 === 0 ? "a big-endian file" : `version ${version}`;
    throw syntaxError(
      "FILE_UNSUPPORTED",
      `Cannot read ${file}: expected little-endian GGUF version 2 or 3 but found ${found}`,
    );
  }
  return version;
}

function readFields(file: string, from: Cursor, count: number): ReadonlyMap<string, GgufValue> {
  const fields = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = from.text(`the name of metadata field ${i}`);
    if (fields.has(key)) {
      throw syntaxError("FILE_INVALID", `Cannot read ${file}: metadata "${key}" occurs twice`);
    }
    fields.set(key, readGgufValue(file, key, from));
  }
  return fields;
}

function readEntry(file: string, from: Cursor): Entry {
  const name = from.text("a tensor name");
  checkTensorName(file, name);
  const where = `tensor "${name}" of ${file}`;
  const rank = from.take(where, 4).getUint32(0, true);
  if (rank > 4) {
    throw rangeError("FILE_INVALID", `Cannot read ${where}: it claims ${rank} axes; GGUF allows 4`);
  }
  const dims = from.take(where, 8 * rank);
  const shape = Array.from({ length: rank }, (_, i) => Number(dims.getBigUint64(8 * (rank - 1 - i), true)));
  const tail = from.take(where, 12);
  if (!shape.every(Number.isSafeInteger) || !Number.isSafeInteger(size(shape))) {
    throw rangeError("FILE_INVALID", `Cannot read ${where}: its shape ${showShape(shape)} is too large`);
  }
  return {
    name,
    shape,
    dtype: ggufDtype(where, tail.getUint32(0, true)),
    offset: Number(tail.getBigUint64(4, true)),
  };
}

function placeTensors(
  source: ByteSource,
  entries: readonly Entry[],
  alignment: number,
  dataStart: number,
): ReadonlyMap<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  for (const { name, dtype, shape, offset } of entries) {
    const where = `tensor "${name}" of ${source.name}`;
    if (tensors.has(name)) throw syntaxError("FILE_INVALID", `Cannot read ${where}: the name occurs twice`);
    const length = bytesOf(where, dtype, shape);
    if (dataStart + offset + length > source.byteLength) {
      throw rangeError(
        "FILE_INVALID",
        `Cannot read ${where}: its data end at byte ${
          dataStart + offset + length
        } but the file has ${source.byteLength}`,
      );
    }
    tensors.set(name, {
      name,
      dtype,
      shape,
      byteLength: length,
      read: () => source.read(dataStart + offset, length),
      chunks: () => chunks(source, dataStart + offset, length),
    });
  }
  // Data are contiguous, each padded to the alignment: no overlaps and no gaps.
  let expected = 0;
  for (const { name, offset } of [...entries].sort((a, b) => a.offset - b.offset)) {
    const bytes = tensors.get(name)!.byteLength;
    if (offset !== expected) {
      throw rangeError(
        "FILE_INVALID",
        `Cannot read tensor "${name}" of ${source.name}: its data start at ${offset}, which ${
          offset % alignment !== 0
            ? `is not aligned to ${alignment}`
            : offset < expected
            ? "overlaps another tensor"
            : "leaves a gap"
        }; expected ${expected}`,
      );
    }
    expected = aligned(offset + bytes, alignment);
  }
  return tensors;
}

function bytesOf(where: string, dtype: DType, shape: Shape): number {
  try {
    return byteLength(dtype, shape);
  } catch (error) {
    throw rangeError("FILE_INVALID", `Cannot read ${where}: ${(error as Error).message}`);
  }
}
