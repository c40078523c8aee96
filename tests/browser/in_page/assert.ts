/** `node:assert/strict` in a page, as far as tests of kernels call it. */
import fc from "fast-check";

/** What a thrown error must be: of a class, or with a message. */
type Expected = RegExp | (new (...given: never[]) => unknown);

class AssertionError extends Error {
  override readonly name = "AssertionError";
}

function fail(message: string | undefined, otherwise: string): never {
  throw new AssertionError(message === undefined ? otherwise : `${message}: ${otherwise}`);
}

function ok(value: unknown, message?: string): void {
  if (!value) fail(message, `${fc.stringify(value)} is not truthy`);
}

function equal(actual: unknown, expected: unknown, message?: string): void {
  if (!Object.is(actual, expected)) {
    fail(message, `found ${fc.stringify(actual)} but expected ${fc.stringify(expected)}`);
  }
}

/** Whether two values have the same type, and the same parts by `Object.is`. */
function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  const [keys, others] = [Object.keys(a), Object.keys(b)];
  return keys.length === others.length &&
    keys.every((key) => Object.hasOwn(b, key) && same(a[key as never], b[key as never]));
}

function deepEqual(actual: unknown, expected: unknown, message?: string): void {
  if (!same(actual, expected)) {
    fail(message, `found ${fc.stringify(actual)} but expected ${fc.stringify(expected)}`);
  }
}

function notDeepEqual(actual: unknown, other: unknown, message?: string): void {
  if (same(actual, other)) fail(message, `found ${fc.stringify(actual)} twice`);
}

function fits(error: unknown, expected: Expected | undefined, message: string | undefined): void {
  const good = expected === undefined ||
    (expected instanceof RegExp ? expected.test(String(error)) : error instanceof expected);
  if (!good) fail(message, `${error} is not the expected ${expected}`);
}

function throws(work: () => unknown, expected?: Expected, message?: string): void {
  try {
    work();
  } catch (error) {
    return fits(error, expected, message);
  }
  fail(message, "nothing was thrown");
}

async function rejects(
  work: Promise<unknown> | (() => Promise<unknown>),
  expected?: Expected,
  message?: string,
): Promise<void> {
  try {
    await (typeof work === "function" ? work() : work);
  } catch (error) {
    return fits(error, expected, message);
  }
  fail(message, "nothing was rejected");
}

const assert: {
  readonly deepEqual: typeof deepEqual;
  readonly equal: typeof equal;
  readonly notDeepEqual: typeof notDeepEqual;
  readonly ok: typeof ok;
  readonly rejects: typeof rejects;
  readonly throws: typeof throws;
} = { deepEqual, equal, notDeepEqual, ok, rejects, throws };

export default assert;
