/** Unpacking gzip: by zlib where a runtime has it at hand, which starts sooner, and by the web's streams elsewhere. */

/** The module of zlib, as far as it is used. */
interface Zlib {
  gunzipSync(bytes: Uint8Array): Uint8Array<ArrayBuffer>;
}

/** @throws {Error} when the bytes are no gzip. */
export async function gunzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const { process } = globalThis as {
    readonly process?: { getBuiltinModule?(name: string): unknown };
  };
  const zlib = process?.getBuiltinModule?.("node:zlib") as Zlib | undefined;
  return zlib === undefined ? await gunzipByStream(bytes) : zlib.gunzipSync(bytes);
}

/** See `gunzip`. */
export async function gunzipByStream(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}
