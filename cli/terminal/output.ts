/**
 * Output of commands: tables, sizes, JSON. Results go to standard output, everything else to standard error.
 */
import { Exit } from "./arguments.ts";
import { systemCode } from "../../platform/files.ts";
import { writeStream } from "../../platform/streams.ts";

/** Sizes in human-readable form: "1.25 GB". */
export function showBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = bytes < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${power === 0 ? bytes : (bytes / 1000 ** power).toPrecision(3)} ${units[power]}`;
}

/** "1,234,567". */
export function showCount(n: number): string {
  return n.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/** "1 row", "1,234 rows". */
export function showUnits(n: number, unit: string): string {
  return `${showCount(n)} ${unit}${n === 1 ? "" : "s"}`;
}

/** "2 h 5 min", "3 min 20 s", "4 s". */
export function showSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h} h ${m} min` : m > 0 ? `${m} min ${s} s` : `${s} s`;
}

/** Columns aligned: the first to the left, the others to the right. The first row is the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] ?? "").length)));
  return rows.map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("  ").trimEnd()
  ).join("\n");
}

/** A word quoted for a shell. */
export function shellWord(text: string): string {
  return /^[\p{L}\p{N}_@%+=:,./-]+$/u.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Writes a line of the result. */
export function print(text: string): void {
  writeAll(1, `${text}\n`);
}

/** Writes the result as JSON. Infinities and NaN, which JSON lacks, become strings. */
export function printJson(value: unknown): void {
  print(JSON.stringify(
    value,
    (_, v) => typeof v === "number" && !Number.isFinite(v) ? String(v) : v,
    2,
  ));
}

/** Writes a chunk of text immediately, without a line end. */
export function printChunk(text: string): void {
  writeAll(1, text);
}

/** Tells the user something that is not the result. */
export function note(text: string): void {
  writeAll(2, `${text}\n`);
}

function writeAll(to: 1 | 2, text: string): void {
  try {
    writeStream(to, new TextEncoder().encode(text));
  } catch (error) {
    // The reader, such as head, has gone, which is not an error. 128 + SIGPIPE, as in shells.
    if (systemCode(error) === "EPIPE") throw new Exit(141);
    throw error;
  }
}
