/** The contribution of a linear layer's changes to its output, whatever their form. */
import { dropout, multiply, subtract } from "../../ops/mod.ts";
import { type Fn, fn, type LinearCall, type LinearChange } from "./edit.ts";
import { inputMap, scalesOf } from "./fold.ts";
import type { Tensor } from "../../tensor/mod.ts";

/**
 * What a change of a linear layer adds to its output y.
 *
 * @example
 * ```ts
 * import { linearEffect, lowRank, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const map = lowRank(tensor([[1, 1]], { backend }), tensor([[2], [0]], { backend }), 1);
 * assert.equal(linearEffect({ form: "add", map }).params, map);
 * ```
 */
export function linearEffect(change: LinearChange): Fn<LinearCall, Tensor> {
  switch (change.form) {
    case "add":
      return fn(
        change.map,
        (map, { x, train, key }) =>
          map.apply(train && key !== undefined && change.dropout ? dropout(x, change.dropout, key) : x),
      );
    case "bias":
      return fn(
        { bias: change.bias },
        ({ bias }) => change.factor === undefined ? bias : multiply(bias, change.factor),
      );
    case "scale":
      return fn({ change }, ({ change }, call) => {
        const { before, after } = scalesOf(change);
        const y = before === undefined ? call.y : call.apply(multiply(call.x, before));
        return subtract(after === undefined ? y : multiply(y, after), call.y);
      });
    case "input":
      return fn(
        change,
        (change, call) => subtract(call.apply(inputMap(change, call).apply(call.x)), call.y),
      );
    case "output":
      return fn(change.map, (map, { y }) => subtract(map.apply(y), y));
    case "delta":
      return change.delta;
    default:
      return change satisfies never;
  }
}
