/** Option schemas of methods that select weights, rescale or shift. */
import type {
  BeftOptions,
  BitfitOptions,
  CrossAttentionOptions,
  Ia3Options,
  LayerNormTuneOptions,
  ModulesToSaveOptions,
  OnlyOptions,
  TopLayersOptions,
  TrainableTokensOptions,
} from "../../methods/mod.ts";
import { TARGETS, TRAINED } from "./common_schemas.ts";
import {
  all,
  any,
  anything,
  fields,
  list,
  number,
  oneOf,
  type OptionSchemas,
  places,
  record,
  text,
} from "../../core/options/option_schemas.ts";

/** Names of their factories. */
export type SelectiveMethod =
  | "ia3"
  | "bitfit"
  | "beft"
  | "layerNormTune"
  | "topLayers"
  | "crossAttention"
  | "trainableTokens"
  | "only"
  | "modulesToSave";

/** Option schemas by factory. */
export const SELECTIVE: Readonly<Record<SelectiveMethod, OptionSchemas>> = {
  ia3: all<Ia3Options>()({ ...TARGETS, feedForward: list(text) }),
  bitfit: all<BitfitOptions>()({
    biases: oneOf("all", "queryAndUp"),
    missing: oneOf("add", "skip"),
    classifier: oneOf("whole", "bias"),
  }),
  beft: all<BeftOptions>()(TARGETS),
  layerNormTune: all<LayerNormTuneOptions>()({ norms: places }),
  topLayers: all<TopLayersOptions>()({
    blocks: number,
    stack: oneOf("encoder", "decoder"),
    above: TRAINED,
    tied: TRAINED,
  }),
  crossAttention: all<CrossAttentionOptions>()({ embeddings: TRAINED, start: oneOf("pretrained", "random") }),
  trainableTokens: all<TrainableTokensOptions>()({ tokens: any(list(number), record(list(number))) }),
  only: all<OnlyOptions>()({ parameters: places }),
  modulesToSave: all<ModulesToSaveOptions>()({
    modules: list(text),
    head: fields({ name: text, config: record(anything) }),
  }),
};
