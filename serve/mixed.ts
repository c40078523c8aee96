/**
 * Several adapters in one pass. The base's product of a layer is computed once for all rows of a batch; then
 * each adapter's edits run only on its own rows, and their change is added to those rows:
 *
 *   y ← y + Σ_adapters scatter( edit(x[rows], y[rows]) − y[rows], rows )
 *
 * as in S-LoRA (Sheng et al. 2023, arXiv 2311.03285, section 5), for every method whose edits treat each row
 * separately.
 */
import {
  type Edit,
  fn,
  foldLinear,
  type HiddenCall,
  type HiddenEdit,
  type Layer,
  type LinearCall,
  type LinearEdit,
  type Model,
  type PassCall,
  type Spec,
  type Tensor,
  withEdits,
} from "../core/mod.ts";
import { add, concat, gatherRows, integers, scatterAddRows, subtract } from "../ops/mod.ts";
import { typeError } from "../errors/error.ts";

/** An adapter's edits at linear layers and hidden states: those that can share a pass. */
export type MixableEdit = (LinearEdit | HiddenEdit) & { readonly row?: string };

/** The edits, if all of them treat each row separately; undefined if the adapter needs separate passes. */
export function mixable(edits: readonly Edit[], spec: Spec): readonly MixableEdit[] | undefined {
  const linears = new Set(spec.linears.map(({ path }) => path));
  const fits = (edit: Edit): edit is MixableEdit =>
    edit.kind === "hidden" || (edit.kind === "linear" && linears.has(edit.path));
  return edits.every(fits) ? edits as readonly MixableEdit[] : undefined;
}

/** An adapter in a batch: its edits, and its rows. */
export interface Share {
  readonly edits: readonly MixableEdit[];
  readonly rows: readonly number[];
}

/** A model for batches of `count` rows, and the tensors created for it. */
export interface Mixed<M extends Model> {
  readonly model: M;
  /** i32 [r] row indices of each share, and of all. The caller keeps or frees them. */
  readonly tensors: readonly Tensor[];
}

/** The model whose row i runs with the edits of its share, and without edits where it is in none. */
export function mixed<M extends Model>(model: M, shares: readonly Share[], count: number): Mixed<M> {
  const rowsOf = shares.map(({ rows }) => integers(rows, model.backend));
  const own = new Map<string, Part[]>();
  const at = (edit: MixableEdit): string => `${edit.kind} ${edit.path}`;
  for (const [i, share] of shares.entries()) {
    for (const [place, edits] of Map.groupBy(share.edits, at)) {
      own.set(place, [...own.get(place) ?? [], { rows: rowsOf[i]!, edits }]);
    }
  }
  const edits = [...own.values()].map((parts) => shared(parts, count));
  return {
    model: { ...model, weights: withEdits(model.weights, edits, "serve"), dispose: () => {} },
    tensors: rowsOf,
  };
}

/** One adapter's edits at a place. */
interface Part {
  /** i32 [r]. */
  readonly rows: Tensor;
  readonly edits: readonly MixableEdit[];
}

/** The edits of several adapters at a place, as one edit. */
function shared(parts: readonly Part[], count: number): Edit {
  const { kind, path } = parts[0]!.edits[0]!;
  if (kind === "linear") {
    const delta = fn(
      parts,
      (parts, call: LinearCall) => spread(parts, call.y, count, (p) => linearRows(p, call)),
    );
    return { kind, path, change: { form: "delta", reads: "output", delta } };
  }
  const delta = fn(
    parts,
    (parts, call: HiddenCall) => spread(parts, call.y, count, (p) => hiddenRows(p, call)),
  );
  return { kind, path, reads: "output", delta };
}

/** Zeros [b, …] like y, with each part's change [r, …] at its rows. */
function spread(parts: readonly Part[], y: Tensor, count: number, change: (part: Part) => Tensor): Tensor {
  const changes = concat(parts.map(change), 0);
  return scatterAddRows(changes, concat(parts.map(({ rows }) => rows), 0), count, y.shape.slice(1));
}

/** What a part's linear edits add to its rows. */
function linearRows({ rows, edits }: Part, call: LinearCall): Tensor {
  const x = gatherRows(call.x, rows);
  const changes = (edits as readonly LinearEdit[]).map((edit) => ({ edit, change: edit.change }));
  const sums = changes.flatMap(({ edit, change }) =>
    change.form === "add" && edit.out === undefined ? [change.map] : []
  );
  // Additive changes do not need y, and keep the last bits that y + Δ − y would lose.
  if (sums.length === changes.length) return sums.map((map) => map.apply(x)).reduce((a, b) => add(a, b));
  const y = gatherRows(call.y, rows);
  const bare: Layer = {
    apply: (other) => other === x ? y : call.apply(other),
    columns: () => {
      throw typeError("INVALID_ARGUMENT", "A linear layer is applied, not looked up");
    },
    weight: () => call.weight(),
    bias: () => call.bias,
  };
  const pass = rowsOfPass(call, rows);
  const layer = changes.reduce((layer, { edit }) => foldLinear(layer, edit, pass), bare);
  return subtract(layer.apply(x), y);
}

/** What a part's edits of a hidden state add to its rows. */
function hiddenRows({ rows, edits }: Part, call: HiddenCall): Tensor {
  const y = gatherRows(call.y, rows);
  const own = {
    ...rowsOfPass(call, rows),
    x: gatherRows(call.x, rows),
    skip: call.skip && gatherRows(call.skip, rows),
    norm: (t: Tensor) => call.norm(t),
  };
  const changes = edits as readonly HiddenEdit[];
  const [first, ...rest] = changes.map((edit) => (state: Tensor) => edit.delta.run({ ...own, y: state }));
  const start = first!(y);
  return rest.reduce((sum, change) => add(sum, change(add(y, sum))), start);
}

/** A pass restricted to some rows. */
function rowsOfPass<C extends PassCall>({ ids, mask, given, ...call }: C, rows: Tensor): PassCall {
  const pick = (t: Tensor): Tensor => gatherRows(t, rows);
  return {
    train: call.train,
    key: call.key,
    phase: call.phase,
    signal: (name) => pick(call.signal(name)),
    ids: pick(ids),
    mask: mask && pick(mask),
    given: given && pick(given),
  };
}
