/**
 * Signals that ask for an end: Ctrl-C, and those of cluster managers. The first one requests a graceful end; a second
 * Ctrl-C or SIGTERM terminates the program immediately.
 */
import process from "node:process";

/** Whether the user wants to stop. Dispose it to restore the signals' default handling. */
export interface Interrupt extends Disposable {
  readonly wanted: boolean;
}

/** The exit code of a program that a signal ended: what there was to save is saved. */
export const INTERRUPTED = 130;

/** What a person sends. Windows has no SIGTERM. */
const ASKED = process.platform === "win32" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];

/** What a cluster manager can be told to send before a time limit, as `sbatch --signal=USR1@60` does. */
const WARNED = process.platform === "win32" ? [] : ["SIGUSR1"];

/** Listens for SIGINT, SIGTERM and SIGUSR1. `heard` is called at the first one. */
export function interruptible(heard: () => void = () => {}): Interrupt {
  let [wanted, asked] = [false, false];
  const listen = (again: boolean) => (): void => {
    // A warning is often followed by SIGTERM, which must not cut off what the warning began.
    if (again && asked) process.exit(INTERRUPTED);
    asked ||= again;
    if (!wanted) {
      wanted = true;
      heard();
    }
  };
  const listeners = [
    ...ASKED.map((signal) => [signal, listen(true)] as const),
    ...WARNED.map((signal) => [signal, listen(false)] as const),
  ];
  for (const [signal, heard] of listeners) process.on(signal, heard);
  return {
    get wanted() {
      return wanted;
    },
    [Symbol.dispose]: () => {
      for (const [signal, heard] of listeners) process.off(signal, heard);
    },
  };
}

/** Ends the program at a warning, while there is nothing to save yet: by itself the signal would count as a crash. */
export function endsWhenWarned(): Disposable {
  const listen = (): void => process.exit(INTERRUPTED);
  for (const signal of WARNED) process.on(signal, listen);
  return {
    [Symbol.dispose]: () => {
      for (const signal of WARNED) process.off(signal, listen);
    },
  };
}
