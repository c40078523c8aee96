/** The elements of a JSON array one at a time, so that an array may be larger than memory. */
import { joined } from "./lines.ts";
import { syntaxError } from "../../errors/error.ts";

const QUOTE = 34, BACKSLASH = 92, COMMA = 44, OPEN = 91, CLOSE = 93, OPEN_OBJECT = 123, CLOSE_OBJECT = 125;

/** One element of the array. */
export interface Element {
  /** From 1. */
  readonly row: number;
  /** Its JSON. */
  readonly bytes: Uint8Array;
}

/**
 * The elements of the array that some bytes hold, white space around it allowed. Only brackets, commas and
 * quotes are looked at here: each element is checked by whoever parses it.
 *
 * @throws {SyntaxError} when the array does not end, or something follows it.
 */
export async function* elementsOf(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Element> {
  let [depth, row, inText, escaped, ended] = [0, 0, false, false, false];
  let pending: Uint8Array[] = [];
  for await (const chunk of chunks) {
    let from = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (inText) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inText = false;
        continue;
      }
      if (ended) {
        if (!isSpace(byte)) throw syntaxError("DATA_INVALID", `${name}: something follows the JSON array`);
        continue;
      }
      if (byte === QUOTE) inText = true;
      else if (byte === OPEN || byte === OPEN_OBJECT) {
        depth++;
        if (depth === 1) from = i + 1;
      } else if (byte === CLOSE || byte === CLOSE_OBJECT) depth--;
      if ((byte === COMMA && depth === 1) || (byte === CLOSE && depth === 0)) {
        const bytes = joined(pending, chunk.subarray(from, i));
        pending = [];
        from = i + 1;
        ended = depth === 0;
        // An empty array has one empty element.
        if (!(ended && row === 0 && bytes.every(isSpace))) yield { row: ++row, bytes };
      }
    }
    if (!ended && depth > 0) pending.push(chunk.slice(from));
  }
  if (!ended) throw syntaxError("DATA_INVALID", `${name} row ${row + 1}: the JSON array is cut off`);
}

const isSpace = (byte: number): boolean => byte === 32 || byte === 9 || byte === 10 || byte === 13;
