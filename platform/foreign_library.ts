/** Libraries of machine code, by Deno's foreign function interface. */
import { deno } from "./deno.ts";
import { runtimeName } from "./runtime.ts";

/** A number's type across the boundary; "usize" is an integer as wide as an address. */
export type NumberType = "usize" | "u32" | "i32" | "f32" | "bool";

/** Parameters and result of an export. */
export interface Signature {
  readonly parameters: readonly NumberType[];
  readonly result: NumberType | "void";
}

/** An open library. */
export interface ForeignLibrary {
  readonly symbols: Readonly<Record<string, unknown>>;
  /** Memory of the machine as bytes, which are valid as long as the library keeps them. */
  view(pointer: number, bytes: number): Uint8Array<ArrayBuffer>;
  close(): void;
}

/** Whether this runtime opens libraries. */
export const canOpenLibraries = (): boolean => deno !== undefined;

/** Whether the program may open libraries without asking anybody. */
export const mayOpenLibraries = (): boolean =>
  deno === undefined || deno.permissions.querySync({ name: "ffi" }).state === "granted";

/**
 * Opens a library.
 *
 * @throws {Error} when the runtime cannot, or refuses, or the file is no library with these exports.
 */
export function openLibrary(path: string, signatures: Readonly<Record<string, Signature>>): ForeignLibrary {
  if (deno === undefined) {
    throw new Error(
      `Cannot open "${path}": ${runtimeName()} opens no libraries of machine code here, Deno does; use the wasm backend`,
    );
  }
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
