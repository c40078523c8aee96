/**
 * JSON from untrusted files: no repeated keys (JSON.parse silently keeps the last), no `__proto__`, limited
 * depth.
 */
import { syntaxError } from "../errors/error.ts";

/** Maximum nesting depth, as in serde_json, which Python's safetensors and tokenizers use. */
const DEPTH_LIMIT = 128;

/**
 * Parses UTF-8 JSON.
 *
 * @param where What is parsed, for error messages.
 * @throws {SyntaxError} when the bytes are not UTF-8 or not JSON, when values nest more than 128 deep, when an object has
 *   a key twice, or a key `__proto__`.
 * @example
 * ```ts
 * import { parseJson } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const bytes = (text: string) => new TextEncoder().encode(text);
 * assert.deepEqual(parseJson("a file", bytes('{ "r": 8 }')), { r: 8 });
 * assert.throws(() => parseJson("a file", bytes('{ "r": 8, "r": 9 }')), SyntaxError); // a key twice
 * ```
 */
export function parseJson(where: string, bytes: Uint8Array): unknown {
  if (isDeep(bytes)) {
    throw syntaxError("FILE_INVALID", `Cannot parse ${where}: values nest more than ${DEPTH_LIMIT} deep`);
  }
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (error) {
    throw syntaxError("FILE_INVALID", `Cannot parse ${where}: ${(error as Error).message}`);
  }
  const key = forbiddenKey(text);
  if (key !== undefined) {
    throw syntaxError(
      "FILE_INVALID",
      `Cannot parse ${where}: the key "${key}" ${key === "__proto__" ? "is not allowed" : "occurs twice"}`,
    );
  }
  return value;
}

/** Whether a parsed value is an object (and not an array). */
export function isObject(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Whether brackets outside of strings are nested too deeply. Checked before parsing, which takes memory per
 * level.
 */
function isDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  for (let i = 0; i < bytes.length; i++) {
    const c = bytes[i];
    if (c === 0x22) { // a string, up to its next unescaped quotation mark
      for (i++; i < bytes.length && bytes[i] !== 0x22; i++) if (bytes[i] === 0x5C) i++;
    } else if (c === 0x5B || c === 0x7B) {
      if (++depth > DEPTH_LIMIT) return true;
    } else if (c === 0x5D || c === 0x7D) depth--;
  }
  return false;
}

/** The first key that repeats in its object, or is `__proto__`. The text is known to be valid JSON. */
function forbiddenKey(text: string): string | undefined {
  const scopes: Set<string>[] = [];
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === "{" || c === "[") scopes.push(new Set());
    else if (c === "}" || c === "]") scopes.pop();
    else if (c === '"') {
      const start = i++;
      while (text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
      let after = i + 1;
      while (" \t\r\n".includes(text[after] ?? "x")) after++;
      if (text[after] !== ":") continue;
      const key = JSON.parse(text.slice(start, i + 1)) as string;
      const seen = scopes[scopes.length - 1]!;
      if (key === "__proto__" || seen.has(key)) return key;
      seen.add(key);
    }
  }
  return undefined;
}
