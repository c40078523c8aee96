/** The options that each method reads, by name, and what each may be: what is misspelt is refused, not passed over. */
import { ADAPTER, type AdapterMethod } from "./adapter_kinds.ts";
import { LOW_RANK, type LowRankMethod } from "./low_rank_kinds.ts";
import type { Kinds } from "./option_kinds.ts";
import { PROMPT, type PromptMethod } from "./prompt_kinds.ts";
import { SELECTIVE, type SelectiveMethod } from "./selective_kinds.ts";
import { STRUCTURED, type StructuredMethod } from "./structured_kinds.ts";

/** A method that is built from options alone, as its factory is named. */
export type BuiltMethod = LowRankMethod | StructuredMethod | SelectiveMethod | AdapterMethod | PromptMethod;

/** Kinds of options by method. */
export const METHOD_OPTIONS: Readonly<Record<BuiltMethod, Kinds>> = {
  ...LOW_RANK,
  ...STRUCTURED,
  ...SELECTIVE,
  ...ADAPTER,
  ...PROMPT,
};
