/** The options that each method reads, by name, and what each may be: what is misspelt is refused, not passed over. */
import { ADAPTER, type AdapterMethod } from "./adapter_schemas.ts";
import { LOW_RANK, type LowRankMethod } from "./low_rank_schemas.ts";
import type { OptionSchemas } from "./option_schemas.ts";
import { PROMPT, type PromptMethod } from "./prompt_schemas.ts";
import { SELECTIVE, type SelectiveMethod } from "./selective_schemas.ts";
import { STRUCTURED, type StructuredMethod } from "./structured_schemas.ts";

/** A method that is built from options alone, as its factory is named. */
export type BuiltMethod = LowRankMethod | StructuredMethod | SelectiveMethod | AdapterMethod | PromptMethod;

/** OptionSchemas of options by method. */
export const METHOD_OPTIONS: Readonly<Record<BuiltMethod, OptionSchemas>> = {
  ...LOW_RANK,
  ...STRUCTURED,
  ...SELECTIVE,
  ...ADAPTER,
  ...PROMPT,
};
