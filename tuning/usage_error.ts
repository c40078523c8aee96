/** Mistakes in what a user asked for, as opposed to faults of files or of the program. */

/** The user's mistake in the arguments, found after parsing. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/**
 * @param names Options that some methods have.
 * @param own Those that this method has.
 * @throws {UsageError} on one that was given and does nothing for the method.
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
