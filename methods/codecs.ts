/**
 * How methods are stored in Hugging Face PEFT folders: one codec per `peft_type`, which converts between config fields and
 * options, and between tensor keys and parameters. `loadAdapter` and `saveAdapter` use them; you need them for a folder format of your own.
 *
 * @module
 */
export * from "./low_rank/adalora_peft.ts";
export * from "./low_rank/delora_peft.ts";
export * from "./low_rank/dora_peft.ts";
export * from "./low_rank/glora_peft.ts";
export { lilyPeft } from "./low_rank/lily_peft.ts";
export * from "./low_rank/lora_peft.ts";
export * from "./low_rank/poly_peft.ts";
export * from "./low_rank/pvera_peft.ts";
export * from "./low_rank/randlora_peft.ts";
export * from "./low_rank/tiny_lora_peft.ts";
export * from "./low_rank/uni_lora_peft.ts";
export * from "./low_rank/vb_lora_peft.ts";
export * from "./low_rank/vera_peft.ts";
export * from "./peft/codec.ts";
export type { HeldAdapters, HeldFolders, PeftForm } from "./peft/form.ts";
export * from "./rescaling/ia3_peft.ts";
export * from "./selective/beft_peft.ts";
export * from "./selective/layer_norm_tune_peft.ts";
export * from "./soft_prompts/context_prompt_peft.ts";
export * from "./soft_prompts/llama_adapter_peft.ts";
export * from "./soft_prompts/multitask_prompt_peft.ts";
export * from "./soft_prompts/prefix_peft.ts";
export * from "./soft_prompts/prompt_peft.ts";
export * from "./structured/boft_peft.ts";
export * from "./structured/c3a_peft.ts";
export * from "./structured/deft_peft.ts";
export * from "./structured/fourierft_peft.ts";
export * from "./structured/gralora_peft.ts";
export * from "./structured/hra_peft.ts";
export * from "./structured/loha_peft.ts";
export * from "./structured/lokr_peft.ts";
export * from "./structured/miss_peft.ts";
export * from "./structured/oft_peft.ts";
export * from "./structured/osf_peft.ts";
export * from "./structured/peanut_peft.ts";
export * from "./structured/road_peft.ts";
export * from "./structured/shira_peft.ts";
export * from "./structured/waveft_peft.ts";
