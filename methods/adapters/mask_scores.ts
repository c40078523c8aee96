/** Scores of an adapter's parameters, by which a mask keeps the largest (the pruning criteria of SparseAdapter). */
import {
  type Adapter,
  type Batch,
  type BatchGradients,
  dispose,
  fold,
  FROZEN,
  type HiddenCall,
  keep as rooted,
  type Key,
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
import { rangeError, typeError } from "../../errors/error.ts";

/** How parameters are scored. */
export type MaskScore = "random" | "magnitude" | "snip" | "grasp" | "synflow" | "erdosRenyi" | "gradient";

type Leaf = readonly [path: string, leaf: Tensor];

/** The maskable leaves: trained ones with two axes or more. */
export function matricesOf(params: Tree): readonly Leaf[] {
  return leaves(params).filter(([path, t]) => t.shape.length > 1 && !path.split(".").includes(FROZEN));
}

/** A score for each element of each matrix. */
export function scoresOf(
  model: Model,
  adapter: Adapter,
  score: Exclude<MaskScore, "erdosRenyi">,
  batches: readonly Batch[],
  key: Key,
  gradientsOf: BatchGradients = lossAndGradients,
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
    throw rangeError("INVALID_ARGUMENT", `Expected batches for the score "${score}" but found none`);
  }
  switch (score) {
    case "random":
      return each((path, t) => normal(fold(key, path), t.shape, t.backend));
    case "magnitude":
      return each((_, t) => abs(t));
    case "snip":
      return from(gradientOver(model, adapter, batches, gradientsOf), (t, g) => abs(multiply(t, g)));
    case "gradient":
      return from(gradientOver(model, adapter, batches, gradientsOf), (_, g) => abs(g));
    case "grasp":
      return curvatureAlongGradient(model, adapter, batches, gradientsOf).then((hg) => from(hg, multiply));
    case "synflow":
      return from(flow(model, adapter), (t, g) => abs(multiply(t, g)));
    default:
      return score satisfies never;
  }
}

/** Σ over batches of the loss's gradient, in evaluation mode, for the matrices. */
function gradientOver(
  model: Model,
  adapter: Adapter,
  batches: readonly Batch[],
  gradientsOf: BatchGradients,
): Tree {
  const one = (batch: Batch): Tree => nest(matricesOf(gradientsOf(model, adapter, batch).gradients)) as Tree;
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
  gradientsOf: BatchGradients,
): Promise<Tree> {
  const g = gradientOver(model, adapter, batches, gradientsOf);
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
    const gradient = gradientOver(model, { ...adapter, params: moved }, batches, gradientsOf);
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
        throw typeError(
          "METHOD_DOES_NOT_FIT",
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
          throw typeError(
            "METHOD_DOES_NOT_FIT",
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
  if (place === undefined) throw rangeError("INVALID_ARGUMENT", `Cannot find the width at "${path}"`);
  return place.width;
}

/**
 * Random masks for each matrix: density ε (rows + columns) / (rows · columns), at most 1, with ε such that
 * the share `keep` of all elements is kept in total.
 */
export function erdosRenyi(matrices: readonly Leaf[], keep: number, key: Key): Tree {
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
