/** Option schemas of structured updates: rotations, blocks, transforms. */
import type {
  BoftOptions,
  C3aOptions,
  FourierFtOptions,
  HraOptions,
  IntrinsicSaidOptions,
  OftOptions,
  RoadOptions,
  WaveFtOptions,
} from "../../methods/mod.ts";
import { BLOCKS, TARGETS } from "./common_schemas.ts";
import {
  all,
  any,
  count,
  factor,
  fields,
  number,
  oneOf,
  type OptionSchemas,
  places,
  record,
  seed,
} from "../../core/options/option_schemas.ts";

/** Names of their factories. */
export type StructuredMethod =
  | "oft"
  | "boft"
  | "hra"
  | "miss"
  | "fourierft"
  | "c3a"
  | "road"
  | "waveft"
  | "intrinsicSaid";

/** Option schemas by factory. */
export const STRUCTURED: Readonly<Record<StructuredMethod, OptionSchemas>> = {
  oft: all<OftOptions>()({
    ...TARGETS,
    blocks: BLOCKS,
    uneven: oneOf("refuse", "nearest"),
    sharing: oneOf("separate", "shared"),
    cayley: any(oneOf("exact"), fields<{ readonly terms: number }>({ terms: number })),
    constraint: number,
  }),
  boft: all<BoftOptions>()({ ...TARGETS, blocks: BLOCKS, factors: number, dropout: number }),
  hra: all<HraOptions>()({
    ...TARGETS,
    rank: number,
    orthogonality: any(number, oneOf("exact")),
    initialization: oneOf("pairs", "none"),
  }),
  // A union of three forms, so no single list of options is complete.
  miss: {
    ...TARGETS,
    rank: number,
    form: oneOf("standard", "mini", "bat"),
    miniRank: number,
    dropout: number,
  },
  fourierft: all<FourierFtOptions>()({
    ...TARGETS,
    ...{ frequencies: number, frequencyPattern: record(count), scale: factor, positionSeed: seed },
    initialization: oneOf("normal", "zeros"),
  }),
  c3a: all<C3aOptions>()({
    ...TARGETS,
    ...{ block: number, blockPattern: record(count) },
    initialization: oneOf("xavier", "kaiming", "normal", "zeros"),
  }),
  road: all<RoadOptions>()({
    ...TARGETS,
    variant: oneOf(1, 2, 4),
    group: number,
    initialization: oneOf("identity", "none"),
  }),
  waveft: all<WaveFtOptions>()({
    ...TARGETS,
    ...{ frequencies: number, frequencyPattern: record(count), scale: factor, positionSeed: seed },
    allocation: oneOf("equal", "proportional"),
    wavelet: oneOf("db1", "db2", "db3", "coif1", "none"),
    initialization: oneOf("zeros", "normal"),
  }),
  intrinsicSaid: all<IntrinsicSaidOptions>()({
    dimension: number,
    parameters: places,
    scales: oneOf("each", "layer", "none"),
    seed,
    blocks: oneOf("tensor", "vector"),
  }),
};
