/** Option schemas of adapters and side networks. */
import type {
  AdamixOptions,
  AttentionFusionOptions,
  BottleneckAdapterOptions,
  CompacterOptions,
  FusedIa3Options,
  FusedLoraOptions,
  HoulsbyOptions,
  InvertibleAdapterOptions,
  KronaBresOptions,
  LadderSideTuningOptions,
  LetsOptions,
  LoreftOptions,
  ParallelAdapterOptions,
  PfeifferOptions,
  PhmAdapterOptions,
  S4Options,
} from "../../methods/mod.ts";
import { ACTIVATION, AFTER, BESIDE, PARTS, PATTERN } from "./common_schemas.ts";
import {
  all,
  any,
  factor,
  fields,
  list,
  number,
  oneOf,
  type OptionSchemas,
} from "../../core/options/option_schemas.ts";

/** Names of their factories. */
export type AdapterMethod =
  | "houlsby"
  | "pfeiffer"
  | "parallelAdapter"
  | "bottleneckAdapter"
  | "fusedLora"
  | "fusedIa3"
  | "phmAdapter"
  | "compacter"
  | "kronaB"
  | "kronaBres"
  | "adamix"
  | "invertibleAdapter"
  | "loreft"
  | "s4"
  | "attentionFusion"
  | "lets"
  | "ladderSideTuning";

/** Option schemas by factory. */
export const ADAPTER: Readonly<Record<AdapterMethod, OptionSchemas>> = {
  houlsby: all<HoulsbyOptions>()({
    reduction: number,
    activation: ACTIVATION,
    after: AFTER,
    deviation: number,
  }),
  pfeiffer: all<PfeifferOptions>()({
    reduction: number,
    activation: ACTIVATION,
    reads: oneOf("normed", "output"),
  }),
  parallelAdapter: all<ParallelAdapterOptions>()({
    ...{ reduction: number, dropout: number, activation: ACTIVATION },
    scale: any(factor, oneOf("learned")),
    reads: oneOf("input", "residual"),
  }),
  bottleneckAdapter: all<BottleneckAdapterOptions>()({
    after: AFTER,
    reduction: any(number, PATTERN),
    activation: ACTIVATION,
    reads: oneOf("output", "normed", "residual"),
    keeps: oneOf("output", "normed", "sum"),
    norms: list(oneOf("before", "branch", "whole")),
    scale: any(factor, oneOf("learned", "channel")),
    residual: oneOf("added", "dropped"),
    dropout: number,
    branchDropout: number,
    phm: fields({ dimension: number, rank: any(number, oneOf("full")), rule: oneOf("shared", "own") }),
  }),
  fusedLora: all<FusedLoraOptions>()({ parts: PARTS, rank: number, alpha: factor, dropout: number }),
  fusedIa3: all<FusedIa3Options>()({ parts: PARTS }),
  phmAdapter: all<PhmAdapterOptions>()({
    ...{ reduction: number, dimension: number, activation: ACTIVATION, after: AFTER },
  }),
  compacter: all<CompacterOptions>()({
    ...{ reduction: number, dimension: number, rank: number, activation: ACTIVATION, after: AFTER },
    reads: oneOf("output", "normed"),
  }),
  kronaB: all<Omit<KronaBresOptions, "residual">>()(BESIDE),
  kronaBres: all<KronaBresOptions>()({ ...BESIDE, residual: number }),
  adamix: all<AdamixOptions>()({
    ...{ experts: number, reduction: number, activation: ACTIVATION },
    mixes: oneOf("down", "both"),
  }),
  invertibleAdapter: all<InvertibleAdapterOptions>()({
    reduction: number,
    activation: ACTIVATION,
    stands: oneOf("tokens", "entrance"),
    undone: oneOf("heads", "never"),
  }),
  loreft: all<LoreftOptions>()({
    ...{ rank: number, first: number, last: number, dropout: number, activation: ACTIVATION },
    ends: oneOf("tied", "apart"),
    rows: oneOf("orthonormal", "free"),
    subtracts: oneOf("projection", "nothing"),
    atMost: oneOf("half", "text"),
    stacks: oneOf("reading", "both"),
  }),
  s4: all<S4Options>()({
    budget: number,
    groups: list(number),
    parts: list(list(oneOf("adapter", "prefix", "bitfit", "lora"))),
  }),
  attentionFusion: all<AttentionFusionOptions>()({
    embedding: oneOf("included", "excluded"),
    scale: oneOf("none", "root"),
    query: oneOf("zero", "normal"),
  }),
  lets: all<LetsOptions>()({
    layers: list(number),
    deltas: oneOf("attention", "block"),
    pool: oneOf("first", "each"),
    search: number,
  }),
  ladderSideTuning: all<Omit<LadderSideTuningOptions, "start">>()({
    ...{ reduction: number, temperature: number },
    layers: list(number),
  }),
};
