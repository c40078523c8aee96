/**
 * The reference backend: plain TypeScript, slow but evidently correct. It is the oracle for the other
 * backends, and imports only `tensor`.
 *
 * @example
 * ```ts
 * import { reference } from "@graft/peft/ops/reference";
 * import assert from "node:assert/strict";
 *
 * const backend = reference();
 * const raw = backend.allocate(8);
 * backend.fill(0.5, { raw, shape: [2], dtype: "f32" });
 * assert.deepEqual(await backend.download(raw, 4), new Uint8Array([0, 0, 0, 63]));
 * backend.close();
 * ```
 *
 * @module
 */
export { reference } from "./backend.ts";
