/**
 * Methods: one file each, the paper's formula and little else. Imports `core` and `ops`, never `models`.
 *
 * @module
 */
export * from "./full_fine_tune.ts";
export * from "./ia3.ts";
export * from "./lora.ts";
