/** What the passes of a step measure, read from the backend and summed over all processes. */
import { dispose, read, type Tensor } from "../core/mod.ts";
import { gatherJson, gatherNumbers, type World } from "./world.ts";

/** What one pass measures. */
export interface Pass {
  /** The pass's share of the mean over all labels of the step. */
  readonly loss: Tensor;
  /** Other numbers about its rows, which add up. */
  readonly metrics: Readonly<Record<string, Tensor>>;
}

/**
 * The norm, and the loss and other numbers summed in the order of the passes, whichever process took them. Frees what it reads.
 *
 * @param norm A scalar.
 * @param own The passes of this process.
 */
export async function measured(
  world: World,
  norm: Tensor,
  own: readonly Pass[],
): Promise<
  { readonly norm: number; readonly loss: number; readonly metrics?: Readonly<Record<string, number>> }
> {
  // Read together, so that on a GPU everything before the optimizer is one submission.
  const asked = [norm, ...own.flatMap(({ loss, metrics }) => [loss, ...Object.values(metrics)])];
  const [length = NaN, ...numbers] = (await Promise.all(asked.map(read))).map(([number]) => number!);
  dispose(asked);
  const names = await gatherJson(world, own.map(({ metrics }) => Object.keys(metrics)));
  const values = (await gatherNumbers(world, numbers)).flat().values();
  const next = (): number => values.next().value!;
  const sums: Record<string, number> = {};
  let loss = 0;
  for (const metrics of names.flat()) {
    loss += next();
    for (const name of metrics) sums[name] = (sums[name] ?? 0) + next();
  }
  return { norm: length, loss, ...Object.keys(sums).length > 0 && { metrics: sums } };
}
