/** How large an adapter is before it is written: larger than its model it is a mistake more often than a wish. */
import { type Adapter, isQuantized, leaves, type Model, weightLeaves } from "../core/mod.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { note, showBytes } from "./terminal/output.ts";

/**
 * Says how large an adapter will be, in f32, where it is more than half of the model with it merged in.
 *
 * @param output Where it is written; given, its size is told in any case.
 * @param change What would make it smaller, such as "--rank 16".
 * @throws {UsageError} when it is larger than that model, unless `force` is set.
 */
export function checkAdapterSize(
  model: Model,
  { params }: Adapter,
  { force, change, output }: {
    readonly force: boolean;
    readonly change: string;
    readonly output?: string;
  },
): void {
  const adapter = leaves(params).reduce((bytes, [, leaf]) => bytes + 4 * leaf.size, 0);
  const merged = mergedBytes(model);
  const sizes = `The adapter takes ${showBytes(adapter)} in f32, the model with it merged in ${
    showBytes(merged)
  }`;
  if (adapter > merged && !force) {
    throw new UsageError(
      `${sizes}: make it smaller with ${change}, use graft merge, or write it with --force`,
    );
  }
  if (adapter > merged / 2) note(`${sizes}; ${change} makes it smaller`);
  else if (output !== undefined) note(`Writing ${output}: ${showBytes(adapter)}`);
}

/** Whether sizes are told before anything is written. */
export const tellsSize = ({ quiet, json }: { readonly quiet?: true; readonly json?: true }): boolean =>
  quiet !== true && json !== true;

/** What is quantized is merged in f16. Tied weights are stored once. */
function mergedBytes(model: Model): number {
  const stored = new Map(
    weightLeaves(model.weights).map(([, leaf]) =>
      [leaf.storage, isQuantized(leaf.dtype) ? 2 * leaf.size : leaf.storage.bytes] as const
    ),
  );
  return [...stored.values()].reduce((total, bytes) => total + bytes, 0);
}
