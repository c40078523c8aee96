/** Hidden states, with the edits at them. */
import type { Tensor } from "../../tensor/mod.ts";
import { add } from "../../ops/mod.ts";
import type { HiddenCall } from "../edits/edit.ts";
import { atPlace } from "../trees/edit_checks.ts";
import { callAt, keyed, type Pass } from "./pass.ts";
import { editsAt, type Site } from "../trees/weights.ts";

/**
 * The hidden state y after the edits at its site. `norm` is the norm that follows in a post-norm block.
 *
 * @example
 * ```ts
 * import { fn, freshModel, type HiddenEdit, into, read, reference, rootOf, smallConfig, withEdits } from "@graft/peft";
 * import { hidden } from "@graft/peft/core";
 * import { barePass } from "@graft/peft/models";
 * import { ones } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const plain = freshModel(smallConfig("llama"), { backend, key: 0 });
 * const edit: HiddenEdit = {
 *   kind: "hidden",
 *   path: "model.layers.0",
 *   reads: "output",
 *   delta: fn({ by: ones([16], backend) }, ({ by }) => by),
 * };
 * const weights = withEdits(plain.weights, [edit], "plus one");
 * const [site, x] = [into(rootOf(weights), "model", "layers", 0), ones([1, 1, 16], backend)];
 * const y = hidden(barePass(plain, {}), site, { x, skip: x }, x);
 * assert.equal((await read(y))[0], 2);
 * ```
 */
export function hidden(
  pass: Pass,
  site: Site,
  around: { readonly x: Tensor; readonly skip: Tensor | undefined; readonly norm?: (t: Tensor) => Tensor },
  y: Tensor,
): Tensor {
  const edits = editsAt(site.branch, "hidden");
  if (edits.length === 0) return y;
  const call = callAt(pass, site.path);
  const norm = around.norm ?? ((t: Tensor) => t);
  return edits.reduce((state, edit, i) => {
    const here: HiddenCall = { ...keyed(call, "hidden", i), x: around.x, skip: around.skip, norm, y: state };
    return atPlace(site.path, () => add(state, edit.delta.run(here)));
  }, y);
}
