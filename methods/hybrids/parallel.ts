/**
 * Methods in parallel: at a place that several methods change, each sees the base's output and not the
 * changes of the others, and their effects are added. `compose` applies them in series.
 *
 *   y ← y + Σ_k δ_k(y)
 */
import {
  combined,
  compose,
  defineCombinator,
  type Edit,
  fn,
  type HiddenCall,
  type LinearCall,
  type LinearEdit,
  type Method,
  type MethodDefinition,
  methodsOf,
  paramsOf,
  type PartsOf,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { add } from "../../ops/mod.ts";
import {
  type AdditiveEdit,
  editAt,
  effectAt,
  reasonNotAdditive,
  type SharedPlace,
  sharedPlaces,
} from "./shared_place.ts";
import { typeError } from "../../errors/error.ts";

/**
 * Several methods on one model, none of which sees another's effect at the same place. Parameters: those of
 * each component under its name. Where one of the components sharing a layer reads its output, their joint change has
 * no weight form, so the whole cannot be merged; added linear maps and biases read only inputs and are kept
 * as they are. Prefixes, prompts and side networks are independent of each other anyway.
 *
 * @throws {TypeError} at `edits`, when two components change the same weight, or one of several components at a place
 * is only for some rows.
 * @example
 * ```ts
 * import { adapt, freshModel, houlsby, lora, parallel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const both = parallel({ news: houlsby({ reduction: 4 }), chat: houlsby({ reduction: 8 }), low: lora({ rank: 2 }) });
 * assert.deepEqual(Object.keys(adapt(model, both).params), ["news", "chat", "low"]);
 * ```
 */
export function parallel<M extends Readonly<Record<string, Method>>>(methods: M): Method<PartsOf<M>> {
  const names = Object.keys(methods);
  return combined<PartsOf<M>>({
    definition: parallelDefinition,
    name: `parallel(${names.join(", ")})`,
    components: methods,
    init: compose(methods).init,
    edits: (params, spec) => {
      const components = names.map((name) => methods[name]!.edits(params[name] as Tree, spec));
      checkWeights(names, components);
      const shared = sharedPlaces(components.map((edits) => edits.filter(adds))).filter(joins);
      const joined = new Map(shared.flatMap((place) => {
        checkRows(place, components.flat());
        return place.components.flatMap(({ edits }) => edits.map((edit) => [edit as Edit, place] as const));
      }));
      return components.flat().flatMap((edit): readonly Edit[] => {
        const place = joined.get(edit);
        return place === undefined ? [edit] : place.first === edit ? [sum(place)] : [];
      });
    },
    of: (components) => ({ method: parallel(methodsOf(components)), params: paramsOf(components) }),
  });
}

/** `parallel` in records. */
export const parallelDefinition: MethodDefinition = defineCombinator(
  { name: "parallel", summary: "Adds up what several methods change, each seeing the base's output alone." },
  {},
  (_, components) => parallel(methodsOf(components)),
);

const adds = (edit: Edit): edit is AdditiveEdit => reasonNotAdditive(edit) === undefined;

/** Whether the order of a place's components matters. */
const joins = ({ components, first }: SharedPlace): boolean =>
  components.length > 1 &&
  (first.kind === "hidden" ||
    components.some(({ edits }) => edits.some((edit) => looksBack(edit as LinearEdit))));

/** Whether a change of a linear layer depends on earlier changes. */
const looksBack = ({ change }: LinearEdit): boolean => change.form !== "add" && change.form !== "bias";

function sum(place: SharedPlace): Edit {
  const delta = fn(
    { components: place.components },
    ({ components }, call: LinearCall | HiddenCall): Tensor =>
      components.map((component) => effectAt(component, call)).reduce((a, b) => add(a, b)),
  );
  return editAt(place, "output", delta);
}

function checkRows({ first }: SharedPlace, edits: readonly Edit[]): void {
  const rows = edits.find((edit) =>
    edit.row !== undefined && edit.kind === first.kind && edit.path === first.path
  );
  if (rows === undefined) return;
  throw typeError(
    "METHOD_DOES_NOT_FIT",
    `Cannot put methods side by side at "${first.path}": one is for the rows of "${rows.row}" alone`,
  );
}

function checkWeights(names: readonly string[], components: readonly (readonly Edit[])[]): void {
  const owners = new Map<string, string>();
  components.forEach((edits, i) => {
    for (const { kind, path } of edits) {
      if (kind !== "weight") continue;
      const other = owners.get(path);
      if (other !== undefined && other !== names[i]) {
        throw typeError(
          "METHOD_DOES_NOT_FIT",
          `Cannot put "${other}" and "${
            names[i]
          }" side by side at "${path}": each would put its own weight there`,
        );
      }
      owners.set(path, names[i]!);
    }
  });
}
