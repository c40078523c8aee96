/** Deno's own interface where the program runs in Deno; undefined elsewhere. The rest of graft asks `node:` modules. */

/** What graft asks of Deno, written out so that other compilers than Deno's know it. */
export interface DenoRuntime {
  readonly build: { readonly os: string };
  readonly permissions: { querySync(asked: DenoPermission): { readonly state: string } };
  openSync(path: string, options: { readonly write: boolean }): DenoFile;
  makeTempDirSync(options: { readonly prefix: string }): string;
  makeTempFileSync(options: { readonly prefix: string; readonly dir?: string }): string;
  serve(
    options: {
      readonly hostname: string;
      readonly port: number;
      readonly onListen: () => void;
      readonly onError: (error: unknown) => Response;
    },
    handle: (request: Request) => Promise<Response>,
  ): DenoServer;
  dlopen(
    path: string,
    symbols: Readonly<Record<string, DenoSymbol>>,
  ): { readonly symbols: Readonly<Record<string, unknown>>; close(): void };
  readonly UnsafePointer: {
    create(address: bigint): object | null;
    value(pointer: object | null): bigint;
  };
  readonly UnsafePointerView: { getArrayBuffer(pointer: object, bytes: number): ArrayBuffer };
}

/** A right that a program may have. */
export interface DenoPermission {
  readonly name: "env" | "ffi";
  readonly variable?: string;
}

/** An open file. */
export interface DenoFile {
  tryLockSync(exclusive: boolean): boolean;
  close(): void;
}

/** A server that listens. */
export interface DenoServer {
  readonly addr: object;
  readonly finished: Promise<void>;
  shutdown(): Promise<void>;
}

/** A function of a library. */
export interface DenoSymbol {
  readonly parameters: readonly string[];
  readonly result: string;
  readonly optional?: boolean;
  /** Called on another thread; its result is a promise. */
  readonly nonblocking?: boolean;
}

/** See the module's comment. */
export const deno: DenoRuntime | undefined = (globalThis as unknown as { readonly Deno?: DenoRuntime }).Deno;
