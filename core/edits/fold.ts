/**
 * Applies the edits at a linear layer. One fold serves the forward pass (`apply`) and merging (`weight`,
 * `bias`), so the two cannot drift apart. A left fold: each edit sees the layer as changed by the earlier
 * ones.
 */
import type { Tensor } from "../../tensor/mod.ts";
import {
  add,
  concat,
  dropout,
  gatherRows,
  matmul,
  multiply,
  place,
  reshape,
  slice,
  subtract,
  transpose,
} from "../../ops/mod.ts";
import type { LinearChange, LinearEdit, PassCall } from "./edit.ts";
import type { LinearMap } from "../linear_maps/linear_map.ts";
import type { Layer } from "./layer.ts";
import { typeError } from "../../errors/error.ts";

/**
 * The layer with one more edit applied. `pass` is absent when merging.
 *
 * @example
 * ```ts
 * import { bareLayer, dense, foldLinear, lowRank, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const layer = bareLayer(dense(tensor([[1, 0], [0, 1]], { backend })), undefined);
 * const map = lowRank(tensor([[1, 1]], { backend }), tensor([[2], [0]], { backend }), 1);
 * const edited = foldLinear(layer, { kind: "linear", path: "q", change: { form: "add", map } }, undefined);
 * assert.deepEqual([...await read(edited.weight())], [3, 2, 0, 1]);
 * ```
 */
export function foldLinear(layer: Layer, edit: LinearEdit, pass: PassCall | undefined): Layer {
  const { change, out } = edit;
  const { applyPlus, ...rest } = layer;
  /** Embeds outputs of the edited range in the full width, with zeros elsewhere. */
  const spread = (t: Tensor, axis: number, total: Tensor): Tensor =>
    out === undefined ? t : place(t, axis, out[0], total.shape[axis < 0 ? total.shape.length + axis : axis]!);

  switch (change.form) {
    case "add": {
      const dropped = (x: Tensor): Tensor =>
        pass?.train === true && pass.key !== undefined && change.dropout
          ? dropout(x, change.dropout, pass.key)
          : x;
      const plus = (y: Tensor, delta: Tensor): Tensor => add(y, spread(delta, -1, y));
      return {
        ...rest,
        apply: (x) => {
          const own = dropped(x);
          const fuses = applyPlus !== undefined && out === undefined && own.backend.matmulPlus !== undefined;
          const term = fuses ? change.map.term?.(own) : undefined;
          return term ? applyPlus!(x, term) : plus(layer.apply(x), change.map.apply(own));
        },
        columns: (ids) => plus(layer.columns(ids), change.map.columns(ids)),
        weight: () => {
          const w = layer.weight();
          return add(w, spread(change.map.weight(), 0, w));
        },
      };
    }
    case "bias": {
      const bias = change.factor === undefined ? change.bias : multiply(change.bias, change.factor);
      const plus = (y: Tensor): Tensor => add(y, spread(bias, -1, y));
      return {
        ...rest,
        apply: (x) => plus(layer.apply(x)),
        columns: (ids) => plus(layer.columns(ids)),
        bias: () => {
          const old = layer.bias();
          return old === undefined ? spread(bias, -1, outputs(layer.weight())) : plus(old);
        },
      };
    }
    case "scale": {
      const { before, after } = scalesOf(change);
      const scaledIn = (x: Tensor): Tensor => before === undefined ? x : multiply(x, before);
      const scaledOut = (y: Tensor): Tensor =>
        after === undefined ? y : inRange(y, -1, out, (part) => multiply(part, after));
      return {
        apply: (x) => scaledOut(layer.apply(scaledIn(x))),
        columns: (ids) => {
          const y = layer.columns(ids);
          return scaledOut(
            before === undefined ? y : multiply(y, reshape(gatherRows(before, ids), [...ids.shape, 1])),
          );
        },
        weight: () => {
          const w = scaledIn(layer.weight());
          return after === undefined
            ? w
            : inRange(w, 0, out, (rows) => multiply(rows, reshape(after, [-1, 1])));
        },
        bias: () => {
          const bias = layer.bias();
          return bias === undefined ? undefined : scaledOut(bias);
        },
      };
    }
    case "input": {
      const { map } = change;
      // Only the outputs in the range use the mapped input.
      const mixed = (y: Tensor, mapped: Tensor, axis: number): Tensor =>
        out === undefined ? mapped : inRange(y, axis, out, () => slice(mapped, axis, out[0], out[1]));
      return {
        ...rest,
        apply: (x) => {
          const mapped = layer.apply(inputMap(change, pass).apply(x));
          return out === undefined ? mapped : mixed(layer.apply(x), mapped, -1);
        },
        columns: (ids) => gatherRows(transpose(mapRows(layer.weight(), map, mixed)), ids),
        weight: () => mapRows(layer.weight(), map, mixed),
      };
    }
    case "output": {
      const mapped = (y: Tensor): Tensor => inRange(y, -1, out, (part) => change.map.apply(part));
      return {
        apply: (x) => mapped(layer.apply(x)),
        columns: (ids) => mapped(layer.columns(ids)),
        weight: () => transpose(mapped(transpose(layer.weight()))),
        bias: () => {
          const bias = layer.bias();
          return bias === undefined ? undefined : mapped(bias);
        },
      };
    }
    case "delta": {
      const part = (t: Tensor, axis: number): Tensor =>
        out === undefined ? t : slice(t, axis, out[0], out[1]);
      const bias = (): Tensor | undefined => {
        const all = layer.bias();
        return all === undefined ? undefined : part(all, -1);
      };
      const weight = (): Tensor => {
        const map = change.weight;
        if (map === undefined) {
          throw typeError(
            "CANNOT_MERGE",
            `Cannot merge the linear edit at "${edit.path}" or take the weight under it: it depends on the input, so no ` +
              "weight holds it",
          );
        }
        return inRange(layer.weight(), 0, out, (rows) => map.run({ weight: rows, bias: bias() }));
      };
      return {
        ...rest,
        apply: (x) => {
          if (pass === undefined) throw typeError("METHOD_DOES_NOT_FIT", "A delta needs a running pass");
          const y = layer.apply(x);
          const call = {
            ...pass,
            x,
            y: part(y, -1),
            apply: (other: Tensor) => part(layer.apply(other), -1),
            weight: () => part(layer.weight(), 0),
            bias: bias(),
          };
          return add(y, spread(change.delta.run(call), -1, y));
        },
        columns: (ids) => gatherRows(transpose(weight()), ids),
        weight,
        bias: () => {
          const all = layer.bias();
          if (all === undefined || change.bias === undefined) return all;
          const run = (bias: Tensor): Tensor => change.bias!.run({ weight: part(layer.weight(), 0), bias });
          return inRange(all, 0, out, run);
        },
      };
    }
    default:
      return change satisfies never;
  }
}

/**
 * The map of an input change: in a training pass with a key the random one, if there is one.
 *
 * @example
 * ```ts
 * import { dense, inputMap, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const map = dense(tensor([[0, 1], [1, 0]], { backend: reference() }));
 * assert.equal(inputMap({ form: "input", map }, undefined), map);
 * ```
 */
export function inputMap(
  change: Extract<LinearChange, { form: "input" }>,
  pass: PassCall | undefined,
): LinearMap {
  const drops = pass?.train === true && pass.key !== undefined && change.dropped !== undefined;
  return drops ? change.dropped!.run(pass) : change.map;
}

/** W M for the matrix M of a map. */
function mapRows(
  w: Tensor,
  map: LinearMap,
  mixed: (old: Tensor, mapped: Tensor, axis: number) => Tensor,
): Tensor {
  return mixed(w, matmul(w, map.weight()), 0);
}

/**
 * The scales before and after a layer, with the factor.
 *
 * @example
 * ```ts
 * import { read, reference, scalesOf, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const out = tensor([3], { backend: reference() });
 * const { after } = scalesOf({ form: "scale", out, factor: 0.5 });
 * assert.deepEqual([...await read(after!)], [2]); // 1 + 0.5 (3 − 1)
 * ```
 */
export function scalesOf(change: Extract<LinearChange, { form: "scale" }>): {
  readonly before: Tensor | undefined;
  readonly after: Tensor | undefined;
} {
  const { factor } = change;
  const scale = (s: Tensor | undefined): Tensor | undefined =>
    s === undefined || factor === undefined ? s : add(multiply(subtract(s, 1), factor), 1);
  return { before: scale(change.in), after: scale(change.out) };
}

/** A stand-in with the shape [out] for a weight [out, in]. */
const outputs = (w: Tensor): Tensor => reshape(slice(w, 1, 0, 1), [w.shape[0]!]);

/** Applies `f` to a range of an axis; the rest is unchanged. */
function inRange(
  t: Tensor,
  axis: number,
  range: readonly [from: number, to: number] | undefined,
  f: (part: Tensor) => Tensor,
): Tensor {
  if (range === undefined) return f(t);
  const [from, to] = range;
  const n = t.shape[axis < 0 ? axis + t.shape.length : axis]!;
  return concat([
    ...from > 0 ? [slice(t, axis, 0, from)] : [],
    f(slice(t, axis, from, to)),
    ...to < n ? [slice(t, axis, to, n)] : [],
  ], axis);
}
