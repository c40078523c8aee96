/**
 * The methods of the comparison table, each with the settings of its literature, as far as the model allows.
 */
import {
  adapt,
  type Adapter,
  chooseTargets,
  dequantizedShape,
  fold,
  key,
  leaves,
  type Method,
  type Model,
  nest,
  type Spec,
  type Tree,
  weightLeaves,
} from "../core/mod.ts";
import {
  adalora,
  adamix,
  adapterFusion,
  attentionFusion,
  beft,
  bitfit,
  boft,
  c3a,
  compacter,
  compacterPlusPlus,
  contextPromptTuning,
  crossAttention,
  deft,
  delora,
  diffPruning,
  diffPruningFixed,
  dora,
  far,
  feedForwardLayers,
  fishMask,
  fourierft,
  fullFineTune,
  glora,
  gralora,
  hira,
  houlsby,
  hra,
  ia3,
  intrinsicSaid,
  invertibleAdapter,
  ipt,
  iptAutoencoder,
  krona,
  kronaB,
  kronaBres,
  ladderSideTuning,
  layerNormTune,
  learnerCount,
  lets,
  lily,
  llamaAdapter,
  loha,
  lokr,
  lora,
  loraPlus,
  loreft,
  ltSft,
  mam,
  miss,
  multitaskPromptTuning,
  oft,
  only,
  osf,
  parallelAdapter,
  peanut,
  pfeiffer,
  phmAdapter,
  piecesOf,
  poly,
  prefixTuning,
  promptTuning,
  psoft,
  pTuning,
  pTuningV2,
  pvera,
  qlora,
  randlora,
  road,
  rslora,
  s4,
  shira,
  sparseAdapter,
  type SparseMask,
  spot,
  tinyLora,
  topLayers,
  trainableTokens,
  uniLora,
  unipelt,
  vbLora,
  vera,
  waveft,
  xlora,
} from "../methods/mod.ts";
import { less, uniform } from "../ops/mod.ts";
import { contextLength } from "../models/mod.ts";
import { fishBudget } from "../methods/selective/fisher_mask.ts";
import {
  bankLength,
  commonDivisor,
  s4Budget,
  s4Groups,
  sideReduction,
  smallestInput,
  smallestMatrix,
  sparseRank,
} from "../methods/shared/model_sizes.ts";
import { blankPsoftOptions, psoftRank } from "./psoft_start.ts";

/** A method with a description of its settings. */
export interface TableEntry {
  /** Our factory's name, by which the article's row is found. */
  readonly name: string;
  /** The sizes used in its literature, or the nearest that fit the model. */
  setting(model: Model): string;
  /**
   * The method for a model; tensors it is made of are on the model's backend and must be freed by the caller.
   */
  make(model: Model): Method;
  /** The method that remains after training, where that is a different one. */
  kept?(model: Model): Method;
  /** What the literature trains along with it. */
  readonly beside?: Method;
}

const entry = (
  name: string,
  setting: string | ((model: Model) => string),
  make: (model: Model) => Method,
  kept?: (model: Model) => Method,
): TableEntry => ({
  name,
  setting: typeof setting === "function" ? setting : () => setting,
  make,
  ...kept && { kept },
});

/** Compacter's and KronA's papers train every norm as well, and count them. */
const withNorms = (
  name: string,
  setting: string | ((model: Model) => string),
  method: (model: Model) => Method,
): TableEntry => {
  const own = entry(name, setting, method);
  return { ...own, setting: (model) => `${own.setting(model)}, and norms`, beside: layerNormTune() };
};

/** Rows of a prompt or prefix: the usual number, or half of a short context. */
function rowsOf(model: Model, usual: number): number {
  return Math.min(usual, Math.max(1, Math.floor(contextLength(model) / 2)));
}

const rows = (usual: number, rest = "") => (model: Model): string => `${rowsOf(model, usual)} rows${rest}`;

/**
 * Tokens of the text that costs are counted on: 64, or what fits in a short context along with the longest
 * prompt.
 */
export function textLength(model: Model): number {
  return Math.max(1, Math.min(64, contextLength(model) - rowsOf(model, 100)));
}

/** r of MiSS, n of FourierFT and c of C3A. */
const pieces = ({ spec }: Model): number => Math.min(64, smallestInput(chooseTargets(spec, {})));
const vectorLength = ({ spec }: Model): number => bankLength(chooseTargets(spec, {}));
const circulants = ({ spec }: Model): number => commonDivisor(chooseTargets(spec, {}));
const frequencies = ({ spec }: Model, most = 1000): number =>
  Math.min(most, smallestMatrix(chooseTargets(spec, {})));
const sparse = ({ spec }: Model): number => sparseRank(chooseTargets(spec, {}));

/** The sizes of OFT's blocks. */
function blockSizes({ spec }: Model): string {
  const sizes = chooseTargets(spec, {}).map((place) => piecesOf("oft", place, { size: 32 }, "nearest").size);
  return [...new Set(sizes)].join(" and ");
}

/** n and r for sums of Kronecker products: r about d / 32, both divisible by the largest n up to `most` that divides d. */
function kronecker(
  { spec }: Model,
  most: number,
): { readonly reduction: number; readonly dimension: number } {
  const width = spec.blocks[0]!.width;
  let dimension = most;
  while (width % dimension !== 0) dimension--;
  const r = dimension * Math.max(1, Math.round(width / 32 / dimension));
  return { reduction: width % r === 0 ? width / r : width / (r + 0.5), dimension };
}

const sumSizes = (most: number) => (model: Model): string => {
  const { reduction, dimension } = kronecker(model, most);
  return `r d/${Math.round(reduction)}, n ${dimension}`;
};

/**
 * Every method. Those that need weights or data for initialization (PiSSA, OLoRA, LoftQ, EVA) are represented
 * by the shapes that they train and keep, and those made of trained parts have randomly initialized ones.
 */
export const TABLE: readonly TableEntry[] = [
  entry("fullFineTune", "every weight", () => fullFineTune()),
  entry(
    "topLayers",
    "last block and what is above",
    ({ spec }) => topLayers(spec.stacks.length > 1 ? { stack: "decoder" } : {}),
  ),
  entry("bitfit", "every bias; zeros where there is none", () => bitfit()),
  entry("beft", "the values' biases", () => beft()),
  entry("layerNormTune", "every norm", () => layerNormTune()),
  entry("crossAttention", "attention to the encoder", () => crossAttention()),
  entry(
    "trainableTokens",
    "10 rows",
    () => trainableTokens({ tokens: Array.from({ length: 10 }, (_, i) => i) }),
  ),
  entry("only", "the values' matrices", ({ spec }) => only({ parameters: valueMatrices(spec) })),
  entry(
    "diffPruning",
    "0.5 % kept",
    () => diffPruning(),
    (model) => diffPruningFixed({ mask: spread(model, half(model)) }),
  ),
  entry(
    "fishMask",
    "0.5 %",
    (model) => fishMask({ mask: spread(model, fishBudget(model, { ratio: 0.005 }).masked) }),
  ),
  entry("ltSft", "0.5 %", (model) => ltSft({ mask: spread(model, half(model)) })),
  entry("far", "10 % of the nodes", ({ spec }) =>
    far({
      learners: Object.fromEntries(
        feedForwardLayers(spec).map((
          place,
        ) => [place.path, Int32Array.from({ length: learnerCount(place, 0.1) }, (_, j) => j)]),
      ),
    })),
  entry("lora", "r 8 on q and v", () => lora({ rank: 8 })),
  entry("rslora", "r 8 on q and v", () => rslora({ rank: 8 })),
  entry("loraPlus", "r 8 on q and v", () => loraPlus({ rank: 8 })),
  entry("qlora", "r 64, every layer; base apart", () => qlora()),
  entry("dora", "r 8 on q and v", () => dora({ rank: 8 })),
  entry("pissa", "r 8 on q and v; kept as r 16", () => lora({ rank: 8 }), () => lora({ rank: 16 })),
  entry("olora", "r 8 on q and v; kept as r 16", () => lora({ rank: 8 }), () => lora({ rank: 16 })),
  entry("loftq", "r 8 on q and v; base apart", () => lora({ rank: 8 })),
  entry("eva", "r 8 on q and v, spread evenly", () => lora({ rank: 8 })),
  entry("adalora", "r 12 to 8, every layer", () => adalora({ targets: "all-linear" })),
  entry("vera", "r 256 on q and v", () => vera({ rank: 256 })),
  entry(
    "psoft",
    (model) => `r ${psoftRank(model, {})} on q and v`,
    (model) => psoft(blankPsoftOptions(model, {})),
  ),
  entry("lily", "r 32, one A in 4, 4 B on q and v", () => lily({ rank: 32, stride: 4, experts: 4 })),
  entry("loha", "r 8 on q and v", () => loha({ rank: 8 })),
  entry("lokr", "r 8 on q and v", () => lokr({ rank: 8 })),
  withNorms("krona", "q and v", () => krona()),
  entry("oft", (model) => `blocks of ${blockSizes(model)} on q and v`, () => oft({ uneven: "nearest" })),
  entry("boft", "blocks of 4 on q and v", () => boft()),
  entry("poly", "4 skills of r 8 on q and v", () => poly()),
  entry("glora", "r 8 on q and v", () => glora()),
  entry("osf", "the lower half of q and v", () => osf()),
  entry("hra", "r 8 on q and v", () => hra()),
  entry("miss", (model) => `r ${pieces(model)} on q and v`, (model) => miss({ rank: pieces(model) })),
  entry(
    "fourierft",
    (model) => `${frequencies(model)} frequencies on q and v`,
    (model) => fourierft({ frequencies: frequencies(model) }),
  ),
  entry(
    "vbLora",
    (model) => `r 4 of 256 vectors of ${vectorLength(model)} on q and v`,
    (model) => vbLora({ length: vectorLength(model) }),
  ),
  entry("uniLora", "256 numbers for r 4 on q and v", () => uniLora()),
  entry("pvera", "r 256 on q and v", () => pvera()),
  entry("tinyLora", "64 numbers a layer on q and v", () => tinyLora()),
  entry(
    "c3a",
    (model) => `blocks of ${circulants(model)} on q and v`,
    (model) => c3a({ block: circulants(model) }),
  ),
  entry("deft", "r 8 on q and v", () => deft()),
  entry("peanut", "r 8 on q and v", () => peanut({ rank: 8 })),
  entry("randlora", "r 32 on q and v", () => randlora()),
  entry("road", "RoAd_1 on q and v", () => road()),
  entry("delora", "r 8 on q and v", () => delora()),
  entry("hira", "r 32 on q and v", () => hira()),
  entry("shira", (model) => `r ${sparse(model)} on q and v`, (model) => shira({ rank: sparse(model) })),
  entry("gralora", "r 8, 2 by 2 blocks on q and v", () => gralora({ rank: 8 })),
  entry(
    "waveft",
    (model) => `${frequencies(model, 2592)} frequencies on q and v`,
    (model) => waveft({ frequencies: frequencies(model, 2592) }),
  ),
  entry("intrinsicSaid", "d 20,000", () => intrinsicSaid({ dimension: 20_000, blocks: "vector" })),
  entry("ia3", "k, v and down", () => ia3()),
  withNorms("houlsby", "r d/32", () => houlsby({ reduction: 32 })),
  entry("pfeiffer", "r d/16", () => pfeiffer()),
  entry("parallelAdapter", "r d/48", () => parallelAdapter({ reduction: 48, scale: 2 })),
  entry("adamix", "4 experts, r d/16", () => adamix()),
  entry(
    "adapterFusion",
    "of 2 adapters, r d/16",
    (model) => adapterFusion({ adapters: { one: adapt(model, pfeiffer()), two: adapt(model, pfeiffer()) } }),
  ),
  entry("sparseAdapter", "r d/12, half kept", (model) => {
    const host = houlsby({ reduction: 12 });
    return sparseAdapter({ host, mask: halfOfMatrices(adapt(model, host).params, model) });
  }),
  entry("invertibleAdapter", "embeddings, d/4", () => invertibleAdapter()),
  withNorms("phmAdapter", sumSizes(12), (model) => phmAdapter(kronecker(model, 12))),
  withNorms("compacter", sumSizes(4), (model) => compacter(kronecker(model, 4))),
  withNorms("compacterPlusPlus", sumSizes(4), (model) => compacterPlusPlus(kronecker(model, 4))),
  withNorms("kronaB", "beside feed-forward", () => kronaB()),
  withNorms("kronaBres", "beside feed-forward", () => kronaBres()),
  entry("loreft", "r 8, 7 first and 7 last", () => loreft()),
  entry(
    "promptTuning",
    rows(100),
    (model) => promptTuning({ length: rowsOf(model, 100) }),
  ),
  entry("spot", rows(100, " of another task"), (model) => {
    const sources = { source: prompt(model) };
    return spot({ sources });
  }),
  entry("ipt", (model) => `250 numbers for ${rowsOf(model, 100)} rows`, (model) => {
    const autoencoder = iptAutoencoder({ prompts: { task: prompt(model) }, task: "task" });
    return ipt({ autoencoder: adapt(model, autoencoder) });
  }),
  entry(
    "pTuning",
    rows(9, " through an encoder"),
    (model) => pTuning({ length: rowsOf(model, 9) }),
  ),
  entry("prefixTuning", rows(10), (model) => prefixTuning({ length: rowsOf(model, 10) })),
  entry(
    "pTuningV2",
    rows(8),
    (model) => pTuningV2({ length: rowsOf(model, 8) }),
  ),
  entry(
    "multitaskPromptTuning",
    rows(100, " times factors of r 1"),
    (model) => multitaskPromptTuning({ length: rowsOf(model, 100) }),
  ),
  entry(
    "contextPromptTuning",
    rows(100, " of a context"),
    (model) => contextPromptTuning({ tokens: Array.from({ length: rowsOf(model, 100) }, () => 0) }),
  ),
  entry("llamaAdapter", "10 rows in all blocks but two", () => llamaAdapter()),
  entry(
    "mam",
    rows(16, " and r d/48"),
    (model) =>
      mam({
        prefix: { length: rowsOf(model, 16) },
        parallel: { reduction: 48, scale: 2 },
      }),
  ),
  entry("unipelt", "r d/16, 10 rows, r 8", () => unipelt({ prefix: { length: 10, positions: "none" } })),
  entry("s4", (model) => `${Number((100 * budget(model) / sizeOf(model)).toPrecision(2))} %`, (model) => {
    const groups = s4Groups(model.spec);
    return s4({ budget: budget(model), ...groups && { groups } });
  }),
  entry(
    "ladderSideTuning",
    ({ spec }) => `a network of d/${sideReduction(spec)} beside 3 blocks of 4`,
    ({ spec }) => ladderSideTuning({ reduction: sideReduction(spec), ...besideMost(spec) }),
  ),
  entry("attentionFusion", "one query", () => attentionFusion()),
  entry("lets", "every layer's attention", () => lets()),
  entry("xlora", "of 2 LoRAs, r 8 on q and v", (model) => {
    const expert = (): Adapter => adapt(model, lora({ rank: 8 }));
    return xlora({ experts: { one: expert(), two: expert() } });
  }),
];

/** A prompt as another task would leave it. */
const prompt = (model: Model): Adapter => adapt(model, promptTuning({ length: rowsOf(model, 100) }));

/** The paper omits the first of every four blocks: 0, 4 and 8 of T5-base's stacks. */
function besideMost({ stacks }: Spec): { readonly layers?: readonly number[] } {
  const all = Array.from({ length: Math.max(...stacks.map(({ layers }) => layers)) }, (_, i) => i);
  const layers = all.filter((i) => i % 4 !== 0);
  return layers.length === 0 ? {} : { layers };
}

/** Names of the value matrices, or of the fused matrices that contain them. */
function valueMatrices({ linears }: Spec): readonly string[] {
  const apart = linears.filter(({ role }) => role === "value");
  return (apart.length > 0 ? apart : linears.filter(({ role }) => role === "qkv"))
    .map(({ path }) => `${path}.weight`);
}

/** Random masks of an adapter's matrices, as in SparseAdapter: biases are not masked. */
function halfOfMatrices(params: Tree, model: Model): Tree {
  return nest(
    leaves(params).filter(([, t]) => t.shape.length > 1)
      .map(([path, t]) => [path, less(uniform(fold(key(0), path), t.shape, model.backend), 0.5)] as const),
  ) as Tree;
}

/** 0.5 % of the model's weights. */
const half = (model: Model): number => Math.max(1, Math.floor(0.005 * sizeOf(model)));

const sizeOf = (model: Model): number =>
  weightLeaves(model.weights).reduce((n, [, leaf]) => n + leaf.size, 0);

/** S4's budget: half a percent, or the minimum that its parts need. */
const budget = (model: Model): number => Math.max(half(model), s4Budget(model.spec));

/**
 * A mask with a number of elements, the first ones of each leaf in proportion: only its shapes matter here.
 */
function spread(model: Model, elements: number): SparseMask {
  const leaves = weightLeaves(model.weights);
  const all = sizeOf(model);
  let [seen, taken] = [0, 0];
  return {
    leaves: leaves.map(([path, { size }]) => {
      seen += size;
      const upTo = Math.round(elements * seen / all);
      const indices = Int32Array.from({ length: upTo - taken }, (_, i) => i);
      taken = upTo;
      return { path, shape: dequantizedShape(model, path), indices };
    }),
    whole: [],
  };
}
