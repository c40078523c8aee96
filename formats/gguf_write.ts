/** Writes GGUF version 3: metadata, tensor list, then each tensor's data in turn. */
import { byteLength } from "../tensor/mod.ts";
import { writeAtomically } from "./atomic_write.ts";
import { aligned, alignmentOf } from "./gguf.ts";
import { encodeGgufText, encodeGgufValue, long, word } from "./gguf_metadata.ts";
import type { GgufValue } from "./gguf_metadata.ts";
import { ggufCode } from "./gguf_types.ts";
import { checkTensorName } from "./tensor_file.ts";
import type { WritableTensor } from "./tensor_file.ts";
import { rangeError } from "../errors/error.ts";

/** llama.cpp keeps names in 64 bytes, the last of which is zero. */
const NAME_LIMIT = 63;

/**
 * Writes a GGUF file atomically, tensors in the order given, data aligned to `general.alignment` (default
 * 32). A tensor's `read` is called once, so a lazy tensor is in memory only while it is written.
 *
 * @param fields Metadata with types; start with `general.architecture`.
 * @throws {TypeError} when a tensor's dtype does not exist in GGUF.
 * @throws {RangeError} when names repeat or are too long, a tensor has more than 4 axes, a number does not fit its
 * type, or a tensor delivers the wrong number of bytes.
 * @example
 * ```ts
 * import { writeGguf } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const path = await Deno.makeTempFile({ suffix: ".gguf" });
 * await writeGguf(path, new Map([["general.architecture", { type: "string", value: "llama" }]]), [{
 *   name: "output_norm.weight",
 *   dtype: "f32",
 *   shape: [2],
 *   byteLength: 8,
 *   read: () => new Uint8Array(Float32Array.of(1, 2).buffer),
 * }]);
 * const magic = (await Deno.readFile(path)).slice(0, 4);
 * assert.equal(new TextDecoder().decode(magic), "GGUF");
 * await Deno.remove(path);
 * ```
 */
export async function writeGguf(
  path: string,
  fields: ReadonlyMap<string, GgufValue>,
  tensors: Iterable<WritableTensor>,
): Promise<void> {
  const list = [...tensors];
  const alignment = alignmentOf(path, fields);
  const head = header(path, fields, list, alignment);
  await writeAtomically(path, async (sink) => {
    for (const chunk of head) sink.write(chunk);
    for (const tensor of list) {
      const data = await tensor.read();
      const expected = byteLength(tensor.dtype, tensor.shape);
      if (data.length !== expected) {
        throw rangeError(
          "CANNOT_SAVE",
          `Cannot write tensor "${tensor.name}" of ${path}: expected ${expected} bytes but found ${data.length}`,
        );
      }
      sink.write(data);
      sink.write(new Uint8Array(aligned(expected, alignment) - expected));
    }
  });
}

/** Everything before the data, padded to the alignment. */
function header(
  path: string,
  fields: ReadonlyMap<string, GgufValue>,
  tensors: readonly WritableTensor[],
  alignment: number,
): readonly Uint8Array[] {
  const chunks: Uint8Array[] = [
    new TextEncoder().encode("GGUF"),
    word(3),
    long(tensors.length),
    long(fields.size),
  ];
  for (const [key, value] of fields) {
    for (const part of encodeGgufText(key)) chunks.push(part);
    for (const part of encodeGgufValue(key, value)) chunks.push(part);
  }
  const names = new Set<string>();
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    const where = `tensor "${name}" of ${path}`;
    checkTensorName(path, name);
    if (names.has(name)) throw rangeError("CANNOT_SAVE", `Cannot write ${where}: the name occurs twice`);
    names.add(name);
    const text = encodeGgufText(name);
    if (text[1]!.length > NAME_LIMIT) {
      throw rangeError("CANNOT_SAVE", `Cannot write ${where}: its name has more than ${NAME_LIMIT} bytes`);
    }
    if (shape.length > 4) {
      throw rangeError("CANNOT_SAVE", `Cannot write ${where}: it has ${shape.length} axes; GGUF allows 4`);
    }
    chunks.push(
      ...text,
      word(shape.length),
      ...shape.toReversed().map(long),
      word(ggufCode(where, dtype)),
      long(offset),
    );
    offset = aligned(offset + byteLength(dtype, shape), alignment);
  }
  const end = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  return [joined([...chunks, new Uint8Array(aligned(end, alignment) - end)])];
}

/**
 * Concatenates the chunks: a vocabulary has some hundred thousand of them, and each write is a system call.
 */
function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let end = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, end);
    end += chunk.length;
  }
  return bytes;
}
