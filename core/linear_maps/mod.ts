/** Structured linear maps: matrices that are never built where something cheaper does. @module */
export * from "./cheapest.ts";
export * from "./kronecker.ts";
export * from "./hadamard.ts";
export * from "./diagonal_low_rank.ts";
export * from "./repeated_blocks.ts";
export * from "./block_diagonal.ts";
export * from "./reflections.ts";
export * from "./chain.ts";
export * from "./convolution.ts";
export * from "./fourier.ts";
export * from "./block_circulant.ts";
export * from "./made_low_rank.ts";
export * from "./gathered_rows.ts";
export * from "./fastfood.ts";
export * from "./table_update.ts";
export * from "./triplets.ts";
