/**
 * Initial weights for ladder side-tuning: the backbone's weights, pruned to the most important parts. Sung et
 * al. 2022, arXiv 2206.06522, section 3.3, with the importance of Liu et al. 2021 (arXiv 2108.00708): the
 * mean square of a weight's gradient.
 *
 *   W_side = W[rows kept, columns kept]      kept: the n/ρ coordinates with the largest summed importance
 *
 * One selection of residual coordinates serves the whole network; inner coordinates and coordinates within a
 * head are selected per block, so that the remaining weights still fit together (the authors select for each
 * matrix in turn). Rotary pairs stay together, and tables of relative positions are copied, since the number
 * of heads stays the same.
 */
import {
  decoded,
  into,
  keep,
  type LinearPlace,
  lookup,
  matrixAt,
  type Model,
  nest,
  read,
  rootOf,
  sameShape,
  scope,
  showShape,
  type Synchronous,
  Tensor,
  type Tree,
  vector,
} from "../../core/mod.ts";
import { gatherRows, integers, reshape, square, sum, transpose } from "../../ops/mod.ts";
import { sidePlaces } from "./side_weights.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of `prunedSide`. */
export interface PrunedSideOptions {
  /** ρ, as for the method. Default 8. */
  readonly reduction?: number;
  /** Importance of each element of the linear layers' weights, under the model's names. Default: the weight squared. */
  readonly importance?: Tree;
}

/**
 * Weights for `ladderSideTuning({ start })`, under the model's names. The caller owns them.
 *
 * @throws {RangeError} when a linear layer's role is not known, or the importance has a wrong shape.
 * @example
 * ```ts
 * import { dispose, freshModel, lookup, prunedSide, reference, smallConfig, Tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const start = await prunedSide(model, { reduction: 2 });
 * const query = lookup(start, "model.layers.0.self_attn.q_proj.weight") as Tensor;
 * assert.deepEqual(query.shape, [8, 8]); // half of the width on either side
 * dispose(start);
 * ```
 */
export async function prunedSide(model: Model, options: PrunedSideOptions = {}): Promise<Tree> {
  const { reduction = 8, importance } = options;
  const { spec } = model;
  const { linears, norms } = sidePlaces(spec);
  const { width } = spec.stacks.at(-1)!;
  const scores = await scoresOf(model, linears, importance);
  const headDim = spec.attentions[0]!.headDim;

  const residual = largest(
    total(
      linears.map((p) =>
        coordinates(p).of === "residual" ? scores.get(p.path)!.rows : scores.get(p.path)!.columns
      ),
    ),
    Math.floor(width / reduction),
  );
  const inBlock = (
    { stack, layer }: Pick<LinearPlace, "stack" | "layer">,
    roles: readonly LinearPlace["role"][],
  ) => linears.filter((p) => p.stack === stack && p.layer === layer && roles.includes(p.role));
  const inner = (place: LinearPlace): readonly number[] => {
    const places = inBlock(place, ["gate", "up", "down"]);
    const parts = places.map((p) =>
      p.role === "down" ? scores.get(p.path)!.columns : scores.get(p.path)!.rows
    );
    return largest(total(parts), Math.floor(parts[0]!.length / reduction));
  };
  const inHead = (place: Pick<LinearPlace, "stack" | "layer">): readonly number[] => {
    const parts = inBlock(place, ["query", "key", "value", "qkv", "output"]).map((p) =>
      folded(p.role === "output" ? scores.get(p.path)!.columns : scores.get(p.path)!.rows, headDim / 2)
    );
    const pairs = largest(total(parts), headDim / 2 / reduction);
    return [...pairs, ...pairs.map((j) => j + headDim / 2)];
  };
  const kept = (kind: Coordinates, place: LinearPlace, n: number): readonly number[] => {
    switch (kind) {
      case "residual":
        return residual;
      case "inner":
        return inner(place);
      case "heads":
        return Array.from({ length: n / headDim }, (_, h) => inHead(place).map((j) => h * headDim + j))
          .flat();
    }
  };

  return scope((): Synchronous<Tree> =>
    nest([
      ...linears.flatMap((p) => {
        const { of, from } = coordinates(p);
        const rows = kept(of, p, p.outFeatures);
        const columns = kept(from, p, p.inFeatures);
        const w = chosen(transpose(chosen(matrixAt(model, p), rows)), columns); // [in, out]
        const bias = p.bias ? vector(into(rootOf(model.weights), ...p.path.split(".")), "bias") : undefined;
        return [
          [`${p.path}.weight`, p.transposed ? w : transpose(w)] as const,
          ...bias ? [[`${p.path}.bias`, chosen(bias, rows)] as const] : [],
        ];
      }),
      ...norms.flatMap((place) => {
        const { path, bias } = place;
        const site = into(rootOf(model.weights), ...path.split("."));
        const features = place.over === "head" ? inHead(place) : residual;
        return ["weight", ...bias ? ["bias"] : []].map((name) =>
          [`${path}.${name}`, chosen(vector(site, name), features)] as const
        );
      }),
      ...spec.embeddings.filter(({ layer }) => layer !== undefined).map(({ path, rows }) => {
        const table = decoded(lookup(model.weights, `${path}.weight`) as Tensor);
        return [`${path}.weight`, chosen(table, Array.from({ length: rows }, (_, i) => i))] as const;
      }),
    ]) as Tree
  );
}

/** The coordinates of a matrix's rows or columns: residual width, inner width, or positions within heads. */
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
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot prune "${place.path}": its role in the block is not known`,
      );
    default:
      return place.role satisfies never;
  }
}

interface Scores {
  readonly rows: Float32Array;
  readonly columns: Float32Array;
}

/** Summed importance of each row and column of each linear layer. */
async function scoresOf(
  model: Model,
  linears: readonly LinearPlace[],
  importance: Tree | undefined,
): Promise<ReadonlyMap<string, Scores>> {
  const sums = keep(scope(() =>
    linears.map((place) => {
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
    throw rangeError(
      "INVALID_ARGUMENT",
      `${path}.weight: expected importance ${showShape(wanted)} but found ${found}`,
    );
  }
  return transposed ? transpose(given) : given;
}

/** Sums of every n-th value. */
function folded(x: Float32Array, n: number): Float32Array {
  const result = new Float32Array(n);
  x.forEach((value, i) => result[i % n]! += value);
  return result;
}

function total(parts: readonly Float32Array[]): Float32Array {
  return parts[0]!.map((_, i) => parts.reduce((sum, part) => sum + part[i]!, 0));
}

/** Indices of the n largest, ascending; the first one on ties. */
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
