/** The option schemas of each method by name: misspelt options are refused, not ignored. */
import { ADAPTER, type AdapterMethod } from "./adapter_schemas.ts";
import { LOW_RANK, type LowRankMethod } from "./low_rank_schemas.ts";
import type { OptionSchemas } from "../../core/options/option_schemas.ts";
import { PROMPT, type PromptMethod } from "./prompt_schemas.ts";
import { SELECTIVE, type SelectiveMethod } from "./selective_schemas.ts";
import { STRUCTURED, type StructuredMethod } from "./structured_schemas.ts";

/** The factory name of a method that is built from options alone. */
export type BuiltMethod = LowRankMethod | StructuredMethod | SelectiveMethod | AdapterMethod | PromptMethod;

/** Option schemas by method. */
export const METHOD_OPTIONS: Readonly<Record<BuiltMethod, OptionSchemas>> = {
  ...LOW_RANK,
  ...STRUCTURED,
  ...SELECTIVE,
  ...ADAPTER,
  ...PROMPT,
};
