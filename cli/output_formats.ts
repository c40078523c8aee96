/** Output of commands: the dtypes of weights by format, and the choice of a format that fits its target. */
import { UsageError } from "../tuning/usage_error.ts";

/** Supported in any format. */
export const PLAIN = ["f32", "f16", "bf16"] as const;

/** Supported in GGUF files. */
export const BLOCKS = ["q8_0", "q5_1", "q5_0", "q4_1", "q4_0"] as const;

/** Supported in folders, in bitsandbytes' form. */
export const BITSANDBYTES = ["nf4_double", "nf4", "fp4_double", "fp4", "int8"] as const;

/**
 * The requested format.
 *
 * @param what "an adapter" or "a model", for error messages.
 * @throws {UsageError} when there is none with that name, or the target is a file where it needs a folder, or
 * the reverse.
 */
export function formatFor<F extends string>(
  what: string,
  formats: readonly F[],
  asked: string,
  target: string,
): F {
  const format = formats.find((known) => known === asked);
  if (format === undefined) {
    throw new UsageError(`Cannot write ${what} as ${asked}: choose ${formats.join(", ")}`);
  }
  if (target.endsWith(".gguf") === (format === "gguf")) return format;
  throw new UsageError(
    format === "gguf"
      ? `Cannot write ${what} as GGUF into a folder: give a target that ends in .gguf`
      : `Cannot write ${format} into a .gguf file: give a folder as target`,
  );
}
