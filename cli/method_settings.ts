/** The methods of the comparison table, each at the setting that its literature uses, as far as the model allows. */
import { type Method, type Model, weightLeaves } from "../core/mod.ts";
import {
  adalora,
  adamix,
  bitfit,
  boft,
  compacter,
  compacterPlusPlus,
  crossAttention,
  diffPruning,
  diffPruningFixed,
  dora,
  far,
  feedForwardLayers,
  fishMask,
  fourierft,
  fullFineTune,
  houlsby,
  hra,
  ia3,
  intrinsicSaid,
  krona,
  kronaB,
  kronaBres,
  ladderSideTuning,
  layerNormTune,
  learnerCount,
  loha,
  lokr,
  lora,
  loreft,
  ltSft,
  mam,
  miss,
  oft,
  parallelAdapter,
  pfeiffer,
  phmAdapter,
  prefixTuning,
  promptTuning,
  pTuning,
  pTuningV2,
  s4,
  type SparseMask,
  topLayers,
  unipelt,
  vera,
} from "../methods/mod.ts";
import { fishBudget } from "../recipes/fish_mask.ts";

/** A method with what is said of its setting. */
export interface TableEntry {
  /** Our factory's name, by which the article's row is found. */
  readonly name: string;
  readonly setting: string;
  make(model: Model): {
    readonly method: Method;
    /** What remains after training, where that is another method. */
    readonly kept?: Method;
    /** What the literature trains beside it. */
    readonly beside?: Method;
  };
}

const entry = (name: string, setting: string, make: (model: Model) => Method): TableEntry => ({
  name,
  setting,
  make: (model) => ({ method: make(model) }),
});

/** Compacter's and KronA's papers train every norm as well, and count them. */
const withNorms = (name: string, setting: string, method: (model: Model) => Method): TableEntry => ({
  name,
  setting: `${setting}, and norms`,
  make: (model) => ({ method: method(model), beside: layerNormTune() }),
});

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

/** Every method that a table can show. Those that need data or trained parts (PiSSA, EVA, AdapterFusion, X-LoRA) are not. */
export const TABLE: readonly TableEntry[] = [
  entry("fullFineTune", "every weight", () => fullFineTune()),
  entry(
    "topLayers",
    "last block and what is above",
    ({ spec }) => topLayers(spec.stacks.length > 1 ? { stack: "decoder" } : {}),
  ),
  entry("bitfit", "every bias; zeros where there is none", () => bitfit()),
  entry("layerNormTune", "every norm", () => layerNormTune()),
  entry("crossAttention", "attention to the encoder", () => crossAttention()),
  {
    name: "diffPruning",
    setting: "0.5 % kept",
    make: (model) => ({
      method: diffPruning(),
      kept: diffPruningFixed({ mask: spread(model, half(model)) }),
    }),
  },
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
  entry("dora", "r 8 on q and v", () => dora({ rank: 8 })),
  entry("adalora", "r 12 to 8, every layer", () => adalora({ targets: "all-linear" })),
  entry("vera", "r 256 on q and v", () => vera({ rank: 256 })),
  entry("loha", "r 8 on q and v", () => loha({ rank: 8 })),
  entry("lokr", "r 8 on q and v", () => lokr({ rank: 8 })),
  withNorms("krona", "q and v", () => krona()),
  entry("oft", "blocks of 32 on q and v", () => oft()),
  entry("boft", "blocks of 4 on q and v", () => boft()),
  entry("hra", "r 8 on q and v", () => hra()),
  entry("miss", "r 64 on q and v", () => miss({ rank: 64 })),
  entry("fourierft", "1000 frequencies on q and v", () => fourierft()),
  entry("intrinsicSaid", "d 20,000", () => intrinsicSaid({ dimension: 20_000, blocks: "vector" })),
  entry("ia3", "k, v and down", () => ia3()),
  withNorms("houlsby", "r d/32", () => houlsby({ reduction: 32 })),
  entry("pfeiffer", "r d/16", () => pfeiffer()),
  entry("parallelAdapter", "r d/48", () => parallelAdapter({ reduction: 48, scale: 2 })),
  entry("adamix", "4 experts, r d/16", () => adamix()),
  withNorms("phmAdapter", "r d/32, n 12", (model) => phmAdapter(kronecker(model, 12))),
  withNorms("compacter", "r d/32, n 4", (model) => compacter(kronecker(model, 4))),
  withNorms("compacterPlusPlus", "r d/32, n 4", (model) => compacterPlusPlus(kronecker(model, 4))),
  withNorms("kronaB", "beside feed-forward", () => kronaB()),
  withNorms("kronaBres", "beside feed-forward", () => kronaBres()),
  entry("loreft", "r 8, 7 first and 7 last", () => loreft()),
  entry("promptTuning", "100 rows", () => promptTuning({ length: 100 }) as unknown as Method),
  entry("pTuning", "9 rows through an encoder", () => pTuning({ length: 9 }) as unknown as Method),
  entry("prefixTuning", "10 rows", () => prefixTuning({ length: 10 })),
  entry("pTuningV2", "8 rows", () => pTuningV2({ length: 8 }) as unknown as Method),
  entry(
    "mam",
    "16 rows and r d/48",
    () => mam({ prefix: { length: 16 }, parallel: { reduction: 48, scale: 2 } }) as unknown as Method,
  ),
  entry("unipelt", "r d/16, 10 rows, r 8", () => unipelt({ prefix: { length: 10, positions: "none" } })),
  entry("s4", "0.5 %", (model) => s4({ budget: half(model) })),
  entry("ladderSideTuning", "a network of d/8", () => ladderSideTuning()),
];

/** 0.5 % of the model's weights. */
const half = (model: Model): number =>
  Math.max(1, Math.floor(0.005 * weightLeaves(model.weights).reduce((n, [, leaf]) => n + leaf.size, 0)));

/** A mask of so many elements, the first ones of each leaf in proportion: its shapes are what counts here. */
function spread(model: Model, elements: number): SparseMask {
  const leaves = weightLeaves(model.weights);
  const all = leaves.reduce((n, [, leaf]) => n + leaf.size, 0);
  let [seen, taken] = [0, 0];
  return {
    leaves: leaves.map(([path, { shape, size }]) => {
      seen += size;
      const upTo = Math.round(elements * seen / all);
      const indices = Int32Array.from({ length: upTo - taken }, (_, i) => i);
      taken = upTo;
      return { path, shape, indices };
    }),
    whole: [],
  };
}
