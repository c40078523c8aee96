/** Libraries in C as they are, with buffers and addresses: Deno's foreign function interface. Node and Bun have none. */
import { deno, type DenoSymbol } from "./deno.ts";
import { runtimeName } from "./runtime.ts";
import { failure } from "../errors/error.ts";

/** An open library. */
export interface CLibrary {
  /** Its functions: those that are nonblocking give promises. */
  readonly symbols: Readonly<Record<string, unknown>>;
  /** The address of a function or variable; undefined where the library has none of the name. */
  addressOf(symbol: string): bigint | undefined;
}

/** The system's own library. @throws {Error} where the runtime opens none, or the system is not Linux or macOS. */
export function openSystemLibrary(functions: Readonly<Record<string, DenoSymbol>>): CLibrary["symbols"] {
  const name = deno === undefined ? undefined : SYSTEM[deno.build.os];
  if (deno === undefined || name === undefined) {
    throw failure("BACKEND_UNAVAILABLE", `${runtimeName()} opens no system library here`);
  }
  return deno.dlopen(name, functions).symbols;
}

/** RTLD_NOW | RTLD_GLOBAL of <dlfcn.h>: parts that a library loads later find its symbols. */
const GLOBALLY: Readonly<Record<string, number>> = { linux: 0x102, darwin: 0xa };
const SYSTEM: Readonly<Record<string, string>> = { linux: "libc.so.6", darwin: "libSystem.dylib" };

const LOADER = {
  dlopen: { parameters: ["buffer", "i32"], result: "pointer" },
  dlsym: { parameters: ["pointer", "buffer"], result: "pointer" },
} as const;

/** A text as C has it. */
const cString = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(`${text}\0`);

/**
 * Opens a library, so that its symbols are seen by what it loads.
 *
 * @param path A path, or a name that the system's loader looks for.
 * @throws {Error} when the runtime opens none, or there is no such library, or it lacks a function that is not optional.
 */
export function openCLibrary(path: string, functions: Readonly<Record<string, DenoSymbol>>): CLibrary {
  if (deno === undefined) {
    throw failure("BACKEND_UNAVAILABLE", `${runtimeName()} opens no libraries in C: run it in Deno`);
  }
  const { build: { os }, dlopen, UnsafePointer } = deno;
  const [system, mode] = [SYSTEM[os], GLOBALLY[os]];
  if (system === undefined || mode === undefined) {
    return { symbols: dlopen(path, functions).symbols, addressOf: () => undefined };
  }
  const loader = dlopen(system, LOADER).symbols as {
    readonly dlopen: (path: Uint8Array<ArrayBuffer>, mode: number) => object | null;
    readonly dlsym: (library: object, name: Uint8Array<ArrayBuffer>) => object | null;
  };
  const library = loader.dlopen(cString(path), mode);
  if (library === null) throw failure("BACKEND_UNAVAILABLE", `There is no library ${path}`);
  return {
    symbols: dlopen(path, functions).symbols,
    addressOf: (symbol) => {
      const found = loader.dlsym(library, cString(symbol));
      return found === null ? undefined : UnsafePointer.value(found);
    },
  };
}
