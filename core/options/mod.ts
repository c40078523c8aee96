/**
 * Options of methods: what a method declares of each, so that programs, command lines and folders are checked alike. Import it
 * as `@graft/peft/options` to define methods of your own.
 *
 * @module
 */
export * from "./option.ts";
export * from "./option_schemas.ts";
export * from "./option_json.ts";
export * from "./closest.ts";
