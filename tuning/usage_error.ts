/** Errors in a user's request, as opposed to errors in files or in the program. */

/** An error in the user's arguments, found after parsing. */
export class UsageError extends Error {
  /** What went wrong, for programs. */
  readonly code: "USAGE" = "USAGE";

  override readonly name = "UsageError";
}

/**
 * @param names Options that some methods have.
 * @param own The options that this method has.
 * @throws {UsageError} on a given option without effect for the method.
 */
export function checkOwn<F extends { readonly method: string }>(
  flags: F,
  names: readonly (keyof F & string)[],
  own: readonly string[],
): void {
  const idle = names.find((name) => flags[name] !== undefined && !own.includes(name));
  if (idle === undefined) return;
  const has = own.length === 0 ? "it has none" : `it has ${own.map((name) => `--${name}`).join(", ")}`;
  throw new UsageError(`Cannot use --${idle} with --method ${flags.method}: ${has}`);
}
