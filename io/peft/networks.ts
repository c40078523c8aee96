/** Adapters of which a PEFT folder holds what remains after training. */
import {
  type Adapter,
  areGradients,
  type ComponentMethod,
  componentMethods,
  dispose,
  leaves,
  type Model,
  type Tree,
} from "../../core/mod.ts";
import { FORMS } from "../../methods/index.ts";
import { checkFrozen } from "../partial_params.ts";

/** Whether a folder holds what remains of a method: its network (or offsets) it does not. */
const isFinalized = ({ of, options }: ComponentMethod): boolean =>
  FORMS.some(({ finalized = [] }) =>
    finalized.some(({ definition, when }) => definition === of.definition && (when?.(options) ?? true))
  );

/**
 * The adapter with its prompts evaluated, without the networks that generate them; `dispose` frees what was
 * computed.
 */
export function withoutNetworks(
  adapter: Adapter,
  model: Model,
): { readonly adapter: Adapter; dispose(): void } {
  const { method, params, ...rest } = adapter;
  const makes = componentMethods(method, params).some(isFinalized);
  // Of gradients a network makes nothing.
  if (method.finalize === undefined || areGradients(params) || !makes) {
    return { adapter, dispose: () => {} };
  }
  checkFrozen(adapter, model, "as a PEFT folder");
  const finalized = method.finalize(params, model.spec);
  const old = new Set(leaves(params).map(([, t]) => t.storage));
  const made = leaves(finalized.params as Tree).map(([, t]) => t).filter((t) => !old.has(t.storage));
  return { adapter: { ...rest, ...finalized }, dispose: () => dispose(made) };
}
