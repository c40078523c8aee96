/**
 * The header of a safetensors file: 8 bytes of length, then JSON `{ name: { dtype, shape, data_offsets } }`,
 * then data. Everything in it is checked before a byte of data is read; the ranges must tile the data
 * exactly, so no two tensors share bytes and there are no gaps.
 */
import { showShape } from "../tensor/mod.ts";
import type { Shape } from "../tensor/mod.ts";
import type { ByteSource } from "./byte_source.ts";
import { isNumberType, NUMBER_BYTES } from "./plain_numbers.ts";
import type { NumberType } from "./plain_numbers.ts";
import { isObject, parseJson } from "./strict_json.ts";
import { checkTensorName } from "./tensor_file.ts";
import { rangeError, syntaxError } from "../errors/error.ts";

/** Maximum header size in bytes; the same limit as in the safetensors library. */
export const HEADER_LIMIT = 100_000_000;

/** One tensor as described by the header. `begin` and `end` are offsets into the file. */
export interface HeaderEntry {
  readonly name: string;
  readonly type: NumberType;
  readonly shape: Shape;
  readonly begin: number;
  readonly end: number;
}

/** A checked header; entries in the order of their data. */
export interface Header {
  readonly entries: readonly HeaderEntry[];
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Reads and checks the header.
 *
 * @throws {SyntaxError} when it is not a header: wrong JSON, wrong fields, repeated names, an unknown dtype.
 * @throws {RangeError} when sizes or ranges are inconsistent with each other or the file.
 */
export function readHeader(source: ByteSource): Header {
  const file = source.name;
  if (source.byteLength < 8) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot read ${file}: a safetensors file has at least 8 bytes but this one has ${source.byteLength}`,
    );
  }
  const length = new DataView(source.read(0, 8).buffer).getBigUint64(0, true);
  if (length > BigInt(HEADER_LIMIT)) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot read ${file}: its header claims ${length} bytes; at most ${HEADER_LIMIT} are allowed`,
    );
  }
  const dataStart = 8 + Number(length);
  if (dataStart > source.byteLength) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot read ${file}: its header claims ${length} bytes but only ${source.byteLength - 8} follow`,
    );
  }
  const json = parseJson(`the header of ${file}`, source.read(8, Number(length)));
  if (!isObject(json)) {
    throw syntaxError("FILE_INVALID", `Cannot read ${file}: its header is not a JSON object`);
  }
  const { __metadata__: metadata, ...tensors } = json;
  const entries = Object.entries(tensors).map(([name, value]) => readEntry(file, dataStart, name, value));
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkTiling(file, entries, dataStart, source.byteLength);
  return { entries, metadata: readMetadata(file, metadata) };
}

function readEntry(file: string, dataStart: number, name: string, value: unknown): HeaderEntry {
  checkTensorName(file, name);
  const where = `tensor "${name}" of ${file}`;
  if (!isObject(value)) {
    throw syntaxError("FILE_INVALID", `Cannot read ${where}: its header entry is not an object`);
  }
  const { dtype, shape, data_offsets: offsets } = value;
  const absent = ["dtype", "shape", "data_offsets"].find((field) => value[field] === undefined);
  if (absent !== undefined) {
    throw syntaxError("FILE_INVALID", `Cannot read ${where}: its header entry has no ${absent}`);
  }
  if (!isNumberType(dtype)) {
    throw syntaxError(
      "FILE_UNSUPPORTED",
      `Cannot read ${where}: dtype ${JSON.stringify(dtype)} is not supported; save it as F32, F16 or BF16`,
    );
  }
  if (!isCounts(shape)) {
    throw syntaxError(
      "FILE_INVALID",
      `Cannot read ${where}: its shape ${JSON.stringify(shape)} is not a list of sizes`,
    );
  }
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw syntaxError(
      "FILE_INVALID",
      `Cannot read ${where}: its data_offsets ${JSON.stringify(offsets)} are not two offsets`,
    );
  }
  const [begin, end] = offsets as [number, number];
  const bytes = shape.reduce((a, b) => a * b, NUMBER_BYTES[dtype]);
  if (!Number.isSafeInteger(bytes) || end - begin !== bytes) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot read ${where}: ${dtype} ${
        showShape(shape)
      } takes ${bytes} bytes but its range ${begin} to ${end} has ${end - begin}`,
    );
  }
  return { name, type: dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

function checkTiling(
  file: string,
  entries: readonly HeaderEntry[],
  dataStart: number,
  fileEnd: number,
): void {
  let expected = dataStart;
  for (const { name, begin, end } of entries) {
    if (begin !== expected) {
      throw rangeError(
        "FILE_INVALID",
        `Cannot read tensor "${name}" of ${file}: its data start at ${begin - dataStart}, which ${
          begin < expected ? "overlaps another tensor" : "leaves a gap"
        }; expected ${expected - dataStart}`,
      );
    }
    if (end > fileEnd) {
      throw rangeError(
        "FILE_INVALID",
        `Cannot read tensor "${name}" of ${file}: its data end at byte ${end} but the file has ${fileEnd} bytes`,
      );
    }
    expected = end;
  }
  if (expected !== fileEnd) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot read ${file}: ${fileEnd - expected} bytes after the last tensor belong to none`,
    );
  }
}

function readMetadata(file: string, value: unknown): ReadonlyMap<string, string> {
  if (value === undefined) return new Map();
  if (!isObject(value) || !Object.values(value).every((text) => typeof text === "string")) {
    throw syntaxError("FILE_INVALID", `Cannot read ${file}: its __metadata__ is not an object of texts`);
  }
  return new Map(Object.entries(value) as [string, string][]);
}

function isCounts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
