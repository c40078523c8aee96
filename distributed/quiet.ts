/** The outputs of a process that others speak for. */
import { openSystemLibrary } from "../platform/c_library.ts";

/** An output that is closed. */
export interface Silenced {
  /** Opens standard error again. */
  speak(): void;
}

/** O_WRONLY of <fcntl.h>. */
const WRITING = 1;

/** Sends standard output and standard error of this process nowhere, whoever writes to them. */
export function silence(): Silenced {
  const { open, dup, dup2 } = openSystemLibrary({
    open: { parameters: ["buffer", "i32"], result: "i32" },
    dup: { parameters: ["i32"], result: "i32" },
    dup2: { parameters: ["i32", "i32"], result: "i32" },
  }) as {
    readonly open: (path: Uint8Array<ArrayBuffer>, mode: number) => number;
    readonly dup: (file: number) => number;
    readonly dup2: (from: number, to: number) => number;
  };
  const errors = dup(2);
  const nowhere = open(new TextEncoder().encode("/dev/null\0"), WRITING);
  for (const output of [1, 2]) dup2(nowhere, output);
  return { speak: () => void dup2(errors, 2) };
}
