/** Bases that an adapter's record describes, as LoftQ's: loading makes them anew, and saving leaves them out. */
import { type Adapter, compose, type MethodDefinition, type Model, type Tree } from "../core/mod.ts";
import { optionsFromJson } from "../core/options/option_json.ts";
import type { KnownMethods } from "./records/known_methods.ts";
import { type MethodRecord, recordsIn } from "./records/method_record.ts";

/** The adapter with the change of its base, where its method, or one of its parts, has one. */
export async function onDerivedBase(
  tuned: Adapter,
  record: MethodRecord,
  model: Model,
  known: KnownMethods,
): Promise<Adapter> {
  const changed = recordsIn(record).find(({ method }) => known.get(method).base !== undefined);
  if (changed === undefined) return tuned;
  const base = await known.get(changed.method).base!(model, optionsFromJson(changed.config));
  return {
    ...tuned,
    method: compose({ base: { ...base.method, definition: derivedBase }, tuned: tuned.method }),
    params: { base: base.params, tuned: tuned.params },
  };
}

/** Marks a base that loading derived from an adapter's record; it is in no record itself. */
const derivedBase: MethodDefinition = {
  name: "derived-base",
  summary: "A base that is made anew wherever its adapter is loaded.",
  options: {},
};

/** An adapter as it was before loading added the base that its record describes. */
export function withoutDerivedBase(adapter: Adapter): Adapter {
  const { base, tuned } = adapter.method.components ?? {};
  if (base?.definition !== derivedBase || tuned === undefined) return adapter;
  return { ...adapter, method: tuned, params: adapter.params["tuned"] as Tree };
}
