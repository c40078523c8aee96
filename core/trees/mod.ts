/** Trees: weights under the checkpoint's names, models made of them, and their storage in fewer bits. @module */
export * from "./weights.ts";
export * from "./matrix_layout.ts";
export * from "./labels.ts";
export * from "./model.ts";
export * from "./new_model.ts";
export * from "./quantize.ts";
export * from "./quantization_error.ts";
export * from "./bounds.ts";
