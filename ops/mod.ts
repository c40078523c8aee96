/**
 * Differentiable ops on tensors. Each is a pure function: it borrows its inputs and returns a new tensor on
 * their backend. Imports only `tensor`.
 *
 * @module
 */
export * from "./create.ts";
export * from "./binary.ts";
export * from "./scalar.ts";
export * from "./select.ts";
export * from "./unary.ts";
export * from "./reduce.ts";
export { broadcastTo, expand, sumTo } from "./broadcast.ts";
export * from "./movement.ts";
export * from "./matmul.ts";
export * from "./matmul_plus.ts";
export * from "./gather.ts";
export * from "./softmax.ts";
export * from "./norm.ts";
export * from "./attention.ts";
export * from "./rope_tables.ts";
export * from "./largest.ts";
export * from "./loss.ts";
export * from "./lstm.ts";
export * from "./activation.ts";
export * from "./orthogonal.ts";
export * from "./linalg.ts";
export * from "./factorised.ts";
export * from "./sampling.ts";
export * from "./shapes_only.ts";
export * from "./counting.ts";
export * from "./dft_tables.ts";
export * from "./flat_indices.ts";
export * from "./inverse.ts";
export * from "./walsh_hadamard.ts";
export * from "./fastfood.ts";
export * from "./random_permutation.ts";
