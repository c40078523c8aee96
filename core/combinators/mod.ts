/** Combinators: methods from methods. @module */
export * from "./combined.ts";
export * from "./define_combinator.ts";
export * from "./compose.ts";
export * from "./scaled.ts";
export * from "./gated.ts";
export { perRow, perRowDefinition } from "./per_row.ts";
export * from "./component_methods.ts";
