/**
 * Errors as data, between threads. Structured cloning, by which threads send each other values, keeps no code, and no class but
 * JavaScript's own.
 */

/** An error as data. */
export interface ErrorData {
  /** "RangeError", "TypeError", "UsageError" … */
  readonly name: string;
  /** The sentence. */
  readonly message: string;
  /** graft's, or the system's. */
  readonly code?: string;
  /** Where it was thrown. */
  readonly stack?: string;
  /** What it came from. */
  readonly cause?: ErrorData;
}

/** An error, or whatever was thrown, as data. */
export function errorData(thrown: unknown): ErrorData {
  if (!(thrown instanceof Error)) return { name: "Error", message: String(thrown) };
  const { name, message, stack, cause } = thrown;
  const code = "code" in thrown && typeof thrown.code === "string" ? thrown.code : undefined;
  return {
    name,
    message,
    ...code !== undefined && { code },
    ...stack !== undefined && { stack },
    ...cause !== undefined && { cause: errorData(cause) },
  };
}

const KINDS = { RangeError, TypeError, SyntaxError } as const;

/** The error of such data: of the same class where that is JavaScript's, of the same name and code in any case. */
export function errorOf({ name, message, code, stack, cause }: ErrorData): Error {
  const Kind = Object.hasOwn(KINDS, name) ? KINDS[name as keyof typeof KINDS] : Error;
  const error = new Kind(message, cause === undefined ? {} : { cause: errorOf(cause) });
  const hidden = (value: unknown): PropertyDescriptor => ({ value, configurable: true, writable: true });
  if (error.name !== name) Object.defineProperty(error, "name", hidden(name));
  if (stack !== undefined) Object.defineProperty(error, "stack", hidden(stack));
  return code === undefined ? error : Object.assign(error, { code });
}
