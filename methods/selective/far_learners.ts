/** The nodes that FAR lets learn: those that changed most while it primed. */
import {
  dispose,
  type LinearPlace,
  lookup,
  scope,
  type Spec,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { abs, add, largest, sum, transpose } from "../../ops/mod.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * The nodes of each layer that changed most: ‖w_j − w0_j‖₁ over a row and its bias.
 *
 * @example
 * ```ts
 * import { reference, tensor } from "@graft/peft";
 * import { learnersOf } from "@graft/peft/recipes";
 * import assert from "node:assert/strict";
 * const delta = tensor([[0, 0], [9, 0], [1, -1], [0, 5]], { backend: reference() }); // [out, in]
 * const place = {
 *   kind: "linear", path: "up", stack: "decoder", role: "up", inFeatures: 2, outFeatures: 4, bias: false, transposed: false,
 * } as const;
 * const { up } = await learnersOf({ up: { weight: { delta } } }, [place], () => 2);
 * assert.deepEqual([...up!], [1, 3]);
 * ```
 */
export async function learnersOf(
  deltas: Tree,
  layers: readonly LinearPlace[],
  count: (place: LinearPlace) => number,
): Promise<Readonly<Record<string, Int32Array>>> {
  const found: (readonly [string, Int32Array])[] = [];
  for (const place of layers) {
    const distance = scope((): Synchronous<Tensor> => {
      const { weight, bias } = deltasOf(deltas, place);
      const rows = sum(abs(weight), { axis: 1 }); // [out]
      return bias === undefined ? rows : add(rows, abs(bias));
    });
    const [nodes] = await largest([distance], count(place));
    dispose(distance);
    found.push([place.path, nodes!]);
  }
  return Object.fromEntries(found);
}

/** A layer's differences, with the matrix as [out, in] regardless of its layout. */
export function deltasOf(
  deltas: Tree,
  { path, transposed, bias }: LinearPlace,
): { readonly weight: Tensor; readonly bias?: Tensor } {
  const weight = lookup(deltas, `${path}.weight.delta`) as Tensor;
  return {
    weight: transposed ? transpose(weight) : weight,
    ...bias && { bias: lookup(deltas, `${path}.bias.delta`) as Tensor },
  };
}

/**
 * The feed-forward layers of a model.
 *
 * @example
 * ```ts
 * import { feedForwardLayers, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const names = feedForwardLayers(spec).map(({ path }) => path.split(".").at(-1));
 * assert.deepEqual(names.slice(0, 3), ["gate_proj", "up_proj", "down_proj"]);
 * ```
 */
export function feedForwardLayers(spec: Spec): readonly LinearPlace[] {
  return spec.linears.filter(({ role, layer }) =>
    layer !== undefined && (role === "gate" || role === "up" || role === "down")
  );
}

/**
 * The number of learning nodes of a layer: the share of its outputs, rounded.
 *
 * @throws {RangeError} when the share is out of range.
 * @example
 * ```ts
 * import { learnerCount } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * assert.equal(learnerCount({ path: "up_proj", outFeatures: 3072 }, 0.1), 307);
 * ```
 */
export function learnerCount(
  { path, outFeatures }: Pick<LinearPlace, "path" | "outFeatures">,
  retention: number,
): number {
  if (!(retention > 0 && retention <= 1)) {
    throw rangeError("INVALID_ARGUMENT", `Expected retention above 0 and up to 1 but found ${retention}`);
  }
  const count = Math.round(retention * outFeatures);
  if (count < 1) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected retention to leave at least one of the ${outFeatures} nodes of "${path}" but found ${retention}`,
    );
  }
  return count;
}
