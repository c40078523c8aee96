/**
 * Reading the fields of a request's body: checks type and range, and throws a `Problem` that names an invalid
 * field.
 */
import { Problem } from "./problem.ts";

/** A JSON object. */
export type Fields = Readonly<Record<string, unknown>>;

/** A value in a message, truncated if long. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** The problem for an invalid field. */
export function wrong(param: string, expected: string, found: unknown): Problem {
  return new Problem(`Expected "${param}" to be ${expected} but found ${shown(found)}`, {
    param,
    code: "invalid_value",
  });
}

const absent = (value: unknown): value is undefined | null => value === undefined || value === null;

/** A number in a range, or undefined where missing. */
export function numberField(
  body: Fields,
  name: string,
  range: { readonly from?: number; readonly to?: number; readonly integer?: true },
): number | undefined {
  const value = body[name];
  if (absent(value)) return undefined;
  const { from = -Infinity, to = Infinity, integer } = range;
  const good = typeof value === "number" && value >= from && value <= to &&
    (integer === undefined || Number.isSafeInteger(value));
  if (good) return value;
  const bounds = [
    ...range.from !== undefined ? [`from ${from}`] : [],
    ...range.to !== undefined ? [`to ${to}`] : [],
  ].join(" ");
  throw wrong(name, `${integer ? "an integer" : "a number"} ${bounds}`.trim(), value);
}

/** A boolean; false where missing. */
export function booleanField(body: Fields, name: string): boolean {
  const value = body[name];
  if (absent(value)) return false;
  if (typeof value === "boolean") return value;
  throw wrong(name, "true or false", value);
}

/** One string or up to `most` strings, none of them empty. */
export function textsField(body: Fields, name: string, most: number): readonly string[] {
  const value = body[name];
  if (absent(value)) return [];
  const list = Array.isArray(value) ? value : [value];
  if (list.length <= most && list.every((text) => typeof text === "string" && text !== "")) return list;
  throw wrong(name, `a text, or at most ${most} of them, none empty`, value);
}

/**
 * Refuses a field that would change the answer in a way that is not supported.
 *
 * @param neutral Whether a value has no effect.
 */
export function neutralField(body: Fields, name: string, neutral: (value: unknown) => boolean): void {
  const value = body[name];
  if (absent(value) || neutral(value)) return;
  throw new Problem(`"${name}": ${shown(value)} is not supported: leave it out`, {
    param: name,
    code: "unsupported_value",
  });
}
