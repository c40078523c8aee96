/**
 * safetensors files, whole or sharded: opened by reading the header, tensors are read by range on demand. The
 * format: https://github.com/huggingface/safetensors (its library defines the limits applied here).
 */
import { readFileSync } from "node:fs";
import { byteLength } from "../tensor/mod.ts";
import type { Shape } from "../tensor/mod.ts";
import { fileSource } from "./byte_source.ts";
import type { ByteSource } from "./byte_source.ts";
import { chunks } from "./chunks.ts";
import { plainDtype, storedPlain, toPlain } from "./plain_numbers.ts";
import type { NumberType } from "./plain_numbers.ts";
import { readHeader } from "./safetensors_header.ts";
import { isObject, parseJson } from "./strict_json.ts";
import type { StoredTensor, TensorFile } from "./tensor_file.ts";
import { systemCode } from "../platform/files.ts";
import { rangeError, syntaxError } from "../errors/error.ts";

/** A tensor exactly as stored, with the file's number type. */
export interface RawTensor {
  /** As in the header. */
  readonly name: string;
  /** As in the header. */
  readonly type: NumberType;
  /** Sizes, the contiguous axis last. */
  readonly shape: Shape;
  /** Number of stored bytes. */
  readonly byteLength: number;
  /** A new copy of the stored bytes. */
  read(): Uint8Array;
  /** The stored bytes in chunks; see `StoredTensor`. */
  chunks?(): Iterable<Uint8Array>;
}

/** An open safetensors file, or all the shards of one. */
export interface SafetensorsFile extends TensorFile {
  /** The header's `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** The same tensors with the file's own types; formats that reinterpret bytes (bitsandbytes) read these. */
  readonly raw: ReadonlyMap<string, RawTensor>;
}

/**
 * Opens one safetensors file. Number types without a dtype are converted while reading: F64 to f32, I8, I16,
 * U16, U32, I64 and U64 to i32 (an error when they do not fit), BOOL to u8.
 *
 * @param source A path, or bytes.
 * @throws {SyntaxError} when the header is malformed or a dtype unknown; the message names file and tensor.
 * @throws {RangeError} when sizes and ranges are inconsistent with each other or the file.
 * @example
 * ```ts
 * import { bytesSource, encodeSafetensors, openSafetensors } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const read = () => new Uint8Array(Float32Array.of(1, 2).buffer);
 * const bytes = await encodeSafetensors([{ name: "w", dtype: "f32", shape: [2], byteLength: 8, read }]);
 * const file = openSafetensors(bytesSource("example", bytes)); // or a path
 * assert.deepEqual(file.tensors.get("w")!.read(), read());
 * file.close();
 * ```
 */
export function openSafetensors(source: string | ByteSource): SafetensorsFile {
  const bytes = typeof source === "string" ? fileSource(source) : source;
  try {
    const { entries, metadata } = readHeader(bytes);
    const raw = entries.map(({ name, type, shape, begin, end }): RawTensor => ({
      name,
      type,
      shape,
      byteLength: end - begin,
      read: () => bytes.read(begin, end - begin),
      chunks: () => chunks(bytes, begin, end - begin),
    }));
    return safetensorsFile(bytes.name, raw, metadata, [bytes]);
  } catch (error) {
    bytes.close();
    throw error;
  }
}

/**
 * Opens a sharded checkpoint through its index (`model.safetensors.index.json`). Tensors in a shard that the
 * index does not list are not part of the checkpoint.
 *
 * @throws {SyntaxError} when the index is malformed or names a shard outside its folder.
 * @throws {RangeError} when a shard is missing, or lacks a tensor listed in the index.
 * @example
 * ```ts
 * import { openSafetensorsIndex, writeSafetensors } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const folder = await Deno.makeTempDir();
 * const read = () => new Uint8Array(Float32Array.of(1, 2).buffer);
 * await writeSafetensors(`${folder}/model-00001-of-00001.safetensors`, [
 *   { name: "w", dtype: "f32", shape: [2], byteLength: 8, read },
 * ]);
 * const index = JSON.stringify({ weight_map: { w: "model-00001-of-00001.safetensors" } });
 * await Deno.writeTextFile(`${folder}/model.safetensors.index.json`, index);
 * const file = openSafetensorsIndex(`${folder}/model.safetensors.index.json`);
 * assert.deepEqual([...file.tensors.keys()], ["w"]);
 * file.close();
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export function openSafetensorsIndex(path: string): SafetensorsFile {
  const index = parseJson(path, readFileSync(path));
  const map = isObject(index) ? index["weight_map"] : undefined;
  if (!isObject(map)) throw syntaxError("FILE_INVALID", `Cannot read ${path}: it has no object "weight_map"`);
  const folder = path.slice(0, Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
  const shards = new Map<string, SafetensorsFile>();
  try {
    const raw = Object.entries(map).map(([name, shard]): RawTensor => {
      const open = shards.get(String(shard)) ?? openShard(path, folder, name, shard);
      shards.set(String(shard), open);
      const tensor = open.raw.get(name);
      if (!tensor) {
        throw rangeError("FILE_INVALID", `Cannot read ${path}: shard "${shard}" has no tensor "${name}"`);
      }
      return tensor;
    });
    const metadata = new Map([...shards.values()].flatMap((shard) => [...shard.metadata]));
    return safetensorsFile(path, raw, metadata, [...shards.values()]);
  } catch (error) {
    for (const shard of shards.values()) shard.close();
    throw error;
  }
}

function openShard(path: string, folder: string, name: string, shard: unknown): SafetensorsFile {
  if (typeof shard !== "string" || !/^[^/\\]+\.safetensors$/.test(shard)) {
    throw syntaxError(
      "FILE_INVALID",
      `Cannot read ${path}: tensor "${name}" is mapped to ${
        JSON.stringify(shard)
      }, which is no file name in its folder`,
    );
  }
  try {
    return openSafetensors(folder + shard);
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
    throw rangeError(
      "FILE_INVALID",
      `Cannot read ${path}: shard "${shard}" with tensor "${name}" is missing`,
    );
  }
}

function safetensorsFile(
  file: string,
  raw: readonly RawTensor[],
  metadata: ReadonlyMap<string, string>,
  parts: readonly { close(): void }[],
): SafetensorsFile {
  return {
    raw: new Map(raw.map((tensor) => [tensor.name, tensor])),
    tensors: new Map(raw.map((tensor) => [tensor.name, storedTensor(file, tensor)])),
    metadata,
    close() {
      for (const part of parts) part.close();
    },
  };
}

function storedTensor(file: string, tensor: RawTensor): StoredTensor {
  const { name, type, shape } = tensor;
  const dtype = plainDtype(type);
  return {
    name,
    dtype,
    shape,
    byteLength: byteLength(dtype, shape),
    read: () => toPlain(`tensor "${name}" of ${file}`, type, tensor.read()),
    ...storedPlain(type) && tensor.chunks && { chunks: tensor.chunks },
  };
}
