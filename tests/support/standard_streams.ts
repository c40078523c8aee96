/** What a command writes to its standard outputs, heard by a test in the same process. */
import fs from "node:fs";

/** Hears each chunk until it is disposed; the screen sees nothing. Without a listener, a stream stays as it is. */
export function hearStreams(
  out: ((chunk: string) => void) | undefined,
  err: ((chunk: string) => void) | undefined,
): Disposable {
  const { writeSync } = fs;
  const hearing = (file: number, bytes: Uint8Array, ...rest: readonly unknown[]): number => {
    const heard = file === 1 ? out : file === 2 ? err : undefined;
    if (heard === undefined) {
      return (writeSync as (...all: readonly unknown[]) => number)(file, bytes, ...rest);
    }
    heard(new TextDecoder().decode(bytes));
    return bytes.length;
  };
  Object.assign(fs, { writeSync: hearing });
  return { [Symbol.dispose]: () => void Object.assign(fs, { writeSync }) };
}
