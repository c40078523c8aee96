/**
 * What the edits at a linear layer make of it. One fold serves the forward pass (`apply`) and merging (`weight`, `bias`),
 * so the two cannot drift apart. Edits fold left: each sees the layer that the earlier ones made.
 */
import { castTo, type Tensor } from "./tensor/mod.ts";
import { add, concat, dropout, gatherRows, multiply, place, reshape, slice, transpose } from "../ops/mod.ts";
import type { LinearEdit, PassCall } from "./edit.ts";
import type { LinearMap } from "./linear_map.ts";

/** A linear layer: y = W x + b. */
export interface Layer {
  apply(x: Tensor): Tensor;
  /** One-hot inputs: rows of Wᵀ at ids. */
  columns(ids: Tensor): Tensor;
  /** [out, in], f32. @throws {TypeError} when an edit has no weight form. */
  weight(): Tensor;
  bias(): Tensor | undefined;
}

/** The bare layer of a stored matrix ([out, in], or [in, out] when transposed). */
export function bareLayer(map: LinearMap, bias: Tensor | undefined): Layer {
  return {
    apply: (x) => bias === undefined ? map.apply(x) : add(map.apply(x), bias),
    columns: (ids) => map.columns(ids),
    weight: () => castTo(map.weight(), "f32"),
    bias: () => bias,
  };
}

/** An embedding table [rows, width] of any dtype, seen as the layer of one-hot inputs. */
export function tableLayer(table: Tensor): Layer {
  return {
    apply: () => {
      throw new TypeError("An embedding is looked up by id, not applied");
    },
    columns: (ids) => gatherRows(table, ids),
    weight: () => transpose(castTo(table, "f32")),
    bias: () => undefined,
  };
}

/** The layer after one more edit. `pass` is absent when merging. */
export function foldLinear(layer: Layer, edit: LinearEdit, pass: PassCall | undefined): Layer {
  const { change, out } = edit;
  /** Puts an output of the edited range into the full width. */
  const spread = (t: Tensor, axis: number, total: Tensor): Tensor =>
    out === undefined ? t : place(t, axis, out[0], total.shape[axis < 0 ? total.shape.length + axis : axis]!);
  const part = (t: Tensor): Tensor => out === undefined ? t : slice(t, -1, out[0], out[1]);

  switch (change.form) {
    case "add": {
      const dropped = (x: Tensor): Tensor =>
        pass?.train === true && pass.key !== undefined && change.dropout
          ? dropout(x, change.dropout, pass.key)
          : x;
      return {
        ...layer,
        apply: (x) => {
          const y = layer.apply(x);
          return add(y, spread(change.map.apply(dropped(x)), -1, y));
        },
        columns: (ids) => {
          const y = layer.columns(ids);
          return add(y, spread(change.map.columns(ids), -1, y));
        },
        weight: () => {
          const w = layer.weight();
          return add(w, spread(change.map.weight(), 0, w));
        },
      };
    }
    case "bias": {
      const bias = change.factor === undefined ? change.bias : multiply(change.bias, change.factor);
      return {
        ...layer,
        apply: (x) => {
          const y = layer.apply(x);
          return add(y, spread(bias, -1, y));
        },
        bias: () => {
          const old = layer.bias();
          return old === undefined ? spread(bias, -1, rows(layer.weight())) : add(old, spread(bias, -1, old));
        },
      };
    }
    case "scale": {
      const scaledIn = (x: Tensor): Tensor => change.in === undefined ? x : multiply(x, change.in);
      const scaledOut = (y: Tensor): Tensor => change.out === undefined ? y : scaleRange(y, change.out, out);
      const bias = layer.bias();
      return {
        ...layer,
        apply: (x) => scaledOut(layer.apply(scaledIn(x))),
        weight: () => {
          const w = change.in === undefined ? layer.weight() : multiply(layer.weight(), change.in);
          return change.out === undefined ? w : transpose(scaledOut(transpose(w)));
        },
        bias: () => bias === undefined ? undefined : scaledOut(bias),
      };
    }
    case "delta": {
      const bias = layer.bias();
      return {
        ...layer,
        apply: (x) => {
          if (pass === undefined) throw new TypeError("A delta needs a running pass");
          const y = layer.apply(x);
          const call = { ...pass, x, y: part(y), weight: () => layer.weight(), bias };
          return add(y, spread(change.delta.run(call), -1, y));
        },
        weight: () => {
          if (change.weight === undefined) {
            throw new TypeError(
              `Cannot merge the edit at "${edit.path}": it depends on the input, so no weight holds it`,
            );
          }
          return change.weight.run({ weight: layer.weight(), bias });
        },
      };
    }
    default:
      return change satisfies never;
  }
}

/** A stand-in with the shape [out] for a weight [out, in]. */
const rows = (w: Tensor): Tensor => reshape(slice(w, 1, 0, 1), [w.shape[0]!]);

function scaleRange(y: Tensor, factor: Tensor, range: readonly [number, number] | undefined): Tensor {
  if (range === undefined) return multiply(y, factor);
  const width = y.shape[y.shape.length - 1]!;
  const pieces = [
    ...range[0] > 0 ? [slice(y, -1, 0, range[0])] : [],
    multiply(slice(y, -1, range[0], range[1]), factor),
    ...range[1] < width ? [slice(y, -1, range[1], width)] : [],
  ];
  return concat(pieces, -1);
}
