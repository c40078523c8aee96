/**
 * Methods: one file each, the paper's formula and little else. Imports `core` and `ops`, never `models`.
 *
 * @module
 */
export * from "./adalora.ts";
export { type Budget, budgetAt, type BudgetOptions } from "./adalora_budget.ts";
export * from "./adalora_peft.ts";
export * from "./adamix.ts";
export type { Affine } from "./affine.ts";
export * from "./boft.ts";
export * from "./boft_peft.ts";
export type { Activation, Bottleneck } from "./bottleneck.ts";
export { type Combination, combine, type Election } from "./combine.ts";
export * from "./dora.ts";
export * from "./dora_peft.ts";
export * from "./eva.ts";
export * from "./fixed_weights.ts";
export * from "./fourierft.ts";
export * from "./fourierft_peft.ts";
export * from "./full_fine_tune.ts";
export * from "./hra.ts";
export * from "./hra_peft.ts";
export * from "./ia3.ts";
export * from "./ia3_peft.ts";
export * from "./intrinsic_said.ts";
export * from "./krona.ts";
export * from "./ladder_side_tuning.ts";
export * from "./loftq.ts";
export * from "./loha.ts";
export * from "./loha_peft.ts";
export * from "./lokr.ts";
export * from "./lokr_peft.ts";
export * from "./lora.ts";
export * from "./lora_peft.ts";
export * from "./lora_plus.ts";
export * from "./miss.ts";
export * from "./miss_peft.ts";
export * from "./modules_to_save.ts";
export * from "./oft.ts";
export * from "./oft_peft.ts";
export * from "./olora.ts";
export * from "./on_original.ts";
export * from "./peft_codec.ts";
export * from "./pfeiffer.ts";
export { pissa, type PissaOptions } from "./pissa.ts";
export * from "./prefix_tuning.ts";
export type { Prepared, PreparedOptions } from "./prepared.ts";
export * from "./pruned_side.ts";
export * from "./qlora.ts";
export * from "./rslora.ts";
export * from "./sentence_gate.ts";
export { type Approximation, type Limit, toLora } from "./to_lora.ts";
export * from "./trainable_tokens.ts";
export type { UpdateDropout } from "./update_dropout.ts";
export * from "./vera.ts";
export * from "./vera_peft.ts";
export * from "./xlora.ts";
