/** Ladder side-tuning: nothing flows back into the backbone, and what it costs in memory. */
import assert from "node:assert/strict";
import {
  adapt,
  dispose,
  graft,
  type GraphNode,
  keep,
  leaves,
  loss,
  memory,
  type Method,
  type Model,
  type Storage,
  type Tensor,
  type Tree,
  valueAndGrad,
  weightLeaves,
} from "../../core/mod.ts";
import { ladderSideTuning, lora } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { tinyLlama } from "../support/tiny_models.ts";

const SIZES = { width: 32, heads: 4, keyValueHeads: 2, headDim: 8, inner: 64, layers: 3 };
const ROW = [3, 1, 4, 1, 5, 9, 2, 6];
const BATCH = { inputIds: [ROW, ROW], labels: [ROW, ROW] };

/** Storages that the derivative of a loss holds, and the bytes alive when the forward pass is done. */
function afterForward(
  model: Model,
  method: Method,
): { readonly saved: ReadonlySet<Storage>; readonly live: number } {
  const params = keep(adapt(model, method, 1).params);
  const saved = new Set<Storage>();
  let live = 0;
  const before = memory(model.backend).live;
  const { value, gradients } = valueAndGrad((tracked: Tree) => {
    const result = loss(graft(model, { method, params: tracked }), BATCH, {});
    live = memory(model.backend).live - before;
    collect(result, saved);
    return result;
  })(params.tree);
  dispose([value, gradients]);
  params.dispose();
  return { saved, live };
}

function collect(t: Tensor, saved: Set<Storage>): void {
  const seen = new Set<GraphNode>();
  const stack = t.node === undefined ? [] : [t.node];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    for (const s of node.saved) saved.add(s.storage);
    for (const parent of node.parents) if (parent?.node !== undefined) stack.push(parent.node);
  }
}

Deno.test("ladderSideTuning() keeps no weight of the backbone but the head for its derivative", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 2, SIZES);
    const { saved } = afterForward(model, ladderSideTuning({ reduction: 4 }));
    const held = weightLeaves(model.weights).filter(([, t]) => saved.has(t.storage)).map(([path]) => path);
    assert.deepEqual(held, ["lm_head.weight"]);
    model.dispose();
  }));

Deno.test("ladderSideTuning() keeps a fraction for each layer of what backpropagation through it keeps", () =>
  assertNoLeak(() => {
    const perLayer = (method: Method): number => {
      const [two, four] = [2, 4].map((layers) => {
        const model = tinyLlama(reference(), 2, { ...SIZES, inner: 128, layers });
        const { live } = afterForward(model, method);
        model.dispose();
        return live;
      });
      return (four! - two!) / 2;
    };
    // A quarter of the widths, and one state of the backbone's own width; but a trained layer keeps its input too.
    const [side, through] = [perLayer(ladderSideTuning({ reduction: 4 })), perLayer(lora({ rank: 1 }))];
    assert.ok(side < 0.6 * through, `${side} of ${through} bytes a layer`);
  }));

Deno.test("ladderSideTuning() starts from weights that are given, the rest as layers start", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 2);
    const first = keep(adapt(model, ladderSideTuning({ reduction: 2 }), 1).params);
    const start = first.tree.side as Tree;
    const given = { model: { layers: { "1": ((start.model as Tree).layers as Tree)["1"]! } } };
    const second = keep(adapt(model, ladderSideTuning({ reduction: 2, start: given }), 9).params);
    const [a, b] = [new Map(leaves(first.tree)), new Map(leaves(second.tree))];
    for (const [path, t] of b) {
      assert.equal(t.storage === a.get(path)!.storage, path.startsWith("side.model.layers.1."), path);
    }
    second.dispose();
    first.dispose();
    model.dispose();
  }));

Deno.test("ladderSideTuning() refuses sizes that do not divide", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 2);
    const init = (reduction: number) => () => adapt(model, ladderSideTuning({ reduction }));
    assert.throws(init(5), { message: "Expected reduction to divide the width 12 but found 5" });
    assert.throws(init(4), {
      message:
        'Cannot divide the heads at "model.layers.0.self_attn" by 4: their size 4 must stay an even integer',
    });
    assert.throws(
      () => ladderSideTuning({ reduction: 0 }),
      /^RangeError: Expected reduction to be a positive integer/,
    );
    assert.throws(
      () => ladderSideTuning({ temperature: 0 }),
      /^RangeError: Expected temperature above 0 but found 0/,
    );
    model.dispose();
  }));
