/** From a method to the configuration that AdapterHub has for it. What it would compute otherwise is refused. */
import { type Json, lookup, type Model, Tensor, type Tree } from "../core/mod.ts";
import { ADAPTERS_FIELDS, type AdaptersConfig, type AdaptersFields } from "../formats/adapters_config.ts";
import type {
  Activation,
  BottleneckAdapterOptions,
  CompacterOptions,
  DoraOptions,
  FusedLoraOptions,
  InvertibleAdapterOptions,
  LoraOptions,
  LoreftOptions,
  ParallelAdapterOptions,
  PrefixTuningOptions,
  PromptTuningOptions,
  VeraOptions,
} from "../methods/mod.ts";
import { scalesInput } from "../methods/ia3.ts";
import { loraRank, loraScale } from "../methods/lora.ts";
import { activationName } from "./adapters_activations.ts";
import { inverseStands } from "./adapters_invertible.ts";
import { blockNumber, isPostNorm, type PartKind } from "./adapters_layout.ts";
import { FEED_FORWARD_ROLES } from "./adapters_lora.ts";
import { type MethodPiece, methodPieces } from "./method_pieces.ts";

/** One method of an adapter, its parameters those inside a gate. */
export interface Piece extends MethodPiece {
  /** The gate around it, if there is one. */
  readonly gate?: string;
}

/** A piece with its configuration. */
export interface Described {
  readonly piece: Piece;
  readonly kind: PartKind;
  readonly config: AdaptersConfig;
}

/** The methods of a composition, however deep; `params` lie at `prefix` in the adapter's. */
export function piecesOf(
  name: string,
  config: Readonly<Record<string, Json>>,
  params: Tree,
  prefix: string,
): readonly Piece[] {
  return methodPieces(name, config, params, prefix).map(ungated);
}

function ungated(piece: MethodPiece): Piece {
  if (!piece.method.startsWith("gated(")) return piece;
  const { gate, ...options } = piece.options;
  return {
    ...piece,
    method: piece.method.slice("gated(".length, -1),
    options,
    gate: String((gate as { readonly name: Json }).name),
    params: (piece.params["of"] ?? {}) as Tree,
  };
}

const refuse = (piece: Piece, why: string): never => {
  throw new RangeError(`Cannot save ${piece.method} for AdapterHub: ${why}`);
};

/** @throws {TypeError} when the library has no such method. @throws {RangeError} when it would compute something else. */
export function describe(piece: Piece, model: Model): Described {
  const options = piece.options as never;
  const fields = (
    kind: PartKind,
    architecture: AdaptersConfig["architecture"],
    fields: AdaptersFields,
  ): Described => {
    if (piece.gate !== undefined && kind !== "prefix" && piece.gate !== "sentenceGate") {
      return refuse(piece, `the gate "${piece.gate}" is for prefixes`);
    }
    const gating = piece.gate === undefined ? {} : { use_gating: true };
    return {
      piece,
      kind,
      config: { architecture, fields: { ...ADAPTERS_FIELDS[architecture], ...fields, ...gating } },
    };
  };
  switch (piece.method) {
    case "houlsby":
    case "pfeiffer":
    case "parallelAdapter":
    case "compacter":
    case "phmAdapter":
    case "bottleneckAdapter":
      return fields("bottleneck", "bottleneck", bottleneckFields(piece, generalForm(piece, model), model));
    case "invertibleAdapter":
      return fields("invertible", "bottleneck", invertibleFields(piece, options, model));
    case "prefixTuning":
      return fields("prefix", "prefix_tuning", prefixFields(piece, options, model));
    case "promptTuning":
    case "spot":
      return fields("prompt", "prompt_tuning", promptFields(piece, options, model));
    case "lora":
    case "loraPlus":
    case "dora":
      return fields("lora", "lora", loraFields(piece, options, model));
    case "vera":
      return fields("lora", "lora", veraFields(piece, options, model));
    case "ia3":
      return fields("lora", "lora", ia3Fields(piece, model));
    case "fusedLora":
    case "fusedIa3":
      return fields("fused", "lora", fusedFields(piece, options, model));
    case "loreft":
      return fields("reft", "reft", reftFields(piece, options, model));
    default:
      throw new TypeError(
        `Cannot save "${piece.method}" as an AdapterHub folder: it holds bottleneck, parallel and invertible adapters, Compacter, ` +
          "AdapterFusion, prefix and prompt tuning, LoRA, DoRA, VeRA, (IA)³, ReFT, gated ones of these and heads; save it " +
          'with format "graft", or merge it and save the model',
      );
  }
}

/** The blocks, as the library counts, of those places that have no parameters. */
function leftOut(
  piece: Piece,
  places: readonly { readonly path: string; readonly stack: string; readonly layer?: number }[],
  model: Model,
): readonly number[] {
  const held = new Set(
    places.filter(({ path }) => holds(piece, path)).map((place) => blockNumber(model, place)),
  );
  if (held.size === 0) refuse(piece, "none of its parameters stands at a part of the model");
  return [...new Set(places.map((place) => blockNumber(model, place)))].filter((n) => !held.has(n));
}

const holds = ({ params }: Piece, path: string): boolean => {
  const found = lookup(params, path);
  return found !== undefined && (found instanceof Tensor || Object.keys(found).length > 0);
};

/** Any bottleneck adapter as the general method. */
function generalForm(piece: Piece, model: Model): BottleneckAdapterOptions {
  const options = piece.options as BottleneckAdapterOptions & ParallelAdapterOptions & CompacterOptions;
  const { reduction, activation, after } = options;
  switch (piece.method) {
    case "houlsby":
      return { after: after!, reduction: reduction!, activation: activation! };
    case "pfeiffer":
      return {
        reduction: reduction!,
        activation: activation!,
        reads: piece.options["reads"] as "normed" | "output",
      };
    case "parallelAdapter":
      if (piece.options["reads"] === "input" && !isPostNorm(model)) {
        refuse(
          piece,
          'in a block with the norm in front its branch reads the residual stream: reads "residual"',
        );
      }
      if (options.dropout !== 0) {
        refuse(piece, "the library drops behind the branch, not inside it: dropout 0");
      }
      return { reduction: reduction!, activation: activation!, reads: "residual", scale: options.scale! };
    case "compacter":
    case "phmAdapter": {
      const { dimension, rank } = options;
      return {
        after: after!,
        reduction: reduction!,
        activation: activation!,
        reads: (options.reads ?? "output") as "normed" | "output",
        phm: piece.method === "compacter"
          ? { dimension: dimension!, rank: rank!, rule: "shared" }
          : { dimension: dimension!, rank: "full", rule: "own" },
      };
    }
    default:
      return options;
  }
}

function bottleneckFields(piece: Piece, options: BottleneckAdapterOptions, model: Model): AdaptersFields {
  const { after = ["feedForward"], reduction = 16, activation = "relu", reads = "output", keeps = "output" } =
    options;
  const { norms = [], scale = 1, residual = "added", dropout = 0, branchDropout = 0, phm } = options;
  const sites = model.spec.sublayers.filter(({ role }) => after.includes(role));
  if (keeps !== "output" && reads !== "normed") {
    refuse(piece, `it cannot keep "${keeps}" and read "${reads}"`);
  }
  if (keeps === "sum" && !isPostNorm(model)) {
    refuse(piece, 'in a block with the norm in front "sum" is "normed": say so');
  }
  if (residual === "dropped" && isPostNorm(model)) {
    refuse(piece, "the norm behind the block would be left out too");
  }
  if (norms.includes("branch") && norms.includes("whole")) refuse(piece, "it has two norms behind");
  return {
    mh_adapter: after.includes("attention"),
    output_adapter: after.includes("feedForward"),
    cross_adapter: after.includes("cross"),
    reduction_factor: reduction as Json,
    non_linearity: activationName(activation),
    is_parallel: reads === "residual",
    original_ln_before: reads === "normed",
    original_ln_after: residual === "added",
    residual_before_ln: keeps === "output" ? true : keeps === "normed" ? false : "post_add",
    ln_before: norms.includes("before"),
    ln_after: norms.includes("branch") || norms.includes("whole"),
    adapter_residual_before_ln: norms.includes("whole"),
    scaling: scale,
    init_weights: reads === "residual" ? "mam_adapter" : "bert",
    dropout,
    stochastic_depth: branchDropout,
    leave_out: leftOut(piece, sites, model),
    ...phm && {
      phm_layer: true,
      phm_dim: phm.dimension,
      factorized_phm_W: phm.rank !== "full",
      phm_rank: phm.rank === "full" ? 1 : phm.rank,
      shared_phm_rule: phm.rule === "shared",
    },
  };
}

function invertibleFields(piece: Piece, options: InvertibleAdapterOptions, model: Model): AdaptersFields {
  const { stands = "tokens", reduction = 2, activation = "relu" } = options;
  if (stands === "tokens" && inverseStands(model) === "entrance") {
    refuse(piece, 'the library has it where the text enters the blocks: stands "entrance"');
  }
  return {
    mh_adapter: false,
    output_adapter: false,
    non_linearity: activationName(activation),
    inv_adapter: "nice",
    inv_adapter_reduction_factor: reduction,
  };
}

function prefixFields(piece: Piece, options: PrefixTuningOptions, model: Model): AdaptersFields {
  const { length = 10, network = { hidden: 512 }, dropout = 0, positions = "past", distances = "true" } =
    options;
  if (options.rows === "peft") refuse(piece, 'its prefixes are each attention\'s own: rows "own"');
  const { spec } = model;
  const two = spec.stacks.length > 1;
  const decodes = spec.attentions.some(({ stack, role }) => stack === "decoder" && role === "self");
  if (positions === "always" || (positions === "past" && decodes)) {
    refuse(piece, 'its prefixes take no positions there: positions "none"');
  }
  if (two && distances !== "pushed") {
    refuse(piece, 'its prefixes move the distances of such a model: distances "pushed"');
  }
  const kinds = (stack: string, role: string): boolean =>
    spec.attentions.some((place) => place.stack === stack && place.role === role && holds(piece, place.path));
  return {
    prefix_length: length,
    flat: network === "none",
    ...network !== "none" && {
      bottleneck_size: network.hidden,
      non_linearity: activationName(network.activation ?? "tanh"),
    },
    dropout,
    encoder_prefix: !two || kinds("encoder", "self"),
    cross_prefix: !two || kinds("decoder", "cross"),
    leave_out: two ? [] : leftOut(piece, spec.attentions, model),
    shared_gating: piece.gate !== "keyValueGate",
  };
}

function promptFields(piece: Piece, options: PromptTuningOptions, model: Model): AdaptersFields {
  const { length = 20, where = "front" } = options;
  if (model.architecture.name !== "bert") refuse(piece, "the library has prompts for BERT and RoBERTa alone");
  if (where !== "entered" && where !== "afterFirst") {
    refuse(piece, 'its prompts get no positions and no norm of the embeddings: where "entered"');
  }
  return { prompt_length: length, combine: where === "entered" ? "prefix" : "prefix_after_bos" };
}

/** Which layers are adapted, as the library names them. */
function places(piece: Piece, leaf: string, model: Model): AdaptersFields {
  const linears = model.spec.linears.filter(({ layer }) => layer !== undefined);
  const held = linears.filter(({ path }) => lookup(piece.params, `${path}.${leaf}`) !== undefined);
  if (held.length === 0) refuse(piece, "none of its parameters stands at a layer of a block");
  const names = FEED_FORWARD_ROLES[model.architecture.name] ?? FEED_FORWARD_ROLES["other"]!;
  const has = (role: string): boolean => held.some((place) => place.role === role);
  const known = ["query", "key", "value", names.intermediate_lora, names.output_lora];
  const odd = held.find(({ role }) => !known.includes(role));
  if (odd !== undefined) {
    refuse(
      piece,
      `it adapts "${odd.path}", but the library query, key, value and the feed-forward part's ${
        known.slice(3).join(" and ")
      }`,
    );
  }
  const roles = held.map(({ role }) => role);
  const wanted = linears.filter(({ role }) => (roles as readonly string[]).includes(role));
  const matrices = [["q", "query"], ["k", "key"], ["v", "value"]].filter(([, role]) => has(role!)).map((
    [q],
  ) => q!);
  return {
    selfattn_lora: matrices.length > 0,
    ...matrices.length > 0 && { attn_matrices: matrices },
    intermediate_lora: has(names.intermediate_lora),
    output_lora: has(names.output_lora),
    leave_out: leftOut(piece, wanted, model),
  };
}

function loraFields(piece: Piece, options: DoraOptions, model: Model): AdaptersFields {
  const { dropout = 0, bias = "none", branchBias = false, decomposition = "paper" } = options;
  if (bias !== "none" || branchBias) refuse(piece, "the library trains no biases with it");
  const fields = places(piece, "a", model);
  const held = model.spec.linears.filter(({ path }) => lookup(piece.params, `${path}.a`) !== undefined);
  const { rank, scale } = uniform(piece, held.map(({ path }) => path), options);
  if (piece.gate !== undefined && scale !== 1) {
    refuse(piece, "under a gate there is no factor: alpha as the rank");
  }
  const isDora = piece.method === "dora";
  if (isDora && decomposition === "paper" && (scale !== 1 || held.some((place) => place.bias))) {
    refuse(piece, 'it scales biases and leaves α out of the norm: decomposition "adapterHub"');
  }
  return {
    ...fields,
    r: rank,
    alpha: piece.gate === undefined ? scale * rank : rank,
    dropout,
    ...isDora && { use_dora: true },
  };
}

/** The one rank and factor of all layers. */
function uniform(
  piece: Piece,
  paths: readonly string[],
  options: LoraOptions,
): { readonly rank: number; readonly scale: number } {
  const all = paths.map((path) => ({ rank: loraRank(path, options), scale: loraScale(path, options) }));
  const first = all[0]!;
  const i = all.findIndex(({ rank, scale }) => rank !== first.rank || scale !== first.scale);
  return i < 0
    ? first
    : refuse(piece, `it has one rank and factor for all layers, and "${paths[i]}" has others`);
}

function veraFields(piece: Piece, options: VeraOptions, model: Model): AdaptersFields {
  const { rank = 256, dropout = 0, projections = "stored", initialD = 0.1 } = options;
  if (projections !== "stored") refuse(piece, 'it keeps the projections: projections "stored"');
  return {
    ...places(piece, "lambdaD", model),
    r: rank,
    alpha: rank,
    dropout,
    vera_d: initialD,
    vera_b: 0,
    init_weights: "vera",
  };
}

function ia3Fields(piece: Piece, model: Model): AdaptersFields {
  const held = model.spec.linears.filter(({ path }) => lookup(piece.params, `${path}.l`) !== undefined);
  const inner = held.find((place) => scalesInput(place, piece.options));
  if (inner !== undefined) {
    refuse(piece, `it scales outputs alone, but "${inner.path}" has its input scaled: feedForward []`);
  }
  return { ...places(piece, "l", model), ...SCALE };
}

const SCALE = { r: 1, alpha: 1, composition_mode: "scale", init_weights: "ia3" } as const;

function fusedFields(piece: Piece, options: FusedLoraOptions, model: Model): AdaptersFields {
  const isLora = piece.method === "fusedLora";
  const { rank = 8, alpha = rank, dropout = 0, parts = isLora ? ["query", "value"] : ["key", "value"] } =
    options;
  if (piece.gate !== undefined && alpha !== rank) {
    refuse(piece, "under a gate there is no factor: alpha as the rank");
  }
  const order = ["query", "key", "value"] as const;
  return {
    selfattn_lora: true,
    attn_matrices: order.filter((part) => parts.includes(part)).map((part) => part[0]!),
    leave_out: leftOut(piece, model.spec.linears.filter(({ role }) => role === "qkv"), model),
    ...isLora ? { r: rank, alpha, dropout } : SCALE,
  };
}

function reftFields(piece: Piece, options: LoreftOptions, model: Model): AdaptersFields {
  const { rank = 8, first = 7, last = 7, ends = "tied", dropout = 0, rows = "orthonormal" } = options;
  const { subtracts = "projection", activation = "none" as Activation, atMost = "half" } = options;
  const held = model.spec.blocks.filter(({ path }) => holds(piece, path));
  if (held.length === 0) refuse(piece, "none of its parameters stands at a block");
  return {
    r: rank,
    prefix_positions: first,
    suffix_positions: last,
    tied_weights: ends === "tied",
    dropout,
    orthogonality: rows === "orthonormal",
    subtract_projection: subtracts === "projection",
    non_linearity: activation === "none" ? null : activationName(activation),
    layers: held.length === model.spec.blocks.length ? "all" : held.map((place) => blockNumber(model, place)),
    ...atMost === "half" && { at_most: "half" },
  };
}
