/** A composed adapter taken apart into the methods that folders hold side by side. */
import type { MethodConfig, Tree } from "../../core/mod.ts";

/** One method of an adapter. */
export interface ComponentMethod {
  readonly method: string;
  readonly options: MethodConfig;
  readonly params: Tree;
  /** Their path in the adapter's params; "" for all of them. */
  readonly prefix: string;
}

/** The methods of a composition, however deep; `params` are at `prefix` in the adapter's. */
export function componentMethods(
  name: string,
  config: MethodConfig,
  params: Tree,
  prefix = "",
): readonly ComponentMethod[] {
  if (!name.startsWith("compose(")) return [{ method: name, options: config, params, prefix }];
  return Object.entries(config).flatMap(([part, value]) => {
    const { method, ...options } = value as MethodConfig;
    const inner = (params[part] ?? {}) as Tree;
    return componentMethods(String(method), options, inner, prefix === "" ? part : `${prefix}.${part}`);
  });
}
