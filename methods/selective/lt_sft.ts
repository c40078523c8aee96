/**
 * LT-SFT, lottery-ticket sparse fine-tuning. Ansell et al. 2022, "Composable Sparse Fine-Tuning for Cross-Lingual Transfer",
 * arXiv 2110.07560, section 3.
 *
 *   1  fine-tune all of θ        2  unfreeze the k weights of largest |θ − θ0|        3  rewind θ, fine-tune only those
 *   φ = θ − θ0 sparse        loss + λ Σ |θ − θ0| / N in both phases        compose: θ0 + φ_task + φ_language
 *
 * With n iterations, each unfreezes k / n more elements and starts from the result of the previous one
 * (`sparsePhase`). As in the authors' `src/sft/lt_sft.py`, norms are frozen, the classifier is trained
 * as a whole (and is not part of a composition), and elements tied with the last selected one are selected
 * too. Task and language are added in one composition: `compose({ task, language })`.
 */
import {
  type Adapter,
  copyTree,
  dispose,
  type Json,
  leaves,
  lookup,
  type Method,
  type MethodDefinition,
  type Model,
  nest,
  overlay,
  type Preparing,
  scope,
  size,
  type Synchronous,
  Tensor,
  type Tree,
} from "../../core/mod.ts";
import { filled, oneOf, option, places } from "../../core/options/mod.ts";
import { add, concat, gatherRows, integers, zeros } from "../../ops/mod.ts";
import { nonNegative, share } from "../shared/number_schemas.ts";
import { type DenseDeltas, denseDeltas } from "./dense_deltas.ts";
import { denseOf, emptyMask, type LtSftLeaves, ltSftLeaves, widenedMask } from "./lt_sft_leaves.ts";
import { halfPercent, spreadMask, storedMask } from "./masks.ts";
import { distance, maskSize, sparse, type SparseMask, type SparseOptions } from "./sparse.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of LT-SFT. */
export interface LtSftOptions extends SparseOptions {
  /** λ, default 0; the authors use 0.1 for languages. */
  readonly pull?: number;
  /** N, the number of maskable weights; default: those of the mask's leaves. */
  readonly maskable?: number;
}

/**
 * LT-SFT's sparse phase as a method. Parameters: `<leaf>.values` and `<leaf>.frozen.indices`; the
 * classifier's leaves as a whole.
 *
 * @throws {RangeError} when the mask is empty or λ is negative; at init, when the mask is of another model.
 * @example
 * ```ts
 * import { ltSft } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const leaf = { path: "lm_head.weight", shape: [4, 4], indices: Int32Array.of(3, 7) };
 * assert.equal(ltSft({ mask: { leaves: [leaf], whole: [] }, pull: 0.1 }).name, "lt-sft");
 * ```
 */
export function ltSft({ mask, pull = 0, maskable = sizeOf(mask) }: LtSftOptions): Method {
  return pulled(sparse(ltSftDefinition, mask, { pull, maskable }), pull, maskable, ".values");
}

/** The elements of a mask's leaves, masked or not. */
const sizeOf = ({ leaves }: SparseMask): number => leaves.reduce((n, { shape }) => n + size(shape), 0);

/** LT-SFT's first phase: all maskable leaves are trained, as differences. */
export function ltSftDense(which: DenseDeltas, elements: number, pull = 0): Method {
  const config: Readonly<Record<string, Json>> = { pull };
  return pulled(denseDeltas("lt-sft-dense", which, config), pull, elements, ".delta");
}

function pulled(method: Method, pull: number, elements: number, ending: string): Method {
  if (!(pull >= 0)) throw rangeError("INVALID_ARGUMENT", `Expected pull to be 0 or more but found ${pull}`);
  if (pull === 0) return method;
  return {
    ...method,
    penalty: (params) =>
      distance(leaves(params).filter(([path]) => path.endsWith(ending)).map(([, t]) => t), pull, elements),
  };
}

/** How many weights train, and which. */
const CHOSEN = {
  ratio: option(share, "share of the maskable weights that train in the end", 0.05),
  pull: option(nonNegative, "λ, how strongly weights are held near where they were", 0),
  norms: option(oneOf("frozen", "maskable"), "whether norms may be masked", "frozen"),
  frozen: option(places, "further weights that stay, by name or pattern"),
  tiedHead: option(oneOf("follows", "stays"), "whether a head tied to the embedding follows it", "follows"),
};

/** `ltSft` in records, and how a run finds its mask. */
export const ltSftDefinition: MethodDefinition = {
  name: "lt-sft",
  summary: "Trains fully first, then again from the start the weights alone that moved most.",
  facts: { trains: "N in the first run, then k", changes: "k" },
  title: "LT-SFT",
  options: {},
  restore: (config, stored) => {
    const { pull, maskable } = config as { readonly pull: number; readonly maskable: number };
    return ltSft({ mask: storedMask(config, stored), pull, maskable });
  },
  cli: { rate: 5e-5, flags: [], also: CHOSEN, head: "all", stages: true },
  prepare: async ({ model, options, train }) => {
    const { ratio, pull, ...which } = filled(options, CHOSEN);
    const elements = Math.floor(ratio * maskableSize(model, which));
    return { adapter: await sparsePhase(model, { ...which, elements, pull }, train) };
  },
  plan: ({ model, options }) => {
    const { ratio: _, pull, ...which } = filled(options, CHOSEN);
    return ltSftDense(ltSftLeaves(model, which), maskableSize(model, which), pull);
  },
  survey: {
    kinds: "S",
    storage: "yes",
    memory: "maybe",
    backward: "no",
    overhead: "No overhead",
    differs: "gradients are dense for one weight at a time, and the optimizer's state follows the mask",
  },
  published: {
    setting: "0.5 %",
    make: (model) => ltSft({ mask: spreadMask(model, halfPercent(model)) }),
  },
};

/** The number of maskable weights. */
function maskableSize(model: Model, which: LtSftLeaves): number {
  return ltSftLeaves(model, which).paths.map((path) => lookup(model.weights, path))
    .reduce((n, leaf) => n + (leaf instanceof Tensor ? leaf.size : 0), 0);
}

/** How many weights train, in how many iterations. */
export interface SparsePhaseOptions extends LtSftLeaves {
  /**
   * k, number of weights trained in the end; 14,155,776 for tasks in the paper, 7.96 % of mBERT. Weights tied
   * with the last selected one are trained too, which are many after a single step of Adam.
   */
  readonly elements: number;
  /** n, default 1. */
  readonly iterations?: number;
  /** λ, default 0. */
  readonly pull?: number;
}

/**
 * The start of the last sparse phase: n times, all weights train, those that moved farthest are unfrozen, all are rewound, and
 * but for the last time those train. The caller owns the result.
 *
 * @throws {RangeError} when `elements` is less than one per iteration.
 */
export async function sparsePhase(
  model: Model,
  options: SparsePhaseOptions,
  train: Preparing["train"],
): Promise<Adapter> {
  const { iterations = 1, elements, pull = 0 } = options;
  const each = Math.floor(elements / iterations);
  if (!Number.isInteger(iterations) || iterations < 1 || !(each >= 1)) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected elements for at least one weight in each iteration but found ${elements} elements for ${iterations} ` +
        "iterations; raise elements (on the command line: ratio)",
    );
  }
  const which = ltSftLeaves(model, options);
  let mask = emptyMask(model, which);
  const total = mask.leaves.reduce((n, { shape }) => n + size(shape), 0);
  const dense = ltSftDense(which, total, pull);
  if (each * iterations > total) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected to unfreeze at most the ${total} maskable weights but found ${elements}`,
    );
  }
  let start: Adapter | undefined;
  for (let i = 0; i < iterations; i++) {
    const from = start;
    try {
      const params = scope((): Synchronous<Tree> =>
        (from === undefined
          ? dense.init({ model, key: 0 })
          : nest(denseOf(mask, from.params, model))) as Synchronous<Tree>
      );
      const moved = await train({ method: dense, params }, { name: "full" });
      const widened = await widenedMask(mask, moved.params, each).finally(() => dispose(moved.params));
      const rewound = rewind(model, mask, from?.params, widened, pull);
      start = i === iterations - 1 ? rewound : await train(rewound, { name: "sparse" });
      mask = widened;
    } finally {
      dispose(from?.params);
    }
  }
  return start!;
}

/** The sparse phase's initial values: those at the beginning of the iteration, zero for new elements. */
function rewind(
  model: Model,
  before: SparseMask,
  params: Tree | undefined,
  mask: SparseMask,
  pull: number,
): Adapter {
  const method = ltSft({ mask, pull });
  const fresh = method.init({ model, key: 0 });
  if (params === undefined || maskSize(before) === 0) return { method, params: fresh };
  const old = new Map(leaves(params));
  const carried = scope((): Synchronous<Tree> => {
    const values = mask.leaves.flatMap(({ path, indices }, i): readonly (readonly [string, Tensor])[] => {
      const earlier = before.leaves[i]!.indices;
      if (indices.length === 0 || earlier.length === 0) return [];
      // The earlier values, followed by a zero used for every new element.
      const place = new Map(Array.from(earlier, (index, n) => [index, n]));
      const from = integers(
        Array.from(indices, (index) => place.get(index) ?? earlier.length),
        model.backend,
      );
      const padded = concat([old.get(`${path}.values`)!, zeros([1], model.backend)], 0);
      return [[`${path}.values`, gatherRows(padded, from)]];
    });
    const whole = mask.whole.map((path) => [path, add(old.get(path)!, 0)] as const);
    return nest([...values, ...whole]) as Synchronous<Tree>;
  });
  const merged = copyTree(overlay(fresh, carried));
  dispose([fresh, carried]);
  return { method, params: merged };
}
