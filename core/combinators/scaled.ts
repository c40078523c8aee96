/** `scaled`: a method whose effect is multiplied by a number. */
import {
  type AttentionCall,
  type Edit,
  fn,
  type LinearChange,
  type PrefixRows,
  type SideCall,
} from "../edits/edit.ts";
import { decoded, type LinearMap, scaledMap } from "../linear_maps/linear_map.ts";
import type { Method, MethodDefinition } from "../adapters/method.ts";
import { option } from "../options/option.ts";
import { number } from "../options/option_schemas.ts";
import { combined } from "./combined.ts";
import { defineCombinator } from "./define_combinator.ts";
import type { Tensor, Tree } from "../../tensor/mod.ts";
import { add, gatherRows, identity, multiply, subtract } from "../../ops/mod.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * A method whose every change is `factor` times as large: additions are multiplied, replacements are
 * interpolated between the old and the new value, rows of prefixes and prompts are multiplied. Factor 1 gives
 * the method itself; factor 0 gives the base, if the method adds no rows.
 *
 * @throws {RangeError} when the factor is not finite.
 * @example
 * ```ts
 * import { lora, scaled } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(scaled(lora(), 0.5).name, "scaled(lora)");
 * ```
 */
export function scaled<P extends Tree>(method: Method<P>, factor: number): Method<P> {
  if (!Number.isFinite(factor)) {
    throw rangeError("INVALID_ARGUMENT", `Expected factor to be a finite number but found ${factor}`);
  }
  return combined<P>({
    definition: scaledDefinition,
    name: `scaled(${method.name})`,
    config: { factor },
    components: { of: method },
    at: () => [],
    init: (given) => method.init(given),
    edits: (params, spec) => method.edits(params, spec).map((edit) => scaledEdit(edit, factor)),
    of: ({ of }) => ({ ...of!, method: scaled(of!.method, factor) }),
  });
}

/** `scaled` in records. */
export const scaledDefinition: MethodDefinition = defineCombinator(
  { name: "scaled", summary: "Multiplies what a method changes by a number." },
  { factor: option(number, "what every change is multiplied by") },
  ({ factor }, { of }) => scaled(of!.method, factor as number),
  () => [],
);

/** old + f (next − old). */
function towards(old: Tensor, next: Tensor, f: number): Tensor {
  return add(old, multiply(subtract(next, old), f));
}

/** The map x ↦ x + f (M x − x) of a square map M. */
function mapTowards(map: LinearMap, f: number): LinearMap {
  const one = (t: Tensor): Tensor => identity(map.inFeatures, t.backend);
  const { factors: _factors, term: _term, applyPlus: _applyPlus, ...rest } = map;
  return {
    ...rest,
    apply: (x) => towards(x, map.apply(x), f),
    weight: () => {
      const m = map.weight();
      return towards(one(m), m, f);
    },
    columns: (ids) => towards(gatherRows(one(ids), ids), map.columns(ids), f),
  };
}

function scaledEdit(edit: Edit, f: number): Edit {
  const between = (old: Tensor, next: Tensor): Tensor => towards(old, next, f);
  switch (edit.kind) {
    case "linear":
      return { ...edit, change: scaledChange(edit.change, f) };
    case "hidden":
      return { ...edit, delta: fn(edit.delta, (delta, call) => multiply(delta.run(call), f)) };
    case "weight":
      return { ...edit, map: fn(edit.map, (map, call) => between(decoded(call.weight), map.run(call))) };
    case "prefix":
      return {
        ...edit,
        rows: fn(edit.rows, (rows, call: AttentionCall): PrefixRows => {
          const { k, v, gate } = rows.run(call);
          // The contribution of gated rows is proportional to their gate.
          return gate === undefined
            ? { k: multiply(k, f), v: multiply(v, f) }
            : { k, v, gate: multiply(gate, f) };
        }),
      };
    case "prompt":
      return { ...edit, rows: fn(edit.rows, (rows, call) => multiply(rows.run(call), f)) };
    case "side":
      if (edit.gives === "memory") return edit; // it does not itself change states
      return { ...edit, run: fn(edit.run, (run, call: SideCall) => between(call.states, run.run(call))) };
    case "prepass":
      return edit;
    default:
      return edit satisfies never;
  }
}

function scaledChange(change: LinearChange, f: number): LinearChange {
  switch (change.form) {
    case "add":
      return { ...change, map: scaledMap(change.map, f) };
    case "bias":
      return { ...change, factor: f * (change.factor ?? 1) };
    case "scale":
      return { ...change, factor: f * (change.factor ?? 1) };
    case "input":
      return {
        form: "input",
        map: mapTowards(change.map, f),
        ...change.dropped && {
          dropped: fn(change.dropped, (dropped, call) => mapTowards(dropped.run(call), f)),
        },
      };
    case "output":
      return { form: "output", map: mapTowards(change.map, f) };
    case "delta":
      return {
        ...change,
        delta: fn(change.delta, (delta, call) => multiply(delta.run(call), f)),
        ...change.weight && {
          weight: fn(change.weight, (weight, call) => towards(call.weight, weight.run(call), f)),
        },
        ...change.bias && {
          bias: fn(change.bias, (bias, call) => towards(call.bias!, bias.run(call), f)),
        },
      };
    default:
      return change satisfies never;
  }
}
