/** The methods of an adapter to be saved for AdapterHub, and the paths of their parameters. */
import {
  type ComponentMethod,
  componentMethods,
  gatedDefinition,
  type Json,
  lookup,
  type Method,
  type Model,
  Tensor,
  type Tree,
} from "../../core/mod.ts";
import { blockNumber } from "./layout.ts";
import { rangeError } from "../../errors/error.ts";

/** One method of an adapter; with a gate, its parameters are those inside it. */
export interface Component extends ComponentMethod {
  /** The gate around it, if there is one. */
  readonly gate?: string;
}

/** The methods of a composition, however deep; `params` are at `prefix` in the adapter's. */
export function componentsOf(method: Method, params: Tree, prefix: string): readonly Component[] {
  return componentMethods(method, params, prefix).map(ungated);
}

function ungated(component: ComponentMethod): Component {
  if (component.of.definition !== gatedDefinition) return component;
  const [inner] = componentMethods(component.of.components!["of"]!, (component.params["of"] ?? {}) as Tree);
  return {
    ...inner!,
    prefix: component.prefix,
    gate: String((component.options["gate"] as { readonly name: Json }).name),
  };
}

/** Throws, naming what the library would compute differently. */
export const refuse = (component: Component, why: string): never => {
  throw rangeError("CANNOT_SAVE", `Cannot save ${component.method} for AdapterHub: ${why}`);
};

/** The blocks, by the library's count, of places without parameters. */
export function leftOut(
  component: Component,
  places: readonly { readonly path: string; readonly stack: string; readonly layer?: number }[],
  model: Model,
): readonly number[] {
  const held = new Set(
    places.filter(({ path }) => holds(component, path)).map((place) => blockNumber(model, place)),
  );
  if (held.size === 0) refuse(component, "none of its parameters stands at a part of the model");
  return [...new Set(places.map((place) => blockNumber(model, place)))].filter((n) => !held.has(n));
}

/** Whether a component has parameters at a path. */
export const holds = ({ params }: Component, path: string): boolean => {
  const found = lookup(params, path);
  return found !== undefined && (found instanceof Tensor || Object.keys(found).length > 0);
};
