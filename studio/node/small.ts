/** What graft takes of small modules of Node's: `node:os`, `node:tty`, `node:url`, `node:util`, `node:timers/promises`, `node:events`. */

/** `node:os` */
export const tmpdir = (): string => "/tmp";
/** `node:os` */
export const hostname = (): string => "browser";
/** `node:os` */
export const cpus = (): readonly unknown[] => Array.from({ length: navigator.hardwareConcurrency });
/** `node:os`: nothing of the machine's. */
export const constants: Readonly<Record<string, never>> = {};
/** `node:os`: the cores that other threads than the kernels' may take. */
export const availableParallelism = (): number => 1;
/** `node:os`: what a WebAssembly memory holds, in bytes; nobody tells a tab what the machine has. */
export const totalmem = (): number => 2 ** 32;
/** `node:os` */
export const freemem = (): number => totalmem();
/** `node:tty` */
export const isatty = (): boolean => false;
/** `node:url` */
export const fileURLToPath = (url: string | URL): string => decodeURIComponent(new URL(url).pathname);
/** `node:url` */
export const pathToFileURL = (path: string): URL => new URL(`file://${path}`);
/** `node:util` */
export const stripVTControlCharacters = (text: string): string =>
  text.replace(new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, "g"), "");
/** `node:timers/promises` */
const wait = (milliseconds: number): Promise<void> => new Promise((done) => setTimeout(done, milliseconds));
export { wait as setTimeout };

/** `node:events`, as far as the library that reads command lines goes. */
export class EventEmitter {
  readonly #listeners = new Map<string, ((...values: unknown[]) => void)[]>();
  /** Adds a listener. */
  on(name: string, listener: (...values: unknown[]) => void): this {
    this.#listeners.set(name, [...this.#listeners.get(name) ?? [], listener]);
    return this;
  }
  /** How many listen. */
  listenerCount(name: string): number {
    return this.#listeners.get(name)?.length ?? 0;
  }
  /** Calls those that listen. */
  emit(name: string, ...values: unknown[]): boolean {
    const found = this.#listeners.get(name) ?? [];
    for (const listener of found) listener.apply(this, values);
    return found.length > 0;
  }
}

/** `node:events`: nothing in a tab waits by it. */
export const once = (): never => {
  throw new Error("Cannot unpack compressed files in a browser");
};

/** `node:module`: no module of the machine can be asked for. */
export const createRequire = (): (name: string) => never => (name) => {
  throw new Error(`Cannot use ${name} in a browser`);
};
