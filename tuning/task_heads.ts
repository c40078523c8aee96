/** The head that is trained along with a method: a classifier, or parts that the checkpoint lacks. */
import { adapt, type Adapter, compose, type Method, type Model, type Tree } from "../core/mod.ts";
import { SAVED } from "../methods/peft_beside.ts";
import { headModules } from "../models/mod.ts";
import { commandLineOf } from "./chosen_method.ts";
import type { MethodFlags } from "./method_from_flags.ts";

/**
 * The head that is trained along with the method; undefined where there is none, or where the method trains
 * it itself.
 *
 * @param fresh Modules of the head that the checkpoint lacks.
 */
export function headOf(
  { definition }: Pick<MethodFlags, "definition">,
  model: Model,
  fresh: readonly string[],
): Method | undefined {
  const classifier = headModules(model);
  const others = fresh.filter((path) =>
    !classifier.some((name) => path === name || path.startsWith(`${name}.`))
  );
  const made = (modules: readonly string[]): Method | undefined =>
    modules.length === 0 ? undefined : SAVED.method({ modules });
  const { head: itself } = commandLineOf(definition);
  if (itself === "all") return undefined;
  return made(itself === undefined ? [...others, ...classifier] : others);
}

/** The method and the head together, as in loaded adapter folders. */
export function beside(own: Method, head: Method): Method {
  return compose({ adapter: own, saved: head });
}

/** The adapter with a new head. */
export function withHead(adapter: Adapter, head: Method | undefined, model: Model, seed: number): Adapter {
  if (head === undefined) return { ...adapter, name: "default" };
  const { method, params } = adapt(model, head, seed);
  return {
    name: "default",
    method: beside(adapter.method, method),
    params: { adapter: adapter.params, saved: params },
  };
}

/** Changes the adapter's own part and keeps the head. */
export async function replaced(
  trained: Adapter,
  head: Method | undefined,
  change: (own: Adapter) => Promise<Adapter>,
): Promise<Adapter> {
  if (head === undefined) return { ...await change(trained), name: "default" };
  const own = await change({ ...trained, params: trained.params["adapter"] as Tree });
  return {
    name: "default",
    method: beside(own.method, head),
    params: { adapter: own.params, saved: trained.params["saved"] as Tree },
  };
}
