/** Rows of CSV and TSV files as records: `csv-parse` reads them, strictly (RFC 4180). */
import type { JsonlRecord } from "../jsonl.ts";
import { through } from "./bytes.ts";
import { linesOf } from "./lines.ts";
import { rangeError, syntaxError } from "../../errors/error.ts";

/**
 * The rows below the heading, each cell as text. Quoted cells may hold line ends and quotes; a byte order mark
 * and CRLF are accepted. A record's line is the row's number below the heading.
 *
 * @throws {SyntaxError} when a row has another number of cells than the heading, a quote does not close, or
 * the bytes are not UTF-8.
 * @throws {RangeError} when two columns have the same name.
 */
export async function* csvRecords(
  chunks: () => AsyncIterable<Uint8Array>,
  file: string,
  delimiter: "," | "\t",
): AsyncGenerator<JsonlRecord> {
  await checkText(chunks(), file);
  const { parse } = await import("csv-parse");
  const parser = parse({ bom: true, delimiter, skip_empty_lines: true, relax_column_count: true });
  let heading: readonly string[] | undefined;
  let row = 0;
  try {
    for await (const cells of through<readonly string[]>(chunks(), parser)) {
      if (heading === undefined) {
        heading = checkHeading(cells, file);
        continue;
      }
      row++;
      if (cells.length !== heading.length) {
        throw syntaxError(
          "DATA_INVALID",
          `${file} row ${row}: it has ${cells.length} cells but the heading has ${heading.length}`,
        );
      }
      yield {
        file,
        line: row,
        unit: "row",
        value: Object.fromEntries(heading.map((name, i) => [name, cells[i]!])),
      };
    }
  } catch (error) {
    const { code, records } = error as { code?: string; records?: number };
    if (code === undefined || records === undefined) throw error;
    const reason = REASONS[code] ?? (error as Error).message;
    // The parser reads ahead of the rows that were taken, and counts the heading.
    throw syntaxError("DATA_INVALID", `${file} ${records === 0 ? "heading" : `row ${records}`}: ${reason}`, {
      cause: error,
    });
  }
}

/** What is wrong, by the parser's codes. */
const REASONS: Readonly<Record<string, string>> = {
  CSV_QUOTE_NOT_CLOSED: "a quote does not close before the end of the file",
  INVALID_OPENING_QUOTE:
    "a quote stands inside a cell: put the whole cell in quotes, and each quote in it twice",
  CSV_INVALID_CLOSING_QUOTE:
    "something follows the quote that closes a cell: write quotes inside a cell twice",
};

function checkHeading(names: readonly string[], file: string): readonly string[] {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw rangeError("DATA_INVALID", `Cannot read ${file}: two columns of its heading are named "${twice}"`);
  }
  return names;
}

/** @throws {SyntaxError} naming the line that is not UTF-8. */
async function checkText(chunks: AsyncIterable<Uint8Array>, file: string): Promise<void> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for await (const { line, bytes } of linesOf(chunks)) {
    try {
      decoder.decode(bytes);
    } catch (cause) {
      throw syntaxError("DATA_INVALID", `${file} line ${line}: the bytes are not UTF-8`, { cause });
    }
  }
}
