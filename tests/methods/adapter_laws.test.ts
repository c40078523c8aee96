/** Adapters and hybrids obey the laws of methods. */
import {
  type Counts,
  dispose,
  keep,
  key,
  leaves,
  type Method,
  type Model,
  nest,
  scope,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import {
  adapterFusion,
  attentionFusion,
  compacter,
  compacterPlusPlus,
  houlsby,
  invertibleAdapter,
  kronaB,
  kronaBres,
  lets,
  lora,
  loreft,
  mam,
  parallelAdapter,
  pfeiffer,
  phmAdapter,
  s4,
  sparseAdapter,
  unipelt,
} from "../../methods/mod.ts";
import { less, normal } from "../../ops/mod.ts";
import type { Made } from "../support/subject.ts";
import { methodLaws } from "../support/method_laws.ts";

const just = (method: Method) => (): Made => ({ method });
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
const added = (n: number): Partial<Counts> => ({ added: n, trainable: n, changed: 0 });
const D = 12;
const LAYERS = 2;

/** 2 r d + r + d. */
const bottleneck = (r: number): number => 2 * r * D + r + D;
/** 2 n d_kv of each attention. */
const rows = ({ spec }: Model, n: number): number =>
  sum(spec.attentions.map((place) => 2 * n * place.keyValueHeads * place.headDim));

methodLaws("houlsby()", {
  method: just(houlsby({ reduction: 4, deviation: 0.1 })),
  atInit: "other",
  merges: "no",
  counts: () => added(2 * LAYERS * bottleneck(3)),
});

methodLaws("parallelAdapter()", {
  method: just(parallelAdapter({ reduction: 4, activation: "tanh", dropout: 0.2 })),
  atInit: "base",
  merges: "no",
  counts: () => added(LAYERS * bottleneck(3)),
});
methodLaws("parallelAdapter() with a learned scale", {
  method: just(parallelAdapter({ reduction: 4, activation: "gelu", scale: "learned" })),
  atInit: "base",
  merges: "no",
  counts: () => added(LAYERS * (bottleneck(3) + 1)),
});

methodLaws("phmAdapter()", {
  method: just(phmAdapter({ reduction: 4, dimension: 3 })),
  atInit: "other",
  merges: "no",
  // in · out / n + out + n³ a layer of which there are two.
  counts: () => added(2 * LAYERS * (2 * (D * 3 / 3 + 27) + 3 + D)),
});

/** 2 k (d + r) + r + d an adapter, n³ once. */
const compacted = (adapters: number, r: number, n: number, k: number): number =>
  adapters * (2 * k * (D + r) + r + D) + n ** 3;
methodLaws("compacter()", {
  method: just(compacter({ reduction: 3, dimension: 2, rank: 2 })),
  atInit: "other",
  merges: "no",
  counts: () => added(compacted(2 * LAYERS, 4, 2, 2)),
});
methodLaws("compacterPlusPlus()", {
  method: just(compacterPlusPlus({ reduction: 3 })),
  atInit: "other",
  merges: "no",
  counts: () => added(compacted(LAYERS, 4, 4, 1)),
});

methodLaws("kronaB()", {
  method: just(kronaB({ scale: 1.5, firstFactor: [4, 2] })),
  atInit: "base",
  merges: "no",
  counts: () => added(LAYERS * (4 * 2 + 3 * 6 + D)),
});
methodLaws("kronaB() without a bias", {
  method: just(kronaB({ bias: "none", zero: "a", initialization: "normal" })),
  atInit: "base",
  merges: "no",
  counts: () => added(LAYERS * 2 * 12), // 3 × 4 and 4 × 3
});
methodLaws("kronaBres()", {
  method: just(kronaBres()),
  atInit: "base",
  merges: "no",
  counts: () => added(LAYERS * (2 * 12 + D + 1)),
});
methodLaws("kronaBres() with a residual from 1", {
  method: just(kronaBres({ residual: 1 })),
  atInit: "other",
  merges: "no",
  counts: () => added(LAYERS * (2 * 12 + D + 1)),
});

methodLaws("mam()", {
  method: just(
    mam({ prefix: { length: 3, network: { hidden: 5 } }, parallel: { reduction: 4, activation: "tanh" } }),
  ),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: (model) => added(3 * D + 5 * D + 5 + (5 + 1) * rows(model, 1) + LAYERS * bottleneck(3)),
});

methodLaws("unipelt()", {
  method: just(unipelt({
    prefix: { length: 3, network: { hidden: 5 } },
    lora: { rank: 2 },
    adapter: { reduction: 4, activation: "gelu" },
  })),
  atInit: "other",
  merges: "no",
  finalizes: true,
  looksAhead: true,
  counts: (model) => {
    const targets = model.spec.linears.filter((p) => ["query", "value", "qkv"].includes(p.role));
    const gates = sum(targets.map((p) => p.inFeatures + 1)) + 2 * LAYERS * (D + 1);
    return {
      trainable: 3 * D + 5 * D + 5 + (5 + 1) * rows(model, 1) + LAYERS * bottleneck(3) + gates +
        sum(targets.map((p) => 2 * (p.inFeatures + p.outFeatures))),
    };
  },
});

for (const ends of ["tied", "apart"] as const) {
  methodLaws(`loreft() with ends ${ends}`, {
    method: just(loreft({ rank: 3, first: 1, last: 2, ends, dropout: 0.2 })),
    atInit: "other",
    merges: "no",
    looksAhead: true, // where a text ends
    // 2 r d + r.
    counts: () => added((ends === "tied" ? 1 : 2) * LAYERS * (2 * 3 * D + 3)),
    noGradient: ends === "tied" ? [] : [{
      ...{ leaves: /\.layer\.1\.last\./, on: /classes/ },
      because:
        "A class is read from the first token's last state, which an edit of the last tokens behind that block misses.",
    }],
  });
}
methodLaws("loreft() with free rows and nothing subtracted", {
  method: just(loreft({ rank: 2, first: 2, last: 0, rows: "free", subtracts: "nothing" })),
  atInit: "other",
  merges: "no",
  looksAhead: true,
  counts: () => added(LAYERS * (2 * 2 * D + 2)),
});

/** Of three adapters fresh for a model. */
const fusing = (model: Model): Made => {
  const methods = [
    pfeiffer({ reduction: 4, activation: "gelu" }),
    pfeiffer({ reduction: 6, activation: "tanh" }),
  ];
  const trained = methods.map((method, i) =>
    keep(scope((): Synchronous<Tree> => method.init({ model, key: i }) as Synchronous<Tree>))
  );
  const adapters = Object.fromEntries(
    methods.map((method, i) => [`task${i}`, { method, params: trained[i]!.tree }]),
  );
  return {
    method: adapterFusion({ adapters, dropout: 0.1 }),
    dispose: () => trained.forEach((root) => root.dispose()),
  };
};
methodLaws("adapterFusion()", {
  method: fusing,
  atInit: "other",
  merges: "no",
  counts: () => ({ trainable: LAYERS * (3 * D * D + 2 * D), changed: 0 }),
});

methodLaws("invertibleAdapter()", {
  method: just(invertibleAdapter({ activation: "tanh" })),
  atInit: "other",
  merges: "no",
  counts: () => ({ added: 2 * (6 * 3 + 3 + 3 * 6 + 6), trainable: 2 * (6 * 3 + 3 + 3 * 6 + 6) }),
});

/** A host under a mask of every second number. */
const halved = (host: Method) => (model: Model): Made => {
  const params = scope((): Synchronous<Tree> => host.init({ model, key: 0 }) as Synchronous<Tree>);
  const mask = keep(scope((): Synchronous<Tree> => {
    const matrices = leaves(params).filter(([, t]) => t.shape.length > 1);
    return nest(
      matrices.map(([path, t]) => [path, less(normal(key(path.length), t.shape, t.backend), 0)] as const),
    ) as Synchronous<Tree>;
  }));
  dispose(params);
  return { method: sparseAdapter({ host, mask: mask.tree }), dispose: () => mask.dispose() };
};
methodLaws("sparseAdapter() of houlsby()", {
  method: halved(houlsby({ reduction: 4, deviation: 0.1 })),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({ trainable: 2 * LAYERS * bottleneck(3), changed: 0 }),
});
methodLaws("sparseAdapter() of lora()", {
  method: halved(lora({ rank: 2, initialization: "none" })),
  atInit: "other",
  merges: "and unmerges",
  finalizes: true,
  counts: () => ({}),
});
methodLaws("sparseAdapter() of mam()", {
  method: halved(
    mam({ prefix: { length: 3, network: { hidden: 5 } }, parallel: { reduction: 4, activation: "tanh" } }),
  ),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({}),
});

methodLaws("s4()", {
  method: just(
    s4({ budget: 900, groups: [1, 1], parts: [["adapter", "lora"], ["prefix", "bitfit", "lora"]] }),
  ),
  atInit: "other",
  merges: "no",
  unlikeDifferences: (path) => path.includes(".adapter.") && path.includes(".down."), // before the ReLU's corner
  // 450 a block: 225 for r (2 d + 1) + d and for LoRA's r; biases first, then half of the rest each.
  counts: ({ spec }) => {
    const per = (role: string): number =>
      sum(
        spec.linears.filter((p) => p.layer === 1 && p.role === role).map((p) => p.inFeatures + p.outFeatures),
      );
    const lora = per("query") + per("value") + per("qkv");
    const biases = sum(spec.linears.filter((p) => p.layer === 1).map((p) => p.outFeatures)) +
      sum(spec.norms.filter((p) => p.layer === 1).map((p) => p.width));
    const prefix = sum(
      spec.attentions.filter((p) => p.layer === 1).map((p) => 2 * p.keyValueHeads * p.headDim),
    );
    const most = (each: number, unit: number): number => Math.floor(each / unit) * unit;
    const rest = (450 - biases) / 2;
    return {
      trainable: D + most(225 - D, 2 * D + 1) + most(225, lora) + biases + most(rest, prefix) +
        most(rest, lora),
    };
  },
});

for (const embedding of ["included", "excluded"] as const) {
  methodLaws(`attentionFusion() with the embedded input ${embedding}`, {
    method: just(attentionFusion({ embedding, scale: "root", query: "normal" })),
    atInit: "other",
    merges: "no",
    counts: () => added(D),
  });
}

/** The LSTM's two directions, from d to d / 2. */
const LSTM = 2 * (4 * (D / 2) * (D + D / 2) + 2 * 4 * (D / 2));
const attentionMatrices = ({ spec }: Model): number =>
  sum(
    spec.linears.filter((p) => ["query", "key", "value", "qkv", "output"].includes(p.role))
      .map((p) => p.inFeatures * p.outFeatures),
  );
/** Behind a maximum; the golden cases judge these. */
const unlikeDifferences = (): boolean => true;
methodLaws("lets() over each token", {
  unlikeDifferences,
  method: just(lets({ pool: "each", search: 0.1 })),
  atInit: "other",
  merges: "no",
  counts: (model) => added(LSTM + attentionMatrices(model) + LAYERS),
});
methodLaws("lets() of one branch over the first token", {
  unlikeDifferences,
  method: just(lets({ layers: [1], deltas: "block" })),
  atInit: "other",
  merges: "no",
  looksAhead: true, // a continued text's first token lies in the cache
  counts: ({ spec }) =>
    added(LSTM + sum(spec.linears.filter((p) => p.layer === 1).map((p) => p.inFeatures * p.outFeatures))),
  noGradient: [{
    ...{ leaves: /\.layers\.1\.self_attn\.[qk]_(proj|norm)/, on: /^(Llama|Qwen3|Gemma 3)$/ },
    because: "The first token of a causal model attends to itself alone, whatever its query and its key are.",
  }],
});
methodLaws("sparseAdapter() of lets()", {
  unlikeDifferences,
  method: halved(lets({ pool: "each" })),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({}),
});

methodLaws("unipelt() with a central gate", {
  method: just(unipelt({
    prefix: { length: 3, network: { hidden: 5 } },
    lora: { rank: 2 },
    adapter: { reduction: 4, activation: "gelu" },
    gate: "central",
  })),
  atInit: "other",
  merges: "no",
  finalizes: true,
  looksAhead: true,
  counts: (model) => {
    const targets = model.spec.linears.filter((p) => ["query", "value", "qkv"].includes(p.role));
    return {
      trainable: 3 * D + 5 * D + 5 + (5 + 1) * rows(model, 1) + LAYERS * bottleneck(3) +
        LAYERS * 3 * (D + 1) +
        sum(targets.map((p) => 2 * (p.inFeatures + p.outFeatures))),
    };
  },
});
