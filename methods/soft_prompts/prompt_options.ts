/** Options that several soft prompts have. */
import {
  any,
  bounded,
  count,
  type DefaultedOption,
  fields,
  list,
  number,
  oneOf,
  option,
  type OptionSchema,
  probability,
  seed,
} from "../../core/options/mod.ts";
import type { PromptEncoder } from "./prompt_encoder.ts";
import type { PromptPosition, PromptStart } from "./prompt_rows.ts";

/** A number of rows. */
export const rowCount: OptionSchema<number> = bounded(count, "prompt");

/** n. */
export const lengthOption = (usual: number): DefaultedOption<number> =>
  option(rowCount, "n, the number of rows", usual);

const tokenId = bounded(seed, "vocabulary");

/** Token ids. */
export const tokenIds: OptionSchema<readonly number[]> = list(tokenId);

const whereSchema: OptionSchema<PromptPosition> = any(
  oneOf("front", "entered", "afterFirst"),
  fields<{ readonly token: number }>({ token: tokenId }),
);

/** Where the rows are placed. */
export const whereOption: DefaultedOption<PromptPosition> = option(
  whereSchema,
  "before the text, where it enters the blocks, after its first token there, or in place of a token",
  "front",
);

/** At least one row, each from at least one id. */
const someIds: OptionSchema<readonly (readonly number[])[]> = {
  what: "a list of rows, each of at least one id",
  accepts: (value) =>
    Array.isArray(value) && value.length > 0 &&
    value.every((ids) => Array.isArray(ids) && ids.length > 0 && tokenIds.accepts(ids)),
};

/** How the rows start. */
export const startOption: DefaultedOption<PromptStart> = option(
  any(
    fields({ from: oneOf("uniform"), "low?": number, "high?": number }),
    fields({ from: oneOf("vocabulary"), "tokens?": bounded(count, "vocabulary") }),
    fields({ from: oneOf("tokens"), rows: someIds, "rest?": oneOf("sampled", "repeated") }),
  ) as OptionSchema<PromptStart>,
  "how the rows start: uniform, from the vocabulary, or from given tokens",
  { from: "uniform" },
);

const width = bounded(count, "width");

/** The network that generates a prompt's rows. */
export const encoderSchema: OptionSchema<PromptEncoder> = any(
  fields({
    kind: oneOf("lstm"),
    "hidden?": width,
    "inner?": width,
    "layers?": bounded(count, "depth"),
    "dropout?": probability,
  }),
  fields({ kind: oneOf("mlp"), "hidden?": list(width) }),
) as OptionSchema<PromptEncoder>;
