/** Rows of Parquet files as records: `hyparquet` reads them, one group of rows at a time. */
import { open } from "node:fs/promises";
import type { JsonlRecord } from "../jsonl.ts";
import { rangeError, syntaxError, typeError } from "../../errors/error.ts";

/** Rows that are decoded together, where a group of rows has more. */
const AT_ONCE = 4096;

/**
 * The rows in order. Nested columns are lists and objects; integers that a number can hold are numbers, others
 * their digits; dates are ISO 8601.
 *
 * @throws {SyntaxError} when the file is no Parquet, or damaged.
 * @throws {TypeError} when a column holds bytes that are no text; the message names row and column.
 */
export async function* parquetRecords(file: string): AsyncGenerator<JsonlRecord> {
  const [{ parquetMetadataAsync, parquetReadObjects }, { compressors }] = await Promise.all([
    import("hyparquet"),
    import("hyparquet-compressors"),
  ]);
  await using handle = await open(file);
  const { size } = await handle.stat();
  const source = {
    byteLength: size,
    slice: async (start: number, end: number = size): Promise<ArrayBuffer> => {
      const bytes = new Uint8Array(Math.max(0, end - start));
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
      if (bytesRead < bytes.length) throw rangeError("DATA_INVALID", "the file is cut off");
      return bytes.buffer;
    },
  };
  const read = async <T>(what: () => Promise<T>): Promise<T> => {
    try {
      return await what();
    } catch (cause) {
      throw syntaxError("DATA_INVALID", `Cannot read ${file} as Parquet: ${(cause as Error).message}`, {
        cause,
      });
    }
  };
  const metadata = await read(() => parquetMetadataAsync(source));
  const columns = metadata.schema[0] === undefined ? [] : topColumns(metadata.schema);
  const twice = columns.find((name, i) => columns.indexOf(name) !== i);
  if (twice !== undefined) {
    throw rangeError("DATA_INVALID", `Cannot read ${file}: two of its columns are named "${twice}"`);
  }
  let before = 0;
  for (const group of metadata.row_groups) {
    const end = before + Number(group.num_rows);
    for (let rowStart = before; rowStart < end; rowStart += AT_ONCE) {
      const rowEnd = Math.min(end, rowStart + AT_ONCE);
      const rows = await read(() =>
        parquetReadObjects({
          file: source,
          metadata,
          rowStart,
          rowEnd,
          compressors,
          parsers: { stringFromBytes },
        })
      );
      for (const [i, row] of rows.entries()) {
        const line = rowStart + i + 1;
        const value = Object.fromEntries(
          Object.entries(row).map(([name, cell]) => [name, plain(cell, `${file} row ${line}`, name)]),
        );
        yield { file, line, unit: "row", value };
      }
    }
    before = end;
  }
}

/** The text, or the bytes where they are none, for whoever knows the row. */
function stringFromBytes(bytes: Uint8Array | undefined): string | Uint8Array | undefined {
  try {
    return bytes && new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return bytes;
  }
}

interface SchemaElement {
  readonly name: string;
  readonly num_children?: number | undefined;
}

/** Names of the columns, without what is nested in them: the schema lists a tree depth first. */
function topColumns(schema: readonly SchemaElement[]): readonly string[] {
  const names: string[] = [];
  for (let i = 1; i < schema.length;) {
    names.push(schema[i]!.name);
    for (let open = 1; open > 0 && i < schema.length; i++) open += (schema[i]!.num_children ?? 0) - 1;
  }
  return names;
}

/** A cell as JSON has it. */
function plain(cell: unknown, where: string, name: string): unknown {
  if (cell === undefined) return null;
  if (typeof cell === "bigint") {
    return Number.isSafeInteger(Number(cell)) ? Number(cell) : String(cell);
  }
  if (cell instanceof Date) return cell.toISOString();
  if (cell instanceof Uint8Array) {
    throw typeError("DATA_INVALID", `${where}: column "${name}" holds bytes that are not UTF-8`);
  }
  if (ArrayBuffer.isView(cell)) {
    return Array.from(cell as Uint8Array, (x) => plain(x, where, name));
  }
  if (Array.isArray(cell)) return cell.map((x) => plain(x, where, name));
  if (typeof cell === "object" && cell !== null) {
    return Object.fromEntries(Object.entries(cell).map(([key, x]) => [key, plain(x, where, name)]));
  }
  return cell;
}
