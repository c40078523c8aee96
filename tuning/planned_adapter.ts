/** What a run will train and hold, from shapes alone, for memory plans. */
import { adapt, type Adapter, type Model, type Planning, type Shape } from "../core/mod.ts";
import { openSafetensors } from "../formats/safetensors.ts";
import { exists } from "../io/inspect_contents.ts";
import { beside, headOf } from "./task_heads.ts";
import { completedOptions, type MethodFlags, methodFromFlags } from "./method_from_flags.ts";

/** The adapter of a run from shapes alone, for plans. */
export function plannedAdapter(
  model: Model,
  flags: MethodFlags & { readonly seed: number },
  fresh: readonly string[] = [],
): Adapter {
  const { definition } = flags;
  const head = headOf(flags, model, fresh);
  const own = definition.plan?.(planning(model, flags)) ?? methodFromFlags(flags, model);
  // `adjust`, which reads values between steps, is omitted.
  const { adjust: _, ...method } = head === undefined ? own : beside(own, head);
  return adapt(model, method, flags.seed);
}

/** Bytes of a changed base held in addition to the model's. */
export function plannedBase(model: Model, flags: MethodFlags): number {
  return flags.definition.planBase?.(planning(model, flags)) ?? 0;
}

const planning = (model: Model, flags: MethodFlags): Planning => ({
  model,
  options: completedOptions(flags, model.spec),
  method: flags.known.get,
  stored: storedShapes,
});

/** Shapes of the tensors of an adapter's folder; none where it is not on this machine. */
function storedShapes(folder: string): Readonly<Record<string, Shape>> {
  const path = `${folder}/adapter_model.safetensors`;
  if (!exists(path)) return {};
  const file = openSafetensors(path);
  try {
    return Object.fromEntries([...file.tensors.values()].map(({ name, shape }) => [name, shape]));
  } finally {
    file.close();
  }
}
