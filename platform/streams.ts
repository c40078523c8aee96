/** Standard input and outputs by number: 0, 1 and 2. */
import fs from "node:fs";
import { isatty } from "node:tty";
import { systemCode } from "./files.ts";

/** Whether a person sits at the other end. */
export const isTerminal = (stream: 0 | 1 | 2): boolean => isatty(stream);

/** Writes all of the bytes before it returns, also where the reader of a pipe is slow. */
export function writeStream(stream: 1 | 2, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    try {
      done += fs.writeSync(stream, bytes, done);
    } catch (error) {
      if (systemCode(error) !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
