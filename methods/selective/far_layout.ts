/**
 * FAR's reconfiguration: a layer split into two, one of frozen rows and one of learning rows, whose outputs
 * are concatenated and then put back in order. No row is computed twice.
 *
 *   [y_F; y_L] = [W_F x + b_F; W_L x + b_L]        y_j = [y_F; y_L]_order(j)
 *
 * Where the outputs are the input of another layer, its columns can be reordered instead (`absorbed`).
 */
import { showShape, type Tensor } from "../../core/mod.ts";
import { concat, gatherRows, integers, scatterAddRows, transpose } from "../../ops/mod.ts";
import { rangeError } from "../../errors/error.ts";

/** A layer's matrix [out, in] and bias [out]. */
export interface FarLayer {
  /** [out, in]. */
  readonly weight: Tensor;
  /** [out], where there is one. */
  readonly bias?: Tensor;
}

/** A layer in two parts. */
export interface Reconfigured {
  /** Frozen rows. */
  readonly frozen: FarLayer;
  /** Learning rows. */
  readonly learning: FarLayer;
  /** i32 [out]: the index of output j among the frozen outputs followed by the learning ones. */
  readonly order: Tensor;
}

/**
 * Splits a layer. `learners` are ascending.
 *
 * @throws {RangeError} when a learner is not an output, repeats, or none or all of them learn.
 * @example
 * ```ts
 * import { read, reconfigure, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const weight = tensor([[1], [2], [3]], { backend: reference() });
 * const { frozen, learning, order } = reconfigure({ weight }, [1]);
 * assert.deepEqual([...await read(learning.weight)], [2]);
 * assert.deepEqual([...await read(frozen.weight)], [1, 3]);
 * assert.deepEqual([...await read(order)], [0, 2, 1]); // output 1 stands last
 * ```
 */
export function reconfigure({ weight, bias }: FarLayer, learners: ArrayLike<number>): Reconfigured {
  const { backend } = weight;
  const out = weight.shape[0]!;
  const chosen = new Set(Array.from(learners));
  const valid = Array.from(learners).every((j, i) =>
    Number.isInteger(j) && j >= 0 && j < out && !(j <= learners[i - 1]!)
  );
  if (!valid || chosen.size === 0 || chosen.size === out) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected some of the rows of ${showShape(weight.shape)}, rising, but found [${Array.from(learners)}]`,
    );
  }
  const rest = Array.from({ length: out }, (_, j) => j).filter((j) => !chosen.has(j));
  const sequence = [...rest, ...Array.from(learners)];
  const order = new Int32Array(out);
  sequence.forEach((j, position) => order[j] = position);
  const part = (rows: ArrayLike<number>): FarLayer => {
    const ids = integers(rows, backend);
    return { weight: gatherRows(weight, ids), ...bias && { bias: gatherRows(bias, ids) } };
  };
  return { frozen: part(rest), learning: part(learners), order: integers(order, backend) };
}

/**
 * The original layer, with the learning part's current values.
 *
 * @example
 * ```ts
 * import { read, reconfigure, reference, restore, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const weight = tensor([[1], [2], [3]], { backend: reference() });
 * const whole = restore(reconfigure({ weight }, [1]));
 * assert.deepEqual([...await read(whole.weight)], [1, 2, 3]);
 * ```
 */
export function restore({ frozen, learning, order }: Reconfigured): FarLayer {
  return {
    weight: gatherRows(concat([frozen.weight, learning.weight], 0), order),
    ...frozen.bias && learning.bias && { bias: gatherRows(concat([frozen.bias, learning.bias], 0), order) },
  };
}

/**
 * The next layer's matrix [d, out] with columns in the order of the parts' outputs, which then need no
 * reordering.
 *
 * @example
 * ```ts
 * import { absorbed, read, reconfigure, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const parts = reconfigure({ weight: tensor([[1], [2], [3]], { backend }) }, [1]);
 * const next = tensor([[10, 20, 30]], { backend }); // reads outputs 0, 1, 2
 * assert.deepEqual([...await read(absorbed(next, parts))], [10, 30, 20]);
 * ```
 */
export function absorbed(next: Tensor, { order }: Pick<Reconfigured, "order">): Tensor {
  const [d, out] = next.shape as readonly [number, number];
  return transpose(scatterAddRows(transpose(next), order, out, [d]));
}
