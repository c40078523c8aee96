/** Combinators: methods from methods. @module */
export * from "./compose.ts";
export * from "./scaled.ts";
export * from "./gated.ts";
export * from "./method_hooks.ts";
export * from "./finalized_parts.ts";
export { perRow } from "./per_row.ts";
