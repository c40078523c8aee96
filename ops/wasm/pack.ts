/**
 * Writes the kernels that wasm-bindgen left in `lib/` as modules of text, and removes them. Called by build.sh.
 *
 * @module
 */
import { readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

for (const build of ["single", "threaded"]) {
  const wasm = new URL(`lib/${build}_bg.wasm`, import.meta.url);
  const packed = gzipSync(readFileSync(wasm), { level: 9 }).toString("base64");
  writeFileSync(
    new URL(`lib/${build}.ts`, import.meta.url),
    `/** The kernels, the ${build} build. Written by build.sh. */
import { unpacked } from "../unpack.ts";

/** The compiled module. */
export const module: WebAssembly.Module = await unpacked(
  "${packed}",
);
`,
  );
  unlinkSync(wasm);
}
