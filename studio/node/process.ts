/** What graft takes of `node:process`, for a program in a tab. Signals are those that the page sends. */

type Listener = () => void;

const listeners = new Map<string, Set<Listener>>();
const stream: Output = { isTTY: false, columns: 80, write: () => true };

/** Calls what listens to a signal, as the system does: "SIGINT" asks a run to stop after a checkpoint. */
export function sendSignal(signal: string): void {
  for (const listener of [...listeners.get(signal) ?? []]) listener();
}

/** A program's process, as far as it is one. */
export interface TabProcess {
  argv: string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: string;
  readonly arch: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly execArgv: readonly string[];
  readonly execPath: string;
  readonly pid: number;
  readonly stdout: Output;
  readonly stderr: Output;
  exitCode: number;
  cwd(): string;
  on(signal: string, listener: Listener): void;
  off(signal: string, listener: Listener): void;
  emitWarning(text: string): void;
  exit(code: number): never;
  kill(): never;
}

/** An output, of which the command line asks how wide it is. */
export interface Output {
  readonly isTTY: boolean;
  readonly columns: number;
  write(): boolean;
}

const own: TabProcess = {
  /** The words of the command line that runs, behind the runtime's and the program's. */
  argv: ["browser", "graft"],
  env: {},
  platform: "browser",
  arch: "wasm",
  versions: {},
  execArgv: [],
  execPath: "graft",
  /** One that no earlier tab's program had. */
  pid: 1 + Math.floor(Math.random() * 2 ** 30),
  stdout: stream,
  stderr: stream,
  exitCode: 0,
  cwd: (): string => "/",
  on: (signal: string, listener: Listener): void => {
    listeners.set(signal, (listeners.get(signal) ?? new Set()).add(listener));
  },
  off: (signal: string, listener: Listener): void => void listeners.get(signal)?.delete(listener),
  emitWarning: (text: string): void => console.warn(text),
  exit: (code: number): never => {
    throw new Error(`The program ended with code ${code}`);
  },
  /** No other program runs. */
  kill: (): never => {
    throw Object.assign(new Error("ESRCH: no such process"), { code: "ESRCH" });
  },
};

export default own;
