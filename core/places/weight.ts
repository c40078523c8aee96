/** Leaves of the checkpoint with the weight edits at them: matrices, biases, norms. */
import { fold, isQuantized, type Tensor, tensorsIn } from "../../tensor/mod.ts";
import { add, rmsNorm, zeros } from "../../ops/mod.ts";
import { castWeight } from "../trees/matrix_layout.ts";
import type { WeightEdit } from "../edits/edit.ts";
import { atPlace, checkShape } from "../trees/edit_checks.ts";
import { decoded } from "../linear_maps/linear_map.ts";
import { editsAt, type Site } from "../trees/weights.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * A leaf after the weight edits at it; f32 when edited, else as stored. Edits see dequantized values.
 *
 * @param inOut Whether these are laid out [in, out]; quantized matrices are always [out, in].
 * @example
 * ```ts
 * import { into, read, reference, rootOf, tensor, weightTree } from "@graft/peft";
 * import { weight } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const weights = weightTree([["norm.weight", tensor([1, 2], { backend: reference() })]]);
 * assert.deepEqual([...await read(weight(into(rootOf(weights), "norm"), "weight"))], [1, 2]);
 * ```
 */
export function weight(site: Site, name: string, inOut = false): Tensor {
  const leaf = site.branch[name] as Tensor | undefined;
  if (leaf === undefined) throw rangeError("NO_SUCH_PLACE", `The weights have no "${site.path}.${name}"`);
  return mapped(site, name, leaf, inOut);
}

/**
 * Like `weight`, or undefined where the checkpoint has no such leaf.
 *
 * @example
 * ```ts
 * import { into, reference, rootOf, tensor, weightTree } from "@graft/peft";
 * import { optionalWeight } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const weights = weightTree([["norm.weight", tensor([1, 2], { backend: reference() })]]);
 * assert.equal(optionalWeight(into(rootOf(weights), "norm"), "bias"), undefined);
 * ```
 */
export function optionalWeight(site: Site, name: string): Tensor | undefined {
  const leaf = site.branch[name] as Tensor | undefined;
  if (leaf !== undefined) return mapped(site, name, leaf);
  const added = weightEdits(site, name).find((edit) => edit.adds !== undefined);
  if (added === undefined) return undefined;
  const { backend } = tensorsIn(added.map.params)[0]!;
  return mapped(site, name, zeros(added.adds!, backend));
}

/**
 * A small f32 vector, such as a norm's weight or a bias; converted to f32 when stored in another dtype.
 *
 * @example
 * ```ts
 * import { castTo, into, reference, rootOf, tensor, weightTree } from "@graft/peft";
 * import { vector } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const norm = castTo(tensor([1, 2], { backend: reference() }), "f16");
 * const site = into(rootOf(weightTree([["norm.weight", norm]])), "norm");
 * assert.equal(vector(site, "weight").dtype, "f32");
 * ```
 */
export function vector(site: Site, name: string): Tensor {
  return decoded(weight(site, name));
}

/**
 * RMSNorm at a site, with a bias if an edit has added one (the architectures have none). The stored parameter
 * is the weight minus `offset`.
 *
 * @example
 * ```ts
 * import { into, read, reference, rootOf, tensor, weightTree } from "@graft/peft";
 * import { rmsNormAt } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const site = into(rootOf(weightTree([["norm.weight", tensor([1, 10], { backend })]])), "norm");
 * assert.deepEqual([...await read(rmsNormAt(site, tensor([[2, -2]], { backend }), 0))], [1, -10]);
 * ```
 */
export function rmsNormAt(site: Site, x: Tensor, epsilon: number, offset = 0): Tensor {
  const learned = vector(site, "weight");
  const y = rmsNorm(x, offset === 0 ? learned : add(learned, offset), epsilon);
  const bias = optionalWeight(site, "bias");
  return bias === undefined ? y : add(y, decoded(bias));
}

function weightEdits(site: Site, name: string): readonly WeightEdit[] {
  return editsAt(site.branch, "weight").filter((edit) => edit.path === `${site.path}.${name}`);
}

/** The key depends on the leaf alone, so every use of a leaf in a pass draws the same random values. */
function mapped(site: Site, name: string, leaf: Tensor, inOut = false): Tensor {
  const edits = weightEdits(site, name);
  if (edits.length === 0) return leaf;
  const { train = false, key } = site.pass ?? {};
  const path = `${site.path}.${name}`;
  const draws = train && key !== undefined ? { train, key: fold(key, path) } : {};
  return edits.reduce((w, edit, i) => {
    const call = { weight: w, ...draws, ...draws.key && { key: fold(draws.key, i) } };
    const found = atPlace(path, () => edit.map.run(call));
    checkShape(path, found, w);
    return found;
  }, inOut && isQuantized(leaf.dtype) ? castWeight(leaf, "f32", inOut) : leaf);
}
