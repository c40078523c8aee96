/** Edits: where an adapter changes a model and how, the targets that choose layers, and what the edits of a layer amount to. @module */
export * from "./place.ts";
export * from "./edit.ts";
export * from "./selector.ts";
export * from "./layer.ts";
export * from "./fold.ts";
export * from "./targets.ts";
export { byPattern, matchesWhole } from "./patterns.ts";
export * from "./linear_effect.ts";
