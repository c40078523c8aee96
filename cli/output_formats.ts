/** What commands write: the dtypes of weights by the formats that have them, and a format that fits its target. */
import { UsageError } from "../tuning/usage_error.ts";

/** In any format. */
export const PLAIN = ["f32", "f16", "bf16"] as const;

/** In GGUF files. */
export const BLOCKS = ["q8_0", "q5_1", "q5_0", "q4_1", "q4_0"] as const;

/** In folders, as bitsandbytes has them. */
export const BITSANDBYTES = ["nf4_double", "nf4", "fp4_double", "fp4", "int8"] as const;

/**
 * The format that was asked for.
 *
 * @param what "an adapter" or "a model", for the messages.
 * @throws {UsageError} when there is none of that name, or the target is a file where it needs a folder, or the reverse.
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
