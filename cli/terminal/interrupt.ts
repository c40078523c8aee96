/** Ctrl-C: the first one requests a graceful end, the second one terminates the program immediately. */

/** Whether the user wants to stop. Dispose it to restore the signals' default handling. */
export interface Interrupt extends Disposable {
  readonly wanted: boolean;
}

/** Listens for SIGINT and SIGTERM. `heard` is called at the first one. */
export function interruptible(heard: () => void = () => {}): Interrupt {
  const signals: readonly Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  let wanted = false;
  const listen = (): void => {
    if (wanted) Deno.exit(130);
    wanted = true;
    heard();
  };
  for (const signal of signals) Deno.addSignalListener(signal, listen);
  return {
    get wanted() {
      return wanted;
    },
    [Symbol.dispose]: () => {
      for (const signal of signals) Deno.removeSignalListener(signal, listen);
    },
  };
}
