/** Files by number, and the errors of the system: `node:fs`, which Deno, Node and Bun have. */
import fs from "node:fs";
import { failure } from "../errors/error.ts";

/** The system's code of an error: "ENOENT", "EEXIST"; undefined when it comes from elsewhere. */
export function systemCode(error: unknown): string | undefined {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** An error with a code as the system's own have. */
export function systemError(
  code: string,
  message: string,
  cause?: unknown,
): Error & { readonly code: string } {
  return Object.assign(failure("CANNOT_WRITE", message, cause === undefined ? {} : { cause }), { code });
}

/** Whether nothing is at a path: no entry, or a file in the place of a folder. */
export const isMissing = (error: unknown): boolean => ["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "");

/** Whether the runtime, and not the system, refused: Deno without a permission. */
export const isRefused = (error: unknown): boolean => error instanceof Error && error.name === "NotCapable";

/** Fills `target` with a file's bytes from `offset`, and returns how many there were: fewer when the file ends. */
export function readAt(file: number, offset: number, target: Uint8Array): number {
  let done = 0;
  while (done < target.length) {
    const n = fs.readSync(file, target, done, target.length - done, offset + done);
    if (n === 0) break;
    done += n;
  }
  return done;
}

/** Writes all of the bytes at `offset`; null continues where the last write ended. */
export function writeAt(file: number, offset: number | null, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    done += fs.writeSync(file, bytes, done, bytes.length - done, offset === null ? null : offset + done);
  }
}
