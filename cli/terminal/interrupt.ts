/** Ctrl-C: the first one requests a graceful end, the second one terminates the program immediately. */
import process from "node:process";

/** Whether the user wants to stop. Dispose it to restore the signals' default handling. */
export interface Interrupt extends Disposable {
  readonly wanted: boolean;
}

/** Listens for SIGINT and SIGTERM. `heard` is called at the first one. */
export function interruptible(heard: () => void = () => {}): Interrupt {
  const signals = process.platform === "win32" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  let wanted = false;
  const listen = (): void => {
    if (wanted) process.exit(130);
    wanted = true;
    heard();
  };
  for (const signal of signals) process.on(signal, listen);
  return {
    get wanted() {
      return wanted;
    },
    [Symbol.dispose]: () => {
      for (const signal of signals) process.off(signal, listen);
    },
  };
}
