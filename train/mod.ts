/** Training: data, batches, schedules, metrics, loop. Imports `core` and `ops` only. @module */
export * from "./porter.ts";
export * from "./rouge.ts";
