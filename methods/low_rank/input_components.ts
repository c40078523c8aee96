/** The principal components of layers' inputs, found batch by batch until they no longer turn (EVA, arXiv 2410.07170, algorithm 1). */
import {
  type Batch,
  captureInputs,
  keep,
  type MatrixPlace,
  type Model,
  read,
  type Root,
  scope,
  type Tensor,
} from "../../core/mod.ts";
import { add, factorised, gatherRows, integers, reshape, slice } from "../../ops/mod.ts";
import { type Components, cosines, type Decomposition, withRows } from "../../numerics/streaming_svd.ts";
import { rangeError } from "../../errors/error.ts";

/** Layers that read the same tensor, and what is known about it. */
export interface Group {
  /** The input is observed at the first of these. */
  readonly paths: readonly string[];
  /** Directions sought. */
  readonly count: number;
  readonly state: Root<Components | undefined>;
  /** Which directions have converged. */
  converged: readonly boolean[];
}

export function groupsOf(
  model: Model,
  batch: Batch,
  places: readonly MatrixPlace[],
  countOf: (path: string) => number,
): readonly Group[] {
  const table = places.find((place) => place.kind === "embedding");
  if (table !== undefined) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot start the embedding "${table.path}" by EVA: its inputs are ids; leave it out of the targets`,
    );
  }
  const byInput = new Map<unknown, { readonly path: string; readonly width: number }[]>();
  captureInputs(model, batch, places.map((place) => place.path), (path, x) => {
    const width = x.shape[x.shape.length - 1]!;
    byInput.set(x.storage, [...byInput.get(x.storage) ?? [], { path, width }]);
  });
  return [...byInput.values()].map((layers) => {
    const paths = layers.map(({ path }) => path);
    const count = Math.min(Math.max(...paths.map(countOf)), layers[0]!.width);
    return {
      paths,
      count,
      state: keep<Components | undefined>(undefined),
      converged: Array(count).fill(false),
    };
  });
}

/** Whether all directions assigned to the group's layers have converged. */
export function allConverged(
  { paths, count, converged }: Group,
  ranks: ReadonlyMap<string, number>,
): boolean {
  const needed = Math.max(...paths.map((path) => ranks.get(path) ?? count));
  return converged.slice(0, needed).every((yes) => yes);
}

/**
 * Runs a batch and processes its activations: during the pass, or after it where the factorization is
 * asynchronous.
 */
export async function look(
  model: Model,
  batch: Batch,
  groups: readonly Group[],
  tokens: "labelled" | "all",
  how: Decomposition,
  threshold: number,
): Promise<void> {
  const chosen = tokensOf(batch, tokens);
  const turns = new Map<Group, Root<Tensor>>();
  const waiting = new Map<Group, Root<Tensor>>();
  const byPath = new Map(groups.map((group) => [group.paths[0]!, group]));
  const advance = (group: Group, next: Components): void => {
    const before = group.state.tree;
    if (before !== undefined) turns.set(group, keep(scope(() => cosines(next, before))));
    group.state.replace(next);
  };
  captureInputs(model, batch, [...byPath.keys()], (path, x) => {
    const group = byPath.get(path)!;
    if (chosen.length < group.count) return;
    const ids = integers(chosen, model.backend);
    const rows = gatherRows(reshape(x, [-1, x.shape[x.shape.length - 1]!]), ids); // [tokens, in]
    if (model.backend.svd === undefined) waiting.set(group, keep(rows));
    else advance(group, withRows(group.state.tree, rows, group.count, how));
  });
  for (const [group, rows] of waiting) {
    const before = group.state.tree;
    const { count } = group;
    const next = before === undefined
      ? await factorised(rows.tree, (x) => withRows(undefined, x, count, how))
      : await factorised({ before, x: rows.tree }, ({ before, x }) => withRows(before, x, count, how));
    advance(group, next);
    rows.dispose();
  }
  for (const [group, turn] of turns) {
    group.converged = [...await read(turn.tree)].map((cosine) => cosine >= threshold);
    turn.dispose();
  }
}

/** Indices into [b · t] of the tokens that count. */
function tokensOf({ inputIds, attentionMask, labels }: Batch, tokens: "labelled" | "all"): readonly number[] {
  const t = inputIds[0]!.length;
  return inputIds.flatMap((row, b) =>
    row.flatMap((_, i) => {
      const padding = attentionMask !== undefined && attentionMask[b]![i] === 0;
      const unlabelled = tokens === "labelled" && labels !== undefined &&
        (labels[b] as readonly number[])[i] === -100;
      return padding || unlabelled ? [] : [b * t + i];
    })
  );
}

/** A copy, since the directions are freed with the search state. */
export const firstRows = (t: Tensor, n: number): Tensor => add(slice(t, 0, 0, n), 0);
