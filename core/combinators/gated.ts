/** `gated`: a method whose effect is multiplied by a gate that reads the input. */
import { add, multiply, reshape, slice, subtract } from "../../ops/mod.ts";
import {
  type AttentionCall,
  type Edit,
  type Fn,
  fn,
  type LinearCall,
  type LinearChange,
  type PassCall,
  reading,
  type SideCall,
} from "../edits/edit.ts";
import { linearEffect } from "../edits/linear_effect.ts";
import type { Gate } from "../adapters/gate.ts";
import type { Method, MethodDefinition } from "../adapters/method.ts";
import type { JsonOptions } from "../options/option_json.ts";
import { option } from "../options/option.ts";
import { made, type OptionSchema } from "../options/option_schemas.ts";
import { combined } from "./combined.ts";
import { places, type Spec } from "../edits/place.ts";
import {
  fold,
  key as keyOf,
  nest,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
  under,
} from "../../tensor/mod.ts";
import { lookup } from "../trees/weights.ts";
import { rangeError } from "../../errors/error.ts";

/** A gated method's parameters: the method's own, and a gate for each kind of edit at each place. */
export type Gated<P extends Tree> = { readonly of: P; readonly gates: Tree };

/**
 * A method whose every change is multiplied by the value of a gate, which reads the same input as the change.
 * A prefix's rows are multiplied, so at 0 they remain as slots with zero scores. No weight can store a gate's
 * dependence on the input, so a gated method cannot be merged.
 *
 * @throws {RangeError} at `init`, when a change does not see the input, as that of a weight or a prompt; in a
 * pass, when the shape of a gate's value does not fit what it multiplies.
 * @example
 * ```ts
 * import { adapt, freshModel, type Gate, gated, lora, merge, reference, smallConfig } from "@graft/peft";
 * import { full } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const half: Gate = {
 *   name: "half",
 *   config: {},
 *   init: () => ({}),
 *   value: (_, x) => full([1, 1, 1], 0.5, x.backend),
 * };
 * const adapter = adapt(model, gated(lora({ rank: 2, initialization: "none" }), half));
 * assert.equal(adapter.method.name, "gated(lora)");
 * assert.throws(() => merge(model, adapter), TypeError); // what the input decides no weight can hold
 * ```
 */
export function gated<P extends Tree>(method: Method<P>, gate: Gate): Method<Gated<P>> {
  return combined<Gated<P>>({
    definition: gatedDefinition,
    name: `gated(${method.name})`,
    config: { gate: { name: gate.name, ...gate.config } },
    components: { of: method },
    at: () => ["of"],
    init: ({ model, key }) =>
      scope((): Synchronous<Gated<P>> => {
        const of = method.init({ model, key: fold(keyOf(key), "of") });
        const widths = new Map(
          method.edits(of, model.spec).flatMap((edit) => {
            if (edit.kind === "weight" || edit.kind === "prompt") throw unseeing(edit);
            return edit.kind === "prepass" ? [] : [[gatePath(edit), widthAt(edit, model.spec)] as const];
          }),
        );
        const gates = [...widths].flatMap(([path, width]) =>
          under(path, gate.init(width, fold(keyOf(key), path), model.backend))
        );
        return { of, gates: nest(gates) as Tree } as Synchronous<Gated<P>>;
      }),
    edits: ({ of, gates }, spec) =>
      method.edits(of, spec).map((edit) => {
        if (edit.kind === "prepass") return edit;
        const params = lookup(gates, gatePath(edit)) as Tree;
        return gatedEdit(edit, fn(params, (params, { x }: GateCall) => gate.value(params, x)));
      }),
    of: ({ of }, { gates }) => ({
      ...of!,
      method: gated(of!.method, gate),
      params: { of: of!.params, gates },
    }),
  });
}

/** `gated` in records: a gate is known by its name. */
export const gatedDefinition: MethodDefinition = {
  name: "gated",
  summary: "Multiplies what a method changes by a learned gate.",
  options: { gate: option(fieldsOf("name"), "the gate, by name, with its options") },
  restore: ({ gate }, stored) => {
    const { name, ...config } = gate as JsonOptions;
    const { of } = stored.components(() => ["of"]);
    return gated(of!.method, stored.gate(String(name)).createGate(config));
  },
};

/** An object with a text under a name, and anything else. */
function fieldsOf(name: string): OptionSchema<JsonOptions> {
  return made(
    `{"${name}": …}`,
    (value) =>
      typeof value === "object" && value !== null &&
      typeof (value as JsonOptions)[name] === "string",
  );
}

/**
 * Path of a gate's or a router's parameters at an edit. Parts of a fused projection have separate ones.
 *
 * @example
 * ```ts
 * import { adapt, freshModel, gatePath, lora, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { method, params } = adapt(model, lora({ rank: 2 }));
 * assert.equal(gatePath(method.edits(params, model.spec)[0]!), "model.layers.0.self_attn.q_proj.linear");
 * ```
 */
export function gatePath(edit: Edit): string {
  return edit.kind === "linear" && edit.out !== undefined
    ? `${edit.path}.linear.${edit.out[0]}`
    : `${edit.path}.${edit.kind}`;
}

/**
 * The width of what an edit reads. A narrowed spec may lack the edit's stack.
 *
 * @throws {RangeError} when the spec has no such place.
 * @example
 * ```ts
 * import { adapt, freshModel, lora, reference, smallConfig, widthAt } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { method, params } = adapt(model, lora({ rank: 2 }));
 * assert.equal(widthAt(method.edits(params, model.spec)[0]!, model.spec), 16); // the layer's input
 * ```
 */
export function widthAt(edit: Edit, spec: Spec): number {
  const linear = spec.linears.find((place) => place.path === edit.path);
  if (edit.kind === "linear" && linear !== undefined) {
    return reads(edit.change) === "input" ? linear.inFeatures : linear.outFeatures;
  }
  const here = places(spec).filter((place) => place.path === edit.path);
  const stack = spec.stacks.find((place) =>
    place.entrance === edit.path || here.some(({ stack }) => stack === place.stack)
  );
  const width = stack?.width ?? here.flatMap((place) => "width" in place ? [place.width] : [])[0];
  if (width === undefined) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot gate the ${edit.kind} edit at "${edit.path}": no width is known`,
    );
  }
  return width;
}

const reads = (change: LinearChange): "input" | "output" =>
  change.form === "delta" ? change.reads : change.form === "output" ? "output" : "input";

/** What a gate at an edit sees. */
export interface GateCall {
  /** What the edit reads [b, t, width]. */
  readonly x: Tensor;
  /** The current forward pass. */
  readonly pass: PassCall;
}

/**
 * An edit whose effect is multiplied by a gate's value, [b or 1, t or 1, 1].
 *
 * @throws {RangeError} when the edit does not see the input, as that of a weight or a prompt.
 * @example
 * ```ts
 * import { fn, type GateCall, gatedEdit, lowRank, reference, tensor } from "@graft/peft";
 * import { zeros } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const map = lowRank(tensor([[1, 1]], { backend }), tensor([[2], [0]], { backend }), 1);
 * const closed = fn({}, (_, { x }: GateCall) => zeros([1, 1, 1], x.backend));
 * const edit = gatedEdit({ kind: "linear", path: "q", change: { form: "add", map } }, closed);
 * assert.ok(edit.kind === "linear" && edit.change.form === "delta" && edit.change.weight === undefined);
 * ```
 */
export function gatedEdit(edit: Exclude<Edit, { kind: "prepass" }>, gate: Fn<GateCall, Tensor>): Edit {
  switch (edit.kind) {
    case "linear": {
      const delta = fn(
        { gate, effect: linearEffect(edit.change) },
        ({ gate, effect }, call: LinearCall) => {
          const x = reads(edit.change) === "input" ? call.x : call.y;
          return times(edit, effect.run(call), gate.run({ x, pass: call }), x);
        },
      );
      return { ...edit, change: { form: "delta", reads: reads(edit.change), delta } };
    }
    case "hidden":
      return {
        ...edit,
        eachToken: false, // a gate may read the whole text
        delta: fn(
          { gate, delta: edit.delta },
          ({ gate, delta }, call) => {
            const x = reading(call, edit.reads);
            return times(edit, delta.run(call), gate.run({ x, pass: call }), x);
          },
        ),
      };
    case "prefix":
      return {
        ...edit,
        eachToken: false,
        rows: fn({ gate, rows: edit.rows }, ({ gate, rows }, call: AttentionCall) => {
          const g = gate.run({ x: call.x, pass: call }); // [b or 1, 1, 1 or 2]
          const [b, t, values] = g.shape as [number, number, number];
          if (t !== 1 || values > 2) {
            throw rangeError(
              "METHOD_DOES_NOT_FIT",
              `Cannot gate the prefix at "${edit.path}" by [${g.shape}]: its rows belong to no token, so there is one value a ` +
                "text, or one for keys and one for values",
            );
          }
          const by = (rows: Tensor, i: number): Tensor =>
            multiply(rows, reshape(slice(g, 2, i, i + 1), [b, 1, 1, 1])); // [b, n, h, d]
          const { k, v, gate: own } = rows.run(call);
          // Rows with a separate softmax contribute in proportion to their values.
          return own === undefined
            ? { k: by(k, 0), v: by(v, values - 1) }
            : { k, v: by(v, values - 1), gate: own };
        }),
      };
    case "side":
      if (edit.gives === "memory") return edit; // it does not itself change states
      return {
        ...edit,
        run: fn(
          { gate, run: edit.run },
          ({ gate, run }, call: SideCall) => {
            const { states } = call;
            const g = gate.run({ x: states, pass: call });
            return add(states, times(edit, subtract(run.run(call), states), g, states));
          },
        ),
      };
    case "weight":
    case "prompt":
      throw unseeing(edit);
    default:
      return edit satisfies never;
  }
}

const unseeing = ({ kind, path }: Edit): RangeError =>
  rangeError("METHOD_DOES_NOT_FIT", `Cannot gate the ${kind} edit at "${path}": it does not see the input`);

/** An effect times a gate's value for x [b, t, width]. */
function times({ kind, path }: Edit, effect: Tensor, g: Tensor, x: Tensor): Tensor {
  const shape = [...x.shape.slice(0, -1), effect.shape.at(-1)!];
  const fits = g.shape.length <= shape.length &&
    g.shape.every((n, i) => n === 1 || n === shape[shape.length - g.shape.length + i]);
  if (!fits) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot gate the ${kind} edit at "${path}" by [${g.shape}]: that does not broadcast against [${shape}]`,
    );
  }
  return multiply(effect, g);
}
