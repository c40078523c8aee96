/** Option schemas of soft prompts. */
import type {
  Activation,
  ContextPromptTuningOptions,
  LlamaAdapterOptions,
  MultitaskPromptTuningOptions,
  PrefixTuningOptions,
  PromptTuningOptions,
  PTuningOptions,
} from "../../methods/mod.ts";
import { ACTIVATION, ENCODER, START, WHERE } from "./common_schemas.ts";
import {
  all,
  any,
  fields,
  list,
  number,
  oneOf,
  type OptionSchemas,
  text,
} from "../../core/options/option_schemas.ts";

/** Names of their factories. */
export type PromptMethod =
  | "prefixTuning"
  | "promptTuning"
  | "pTuning"
  | "multitaskPromptTuning"
  | "contextPromptTuning"
  | "llamaAdapter";

/** Option schemas by factory. */
export const PROMPT: Readonly<Record<PromptMethod, OptionSchemas>> = {
  prefixTuning: all<PrefixTuningOptions>()({
    length: number,
    network: any(
      oneOf("none"),
      fields<{ readonly hidden: number; readonly activation?: Activation }>({
        hidden: number,
        "activation?": ACTIVATION,
      }),
    ),
    dropout: number,
    positions: oneOf("past", "always", "none"),
    distances: oneOf("true", "pushed"),
    rows: oneOf("own", "peft"),
  }),
  promptTuning: all<PromptTuningOptions>()({ length: number, start: START, where: WHERE, madeBy: ENCODER }),
  pTuning: all<PTuningOptions>()({ length: number, where: WHERE, encoder: ENCODER }),
  multitaskPromptTuning: all<MultitaskPromptTuningOptions>()({
    ...{ length: number, rank: number, tasks: list(text), task: text },
    start: START,
    stacks: oneOf("reading", "both"),
  }),
  contextPromptTuning: all<ContextPromptTuningOptions>()({
    ...{ tokens: list(number), types: list(number) },
    ...{ epsilon: number, templateEpsilon: number, decay: number },
  }),
  llamaAdapter: all<LlamaAdapterOptions>()({
    length: number,
    layers: number,
    gates: oneOf("heads", "block"),
    squash: oneOf("tanh", "none"),
  }),
};
