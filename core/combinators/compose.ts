/** Combinators: methods from methods. */
import { fold, key, scope, type Synchronous, type Tensor, type Tree } from "../../tensor/mod.ts";
import type { Adapter, Method, MethodDefinition, OptionValue } from "../adapters/method.ts";
import { type Place, places, type Spec } from "../edits/place.ts";
import { narrow, type PlaceChoice, selects } from "../edits/selector.ts";
import { option } from "../options/option.ts";
import { made } from "../options/option_schemas.ts";
import type { Model } from "../trees/model.ts";
import { parentOf } from "../trees/edit_checks.ts";
import { combined, methodsOf, paramsOf } from "./combined.ts";
import { defineCombinator } from "./define_combinator.ts";
import { weightLeaves } from "../trees/weights.ts";
import { rangeError } from "../../errors/error.ts";

/** The parameters of a composition: those of each component under its name. */
export type PartsOf<M extends Readonly<Record<string, Method>>> = {
  readonly [N in keyof M & string]: M[N] extends Method<infer P> ? P : Tree;
};

/**
 * Several methods on one model. Their edits fold in order: at a place that two of them change, the later one
 * sees the result of the earlier one. Associative, with the empty composition as unit; not commutative.
 *
 * @example
 * ```ts
 * import { adapt, compose, freshModel, ia3, lora, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const both = compose({ low: lora({ rank: 4 }), scales: ia3() });
 * assert.deepEqual(Object.keys(adapt(model, both).params), ["low", "scales"]);
 * ```
 */
export function compose<M extends Readonly<Record<string, Method>>>(methods: M): Method<PartsOf<M>> {
  const components = Object.entries(methods);
  return combined<PartsOf<M>>({
    definition: composeDefinition,
    name: `compose(${components.map(([name]) => name).join(", ")})`,
    components: methods,
    init: ({ model, key: seed }) =>
      Object.fromEntries(
        components.map(([name, method]) => [name, method.init({ model, key: fold(key(seed), name) })]),
      ) as PartsOf<M>,
    edits: (params, spec) => components.flatMap(([name, method]) => method.edits(params[name] as Tree, spec)),
    of: (components) => ({ method: compose(methodsOf(components)), params: paramsOf(components) }),
  });
}

/** `compose` in records. */
export const composeDefinition: MethodDefinition = defineCombinator(
  { name: "compose", summary: "Applies several methods in order." },
  {},
  (_, components) => compose(methodsOf(components)),
);

/**
 * A method limited to the places that a selector selects. Nothing changes elsewhere, whether the method
 * chooses its places by the spec or brings its own, as masks and copies of weights do. A selector is JSON, so the
 * result can be saved; a predicate is refused at saving.
 *
 * @example
 * ```ts
 * import { adapt, at, freshModel, layers, leaves, lora, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { params } = adapt(model, at(layers(1), lora({ rank: 2 })));
 * assert.ok(leaves(params).every(([path]) => path.startsWith("model.layers.1.")));
 * ```
 */
export function at<P extends Tree>(where: PlaceChoice, method: Method<P>): Method<P> {
  const chosen = selects(where);
  const sees = (spec: Spec): Spec => narrow(spec, chosen);
  return combined<P>({
    definition: atDefinition,
    name: `at(${method.name})`,
    config: { places: where as OptionValue },
    components: { of: method },
    at: () => [],
    sees,
    init: ({ model, key }) => method.init({ model: { ...model, spec: sees(model.spec) }, key }),
    edits: (params, spec) => {
      const all = placesByPath(spec);
      return method.edits(params, sees(spec)).filter(({ kind, path }) => {
        if (kind !== "weight" && kind !== "linear") return true;
        const here = all.get(kind === "weight" ? parentOf(path) : path);
        return here === undefined || here.some(chosen); // undefined: another model's place, which grafting refuses
      });
    },
    of: ({ of }) => ({ ...of!, method: at(where, of!.method) }),
  });
}

/** `at` in records. */
export const atDefinition: MethodDefinition = defineCombinator(
  { name: "at", summary: "Limits a method to chosen places." },
  {
    places: option(made<PlaceChoice>('a selector of places such as {"layers": [0, 6]}'), "where it applies"),
  },
  ({ places }, { of }) => at(places as PlaceChoice, of!.method),
  () => [],
);

function placesByPath(spec: Spec): ReadonlyMap<string, readonly Place[]> {
  return Map.groupBy(places(spec), ({ path }) => path);
}

/**
 * The weights at a model's places, by path: all of them, unless `at` has narrowed the places.
 *
 * @example
 * ```ts
 * import { freshModel, layers, narrow, placedLeaves, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const upper = placedLeaves({ ...model, spec: narrow(model.spec, layers(1)) });
 * assert.ok(upper.every(([path]) => path.startsWith("model.layers.1.")));
 * ```
 */
export function placedLeaves({ spec, weights }: Pick<Model, "spec" | "weights">): readonly PlacedLeaf[] {
  const here = new Set(places(spec).map(({ path }) => path));
  return weightLeaves(weights).filter(([path]) => here.has(parentOf(path)));
}

/** A weight with its path. */
export type PlacedLeaf = readonly [path: string, leaf: Tensor];

/**
 * An adapter with the initial parameters of its method.
 *
 * @throws {RangeError} as the method's `init`, and when there is not enough memory for the parameters; the
 * message names the options.
 *
 * @example
 * ```ts
 * import { adapt, count, freshModel, lora, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, lora({ rank: 2 }), 7); // equal seeds give equal numbers
 * assert.equal(count(model, adapter).trainable, 2 * 2 * 2 * (16 + 16)); // layers, q and v, rank, sizes
 * ```
 */
export function adapt<P extends Tree>(
  model: Model,
  method: Method<P>,
  seed = 0,
  name = "default",
): Adapter<P> {
  return {
    name,
    method,
    params: scope((): Synchronous<P> => fresh(method, model, seed) as Synchronous<P>),
  };
}

/** An out-of-memory error names the options that determine the number of parameters. */
function fresh<P extends Tree>(method: Method<P>, model: Model, key: number): P {
  try {
    return method.init({ model, key });
  } catch (cause) {
    const { message } = cause as Error;
    if (!message.startsWith("Cannot allocate")) throw cause;
    const options = JSON.stringify(method.config).slice(0, 300);
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot make the parameters of ${method.name} ${options}: ${message}`,
      { cause },
    );
  }
}

/**
 * A value passed through functions, left to right.
 *
 * @example
 * ```ts
 * import {
 *   adapt, allEdits, freshModel, graft, ia3, lora, pipe, reference, smallConfig,
 * } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const tuned = pipe(model, graft(adapt(model, ia3())), graft(adapt(model, lora())));
 * const names = allEdits(tuned.weights).map(({ kind }) => kind);
 * assert.equal(names.length, 2 * 3 + 2 * 2); // k, v and down of both layers, then q and v
 * ```
 */
export function pipe<A>(value: A, ...steps: readonly ((value: A) => A)[]): A {
  return steps.reduce((v, step) => step(v), value);
}
