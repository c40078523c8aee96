/**
 * Which parameters of an adapter to keep, by a score computed once at the parameters from which training
 * starts. He et al. 2022, arXiv 2210.04284, section 3.2; scores as in the authors' code
 * (`pruning/pruners.py`).
 *
 *   random       N(0, 1)
 *   magnitude    |θ|
 *   snip         |θ · g|           g = Σ over batches of the loss's gradient         (Lee et al. 2018, arXiv 1810.02340)
 *   grasp        θ · H g           H g by a central difference of gradients along g   (Wang et al. 2020, arXiv 2002.07376)
 *   synflow      |θ · ∂R/∂θ|       R the mean output of the adapters with |θ| for inputs of ones  (arXiv 2006.05467)
 *   erdosRenyi   at random, a leaf's density in proportion to (rows + columns) / (rows · columns)
 *   gradient     |g|
 *
 * Over all matrices together, the share `keep` with the highest scores is kept, except with `erdosRenyi`;
 * biases have no mask. Scores equal to the threshold are dropped, as in the authors' code, so ties reduce the
 * number kept.
 */
import {
  type Adapter,
  type Batch,
  dispose,
  fold,
  FROZEN,
  type HiddenCall,
  keep as rooted,
  type Key,
  key as keyOf,
  leaves,
  lossAndGradients,
  mapTree,
  type Model,
  nest,
  read,
  type Root,
  scope,
  type Spec,
  type Synchronous,
  type Tensor,
  type Tree,
  valueAndGrad,
} from "../../core/mod.ts";
import {
  abs,
  add,
  addAll,
  concat,
  integers,
  less,
  mean,
  multiply,
  normal,
  ones,
  orderStatistic,
  reshape,
  subtract,
} from "../../ops/mod.ts";

/** How parameters are scored. */
export type MaskScore = "random" | "magnitude" | "snip" | "grasp" | "synflow" | "erdosRenyi" | "gradient";

/** Options of `adapterMask`. */
export interface AdapterMaskOptions {
  /** The share of the matrices' parameters that is kept, in (0, 1]. (The paper's sparsity is 1 − keep.) */
  readonly keep: number;
  /** Default "snip". */
  readonly score?: MaskScore;
  /** For "snip", "grasp" and "gradient": labelled batches. */
  readonly batches?: Iterable<Batch>;
  /** For "random" and "erdosRenyi", default 0. */
  readonly key?: Key | number;
}

/**
 * The mask of an adapter's matrices: f32 zeros and ones under their paths, to be disposed by the caller.
 * Exact order statistics exist on the reference and wasm backends.
 *
 * @throws {RangeError} when `keep` is not in (0, 1], the score needs batches and there are none, or every
 * score is zero (as SNIP's are where one of two factors is zero initially).
 * @throws {TypeError} when "synflow" is used for a method other than an adapter of hidden states.
 * @example
 * ```ts
 * import {
 *   adapt, adapterMask, dispose, freshModel, houlsby, leaves, read, reference, smallConfig,
 * } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, houlsby({ reduction: 4 }));
 * const mask = await adapterMask(model, adapter, { keep: 0.25, score: "magnitude" });
 * const values = (await Promise.all(leaves(mask).map(([, t]) => read(t)))).flatMap((part) => [...part]);
 * assert.equal(values.reduce((a, b) => a + b) / values.length, 0.25);
 * dispose(mask);
 * ```
 */
export async function adapterMask(
  model: Model,
  adapter: Adapter,
  options: AdapterMaskOptions,
): Promise<Tree> {
  const { keep, score = "snip", batches = [], key = 0 } = options;
  if (!(keep > 0 && keep <= 1)) throw new RangeError(`Expected keep above 0 and up to 1 but found ${keep}`);
  const matrices = matricesOf(adapter.params);
  if (matrices.length === 0) throw new RangeError(`Cannot mask ${adapter.method.name}: it trains no matrix`);
  if (score === "erdosRenyi") return erdosRenyi(matrices, keep, keyOf(key));
  const scores = rooted(await scoresOf(model, adapter, score, [...batches], keyOf(key)));
  try {
    const all = leaves(scores.tree);
    if (!await anyNonZero(all.map(([, t]) => t))) {
      throw new RangeError(
        `Every ${score} score of ${adapter.method.name} is 0: start both matrices of a pair from random numbers`,
      );
    }
    return scope((): Synchronous<Tree> => {
      const flat = concat(all.map(([, t]) => reshape(t, [t.size])), 0);
      const dropped = Math.ceil((1 - keep) * flat.size);
      const threshold = dropped < 1 ? undefined : orderStatistic(flat, dropped - 1);
      return nest(
        all.map(([path, t]) =>
          [path, threshold === undefined ? ones(t.shape, t.backend) : less(threshold, t)] as const
        ),
      ) as Synchronous<Tree>;
    });
  } finally {
    scores.dispose();
  }
}

type Leaf = readonly [path: string, leaf: Tensor];

/** The maskable leaves: trained ones with two axes or more. */
function matricesOf(params: Tree): readonly Leaf[] {
  return leaves(params).filter(([path, t]) => t.shape.length > 1 && !path.split(".").includes(FROZEN));
}

/** A score for each element of each matrix. */
function scoresOf(
  model: Model,
  adapter: Adapter,
  score: Exclude<MaskScore, "erdosRenyi">,
  batches: readonly Batch[],
  key: Key,
): Tree | Promise<Tree> {
  const { params } = adapter;
  const each = (f: (path: string, t: Tensor) => Tensor): Tree =>
    scope((): Synchronous<Tree> =>
      nest(matricesOf(params).map(([path, t]) => [path, f(path, t)] as const)) as Synchronous<Tree>
    );
  const from = (tree: Tree, f: (t: Tensor, g: Tensor) => Tensor): Tree => {
    const byPath = new Map(leaves(tree));
    const scored = each((path, t) => f(t, byPath.get(path)!));
    dispose(tree);
    return scored;
  };
  if (["snip", "grasp", "gradient"].includes(score) && batches.length === 0) {
    throw new RangeError(`Expected batches for the score "${score}" but found none`);
  }
  switch (score) {
    case "random":
      return each((path, t) => normal(fold(key, path), t.shape, t.backend));
    case "magnitude":
      return each((_, t) => abs(t));
    case "snip":
      return from(gradientOver(model, adapter, batches), (t, g) => abs(multiply(t, g)));
    case "gradient":
      return from(gradientOver(model, adapter, batches), (_, g) => abs(g));
    case "grasp":
      return curvatureAlongGradient(model, adapter, batches).then((hg) => from(hg, multiply));
    case "synflow":
      return from(flow(model, adapter), (t, g) => abs(multiply(t, g)));
    default:
      return score satisfies never;
  }
}

/** Σ over batches of the loss's gradient, in evaluation mode, for the matrices. */
function gradientOver(model: Model, adapter: Adapter, batches: readonly Batch[]): Tree {
  const one = (batch: Batch): Tree =>
    nest(matricesOf(lossAndGradients(model, adapter, batch).gradients)) as Tree;
  const total: Root<Tree> = rooted(scope((): Synchronous<Tree> => one(batches[0]!) as Synchronous<Tree>));
  for (const batch of batches.slice(1)) {
    total.replace(scope((): Synchronous<Tree> => plus(total.tree, one(batch), 1) as Synchronous<Tree>));
  }
  const sum = scope((): Synchronous<Tree> => mapTree(total.tree, (t) => multiply(t, 1)));
  total.dispose();
  return sum;
}

/** a + factor · b, leaf by leaf; leaves missing in b are unchanged. */
function plus(a: Tree, b: Tree, factor: number): Tree {
  const byPath = new Map(leaves(b));
  return mapTree(a, (t, path) => {
    const other = byPath.get(path);
    return other === undefined ? t : add(t, multiply(other, factor));
  });
}

/**
 * H g, as (∇L(θ + εg) − ∇L(θ − εg)) / 2ε with a step of a hundredth of θ's norm: the precision of f32
 * gradients allows no smaller step.
 */
async function curvatureAlongGradient(
  model: Model,
  adapter: Adapter,
  batches: readonly Batch[],
): Promise<Tree> {
  const g = gradientOver(model, adapter, batches);
  const norm = async (tree: Tree): Promise<number> => {
    const squares = scope((): Synchronous<Tensor> =>
      addAll(matricesOf(tree).map(([, t]) => multiply(mean(multiply(t, t)), t.size)))
    );
    const [square] = await read(squares);
    squares.storage.free();
    return Math.sqrt(square!);
  };
  const [lengthOfG, lengthOfθ] = [await norm(g), await norm(adapter.params)];
  const ε = lengthOfG === 0 ? 1 : 0.01 * (lengthOfθ || 1) / lengthOfG;
  const at = (factor: number): Tree => {
    const moved = scope((): Synchronous<Tree> => plus(adapter.params, g, factor) as Synchronous<Tree>);
    const gradient = gradientOver(model, { ...adapter, params: moved }, batches);
    const own = new Set(leaves(adapter.params).map(([, t]) => t.storage));
    for (const [, t] of leaves(moved)) if (!own.has(t.storage)) t.storage.free();
    return gradient;
  };
  const [ahead, behind] = [at(ε), at(-ε)];
  const hg = scope((): Synchronous<Tree> => {
    const back = new Map(leaves(behind));
    return mapTree(ahead, (t, path) => multiply(subtract(t, back.get(path)!), 1 / (2 * ε)));
  });
  dispose([g, ahead, behind]);
  return hg;
}

/** ∂R/∂|θ| of the adapters alone, each with an input of ones. */
function flow(model: Model, adapter: Adapter): Tree {
  const { spec, backend } = model;
  const output = (params: Tree): Tensor => {
    const edits = adapter.method.edits(params, spec);
    return addAll(edits.map((edit) => {
      if (edit.kind !== "hidden") {
        throw new TypeError(
          `Cannot score ${adapter.method.name} by synflow: its edit at "${edit.path}" is no adapter of hidden states`,
        );
      }
      const x = ones([1, 1, widthAt(edit.path, spec)], backend);
      const call: HiddenCall = {
        x,
        y: x,
        skip: undefined,
        norm: (t) => t,
        train: false,
        phase: "train",
        ids: integers([0], backend, [1, 1]),
        mask: undefined,
        signal: (name) => {
          throw new TypeError(
            `Cannot score ${adapter.method.name} by synflow: it reads the signal "${name}"`,
          );
        },
      };
      return mean(edit.delta.run(call));
    }));
  };
  return scope((): Synchronous<Tree> => {
    const positive = mapTree(adapter.params, (t) => abs(t));
    return nest(matricesOf(valueAndGrad(output)(positive).gradients)) as Synchronous<Tree>;
  });
}

function widthAt(path: string, spec: Spec): number {
  const place = [...spec.sublayers, ...spec.blocks].find((place) => place.path === path);
  if (place === undefined) throw new RangeError(`Cannot find the width at "${path}"`);
  return place.width;
}

/**
 * Random masks for each matrix: density ε (rows + columns) / (rows · columns), at most 1, with ε such that
 * the share `keep` of all elements is kept in total.
 */
function erdosRenyi(matrices: readonly Leaf[], keep: number, key: Key): Tree {
  const shapes = matrices.map(([, t]) => [t.size / t.shape.at(-1)!, t.shape.at(-1)!] as const);
  const wanted = keep * matrices.reduce((n, [, t]) => n + t.size, 0);
  const density = (ε: number): readonly number[] =>
    shapes.map(([m, n]) => Math.min(1, ε * (m + n) / (m * n)));
  const total = (ε: number): number => density(ε).reduce((sum, d, i) => sum + d * matrices[i]![1].size, 0);
  let [low, high] = [0, 1];
  while (total(high) < wanted && high < 1e12) high *= 2;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (total(middle) < wanted) low = middle;
    else high = middle;
  }
  return scope((): Synchronous<Tree> =>
    nest(
      matrices.map(([path, t], i) => {
        const dropped = t.size - Math.round(density(high)[i]! * t.size);
        const random = normal(fold(key, path), t.shape, t.backend);
        const mask = dropped < 1
          ? ones(t.shape, t.backend)
          : less(orderStatistic(reshape(random, [t.size]), dropped - 1), random);
        return [path, mask] as const;
      }),
    ) as Synchronous<Tree>
  );
}

async function anyNonZero(scores: readonly Tensor[]): Promise<boolean> {
  const total = scope((): Synchronous<Tensor> => addAll(scores.map((t) => mean(abs(t)))));
  const [sum] = await read(total);
  total.storage.free();
  return sum! > 0;
}
