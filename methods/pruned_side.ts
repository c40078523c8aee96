/**
 * Where ladder side-tuning starts: the backbone's own weights, pruned to what matters most. Sung et al. 2022, arXiv
 * 2206.06522, section 3.3, with the importance of Liu et al. 2021 (arXiv 2108.00708): the mean square of a weight's gradient.
 *
 *   W_side = W[rows kept, columns kept]      kept: the n/ρ coordinates of largest summed importance
 *
 * One choice of residual coordinates serves the whole network, one of inner coordinates and one of places within a head each
 * block, so that what is left still fits together (the authors choose for each matrix in turn). Rotary pairs stay together.
 */
import {
  into,
  keep,
  type LinearPlace,
  lookup,
  matrixAt,
  type Model,
  nest,
  onlyStack,
  read,
  rootOf,
  sameShape,
  scope,
  showShape,
  type Synchronous,
  Tensor,
  type Tree,
  vector,
} from "../core/mod.ts";
import { gatherRows, integers, reshape, square, sum, transpose } from "../ops/mod.ts";

/** How to prune. */
export interface PrunedSideOptions {
  /** ρ, as the method's. Default 8. */
  readonly reduction?: number;
  /** Importance of each element of the linear layers' weights, under the model's names. Default: the weight squared. */
  readonly importance?: Tree;
}

/**
 * Weights for `ladderSideTuning({ start })`, under the model's names. The caller owns them.
 *
 * @throws {RangeError} when a linear layer's role is not known, or importance of a wrong shape is given.
 */
export async function prunedSide(model: Model, options: PrunedSideOptions = {}): Promise<Tree> {
  const { reduction = 8, importance } = options;
  const { spec } = model;
  const { width } = onlyStack(spec, "prunedSide");
  const scores = await scoresOf(model, importance);
  const headDim = spec.attentions[0]!.headDim;

  const residual = largest(
    total(
      spec.linears.map((p) =>
        coordinates(p).of === "residual" ? scores.get(p.path)!.rows : scores.get(p.path)!.columns
      ),
    ),
    Math.floor(width / reduction),
  );
  const inLayer = (
    layer: number | undefined,
    roles: readonly LinearPlace["role"][],
  ): readonly LinearPlace[] => spec.linears.filter((p) => p.layer === layer && roles.includes(p.role));
  const inner = (layer: number | undefined): readonly number[] => {
    const places = inLayer(layer, ["gate", "up", "down"]);
    const parts = places.map((p) =>
      p.role === "down" ? scores.get(p.path)!.columns : scores.get(p.path)!.rows
    );
    return largest(total(parts), Math.floor(parts[0]!.length / reduction));
  };
  const inHead = (layer: number | undefined): readonly number[] => {
    const parts = inLayer(layer, ["query", "key", "value", "qkv", "output"]).map((p) =>
      folded(p.role === "output" ? scores.get(p.path)!.columns : scores.get(p.path)!.rows, headDim / 2)
    );
    const pairs = largest(total(parts), headDim / 2 / reduction);
    return [...pairs, ...pairs.map((j) => j + headDim / 2)];
  };
  const kept = (kind: Coordinates, layer: number | undefined, n: number): readonly number[] => {
    switch (kind) {
      case "residual":
        return residual;
      case "inner":
        return inner(layer);
      case "heads":
        return Array.from({ length: n / headDim }, (_, h) => inHead(layer).map((j) => h * headDim + j))
          .flat();
    }
  };

  return scope((): Synchronous<Tree> =>
    nest([
      ...spec.linears.flatMap((p) => {
        const { of, from } = coordinates(p);
        const rows = kept(of, p.layer, p.outFeatures);
        const columns = kept(from, p.layer, p.inFeatures);
        const w = chosen(transpose(chosen(matrixAt(model, p), rows)), columns); // [in, out]
        const bias = p.bias ? vector(into(rootOf(model.weights), ...p.path.split(".")), "bias") : undefined;
        return [
          [`${p.path}.weight`, p.transposed ? w : transpose(w)] as const,
          ...bias ? [[`${p.path}.bias`, chosen(bias, rows)] as const] : [],
        ];
      }),
      ...spec.norms.flatMap(({ path, bias }) => {
        const site = into(rootOf(model.weights), ...path.split("."));
        return ["weight", ...bias ? ["bias"] : []].map((name) =>
          [`${path}.${name}`, chosen(vector(site, name), residual)] as const
        );
      }),
    ]) as Tree
  );
}

/** What a side of a matrix counts: residual width, inner width, or places in heads. */
type Coordinates = "residual" | "inner" | "heads";

function coordinates(place: LinearPlace): { readonly of: Coordinates; readonly from: Coordinates } {
  switch (place.role) {
    case "query":
    case "key":
    case "value":
    case "qkv":
      return { of: "heads", from: "residual" };
    case "output":
      return { of: "residual", from: "heads" };
    case "gate":
    case "up":
      return { of: "inner", from: "residual" };
    case "down":
      return { of: "residual", from: "inner" };
    case "other":
      throw new RangeError(`Cannot prune "${place.path}": its role in the block is not known`);
    default:
      return place.role satisfies never;
  }
}

interface Scores {
  readonly rows: Float32Array;
  readonly columns: Float32Array;
}

/** Summed importance of each row and column of each linear layer. */
async function scoresOf(model: Model, importance: Tree | undefined): Promise<ReadonlyMap<string, Scores>> {
  const sums = keep(scope(() =>
    model.spec.linears.map((place) => {
      const each = importance === undefined
        ? square(matrixAt(model, place))
        : importanceAt(importance, place); // [out, in]
      return { path: place.path, rows: sum(each, { axis: 1 }), columns: sum(each, { axis: 0 }) };
    })
  ));
  const found = new Map<string, Scores>();
  for (const { path, rows, columns } of sums.tree) {
    found.set(path, { rows: await read(rows), columns: await read(columns) });
  }
  sums.dispose();
  return found;
}

function importanceAt(importance: Tree, { path, transposed, inFeatures, outFeatures }: LinearPlace): Tensor {
  const wanted = transposed ? [inFeatures, outFeatures] : [outFeatures, inFeatures];
  const given = lookup(importance, `${path}.weight`);
  if (!(given instanceof Tensor) || !sameShape(given.shape, wanted)) {
    const found = given instanceof Tensor ? showShape(given.shape) : "none";
    throw new RangeError(`${path}.weight: expected importance ${showShape(wanted)} but found ${found}`);
  }
  return transposed ? transpose(given) : given;
}

/** Sums of every n-th number. */
function folded(x: Float32Array, n: number): Float32Array {
  const result = new Float32Array(n);
  x.forEach((value, i) => result[i % n]! += value);
  return result;
}

function total(parts: readonly Float32Array[]): Float32Array {
  return parts[0]!.map((_, i) => parts.reduce((sum, part) => sum + part[i]!, 0));
}

/** Indices of the n largest, ascending; the first of equals. */
function largest(x: Float32Array, n: number): readonly number[] {
  return [...x.keys()].sort((i, j) => x[j]! - x[i]! || i - j).slice(0, n).sort((i, j) => i - j);
}

/** Rows of a matrix, or elements of a vector, at indices. */
function chosen(t: Tensor, indices: readonly number[]): Tensor {
  const ids = integers(indices, t.backend);
  return t.shape.length === 1
    ? reshape(gatherRows(reshape(t, [-1, 1]), ids), [indices.length])
    : gatherRows(t, ids);
}
