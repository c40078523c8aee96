/** Libraries of machine code: by Deno's foreign function interface, and as modules of Node-API in Node and Bun. */
import { constants } from "node:os";
import process from "node:process";
import { deno } from "./deno.ts";
import { runtimeName } from "./runtime.ts";
import { failure } from "../errors/error.ts";

/** A number's type across the boundary; "usize" is an integer as wide as an address. */
export type NumberType = "usize" | "u32" | "i32" | "f32" | "bool";

/** Parameters and result of an export. */
export interface Signature {
  readonly parameters: readonly NumberType[];
  readonly result: NumberType | "void";
  /** Whether a library may be without it. */
  readonly optional?: boolean;
}

/** An open library. */
export interface ForeignLibrary {
  readonly symbols: Readonly<Record<string, unknown>>;
  /** Memory of the machine as bytes, which are valid as long as the library keeps them. */
  view(pointer: number, bytes: number): Uint8Array<ArrayBuffer>;
  close(): void;
}

/** Whether this runtime opens libraries. */
export const canOpenLibraries = (): boolean => deno !== undefined || typeof process?.dlopen === "function";

/** Whether the program may open libraries without asking anybody. */
export const mayOpenLibraries = (): boolean =>
  deno === undefined || deno.permissions.querySync({ name: "ffi" }).state === "granted";

/**
 * Opens a library.
 *
 * @throws {Error} when the runtime cannot, or refuses, or the file is no library with these exports.
 */
export function openLibrary(path: string, signatures: Readonly<Record<string, Signature>>): ForeignLibrary {
  if (deno === undefined) return openModule(path, signatures);
  const { dlopen, UnsafePointer, UnsafePointerView } = deno;
  const library = dlopen(path, signatures);
  return {
    symbols: library.symbols,
    view: (pointer, bytes) =>
      new Uint8Array(
        bytes === 0
          ? new ArrayBuffer(0)
          : UnsafePointerView.getArrayBuffer(UnsafePointer.create(BigInt(pointer))!, bytes),
      ),
    close: () => library.close(),
  };
}

/** A module of Node-API: its exports take and give numbers, and `view` shows memory. It stays open until the process ends. */
function openModule(path: string, signatures: Readonly<Record<string, Signature>>): ForeignLibrary {
  if (!canOpenLibraries()) {
    throw failure(
      "BACKEND_UNAVAILABLE",
      `Cannot open "${path}": ${runtimeName()} opens no libraries of machine code here`,
    );
  }
  const module: { readonly exports: Record<string, unknown> } = { exports: {} };
  process.dlopen(module, path, constants.dlopen?.RTLD_NOW);
  const { view, ...symbols } = module.exports;
  const missing = Object.keys(signatures).find((name) =>
    !(name in symbols) && signatures[name]!.optional !== true
  );
  if (missing !== undefined || typeof view !== "function") {
    throw failure("BACKEND_UNAVAILABLE", `Cannot open "${path}": it has no ${missing ?? "view"}`);
  }
  return {
    symbols,
    view: (pointer, bytes) =>
      new Uint8Array(bytes === 0 ? new ArrayBuffer(0) : view(pointer, bytes) as ArrayBuffer),
    close: () => {},
  };
}
