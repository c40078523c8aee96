/**
 * Methods made of methods. What a component needs beside its edits (a penalty, projections, learning rates, adjustments between
 * steps, what remains after training) is passed on here, once for all combinators.
 */
import { add } from "../../ops/mod.ts";
import type { Tensor, Tree } from "../../tensor/mod.ts";
import type { Adapter, Adjusted, Method, MethodConfig, MethodDefinition } from "../adapters/method.ts";
import type { Spec } from "../edits/place.ts";

/** What a combinator says of its result. */
export interface CombinedSpec<P extends Tree> extends Pick<Method<P>, "init" | "edits"> {
  /** The combinator's definition. */
  readonly definition: MethodDefinition;
  /** Its name for people. */
  readonly name: string;
  /** Its own options, without those of the components. */
  readonly config?: MethodConfig;
  /** The methods by name. */
  readonly components: Readonly<Record<string, Method>>;
  /** Where a component's parameters are in the combination's; default: under its name. */
  readonly at?: (name: string) => readonly string[];
  /** The places that the components see; default: all. */
  readonly sees?: (spec: Spec) => Spec;
  /** The same combination of what remains of its components after training. */
  of(components: Readonly<Record<string, Adapter>>, params: P): Adapter;
}

/**
 * A method made of components, with the hooks that its components have.
 *
 * @example
 * ```ts
 * import { combined, defineCombinator, lora, type Method } from "@graft/peft";
 * import assert from "node:assert/strict";
 * // The same method under another name.
 * const twin = (of: Method): Method =>
 *   combined({
 *     definition: defineCombinator({ name: "twin", summary: "Does what its component does." }, {}, (_, components) => twin(components["of"]!.method), () => []),
 *     name: `twin(${of.name})`,
 *     components: { of },
 *     at: () => [],
 *     init: (given) => of.init(given),
 *     edits: (params, spec) => of.edits(params, spec),
 *     of: (components) => ({ method: twin(components["of"]!.method), params: components["of"]!.params }),
 *   });
 * assert.equal(twin(lora()).name, "twin(lora)");
 * ```
 */
export function combined<P extends Tree>(combination: CombinedSpec<P>): Method<P> {
  const { definition, name, config = {}, components, init, edits, sees = (spec) => spec } = combination;
  const pathOf = combination.at ?? ((name) => [name]);
  const all = Object.entries(components);
  const of = (params: Tree, name: string): Tree => within(params, pathOf(name));
  const has = (hook: "penalty" | "project" | "rates" | "adjust" | "finalize"): boolean =>
    all.some(([, method]) => method[hook] !== undefined);
  // The state of a wrapper is that of what it wraps, the state of several components is by name.
  const wraps = combination.at !== undefined && all.length === 1 && all[0]![0] === "of";
  return {
    definition,
    name,
    config,
    components,
    init,
    edits,
    ...has("penalty") && {
      penalty: (params: P, spec: Spec): Tensor =>
        all.flatMap(([name, m]) => m.penalty === undefined ? [] : [m.penalty(of(params, name), sees(spec))])
          .reduce((a, b) => add(a, b)),
    },
    ...has("project") && {
      project: (params: P): P =>
        all.reduce(
          (tree: Tree, [name, m]) =>
            m.project === undefined ? tree : replaced(tree, pathOf(name), m.project(of(params, name))),
          params,
        ) as P,
    },
    ...has("rates") && {
      rates: ({ params, spec, learningRate }): (path: string) => number => {
        const rates = all.flatMap(([name, m]) => {
          const rate = m.rates?.({ params: of(params, name), spec: sees(spec), learningRate });
          return rate === undefined ? [] : [[pathOf(name).map((key) => `${key}.`).join(""), rate] as const];
        });
        return (path) => {
          const found = rates.find(([prefix]) => path.startsWith(prefix));
          return found === undefined ? 1 : found[1](path.slice(found[0].length));
        };
      },
    },
    ...has("adjust") && {
      adjust: async ({ params, gradients, state, ...given }): Promise<Adjusted<P>> => {
        let next: Tree = params;
        const states: Record<string, Tree> = {};
        for (const [name, m] of all) {
          const own: Adjusted = {
            params: of(params, name),
            state: wraps ? state : (state[name] as Tree | undefined) ?? {},
          };
          const seen = { ...given, ...own, gradients: of(gradients, name) };
          const adjusted = await m.adjust?.(seen) ?? own;
          next = replaced(next, pathOf(name), adjusted.params);
          states[name] = adjusted.state;
        }
        return { params: next as P, state: wraps ? states["of"]! : states };
      },
    },
    ...has("finalize") && {
      finalize: (params: P, spec: Spec): Adapter => {
        const remaining = all.map(([name, method]): readonly [string, Adapter] => {
          const own = of(params, name);
          return [name, method.finalize?.(own, sees(spec)) ?? { method, params: own }];
        });
        return combination.of(Object.fromEntries(remaining), params);
      },
    },
  };
}

/** The branch at a path; gradients may lack one. */
function within(tree: Tree, path: readonly string[]): Tree {
  return path.reduce((branch, name) => (branch[name] ?? {}) as Tree, tree);
}

/** The tree with another branch at a path. */
function replaced(tree: Tree, [name, ...rest]: readonly string[], branch: Tree): Tree {
  if (name === undefined) return branch;
  return { ...tree, [name]: replaced((tree[name] ?? {}) as Tree, rest, branch) };
}

/**
 * The methods of components by name.
 *
 * @example
 * ```ts
 * import { compose, ia3, lora, methodsOf } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const components = { low: { method: lora(), params: {} }, scales: { method: ia3(), params: {} } };
 * assert.equal(compose(methodsOf(components)).name, "compose(low, scales)");
 * ```
 */
export function methodsOf(components: Readonly<Record<string, Adapter>>): Readonly<Record<string, Method>> {
  return Object.fromEntries(Object.entries(components).map(([name, { method }]) => [name, method]));
}

/**
 * The parameters of components by name.
 *
 * @example
 * ```ts
 * import { adapt, freshModel, ia3, lora, paramsOf, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const components = { low: adapt(model, lora()), scales: adapt(model, ia3()) };
 * assert.equal(paramsOf(components)["scales"], components.scales.params);
 * ```
 */
export function paramsOf(components: Readonly<Record<string, Adapter>>): Readonly<Record<string, Tree>> {
  return Object.fromEntries(Object.entries(components).map(([name, { params }]) => [name, params]));
}
