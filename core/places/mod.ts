/** Places: what a model's forward pass calls at each place that an adapter can edit. For those who write a model. @module */
export { callAt, type Pass, weightPass } from "./pass.ts";
export * from "./attention.ts";
export * from "./hidden.ts";
export * from "./linear.ts";
export * from "./prompt.ts";
export * from "./weight.ts";
export * from "./matrix.ts";
