/** Ladder side-tuning: nothing flows back into the backbone, and what it costs in memory. */
import assert from "node:assert/strict";
import {
  adapt,
  dispose,
  graft,
  type GraphNode,
  keep,
  leaves,
  lookup,
  loss,
  memory,
  type Method,
  type Model,
  nest,
  read,
  scope,
  type Storage,
  type Tensor,
  tensor,
  type Tree,
  valueAndGrad,
  weightLeaves,
} from "../../core/mod.ts";
import { ladderSideTuning, lora, prunedSide } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { tinyGpt2, tinyLlama } from "../support/tiny_models.ts";

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

const shapes = (tree: Tree) => Object.fromEntries(leaves(tree).map(([path, t]) => [path, t.shape]));

Deno.test("prunedSide() gives what ladderSideTuning() starts from, whole at reduction 1", () =>
  assertNoLeak(async () => {
    for (const tiny of [tinyLlama, tinyGpt2]) {
      const model = tiny(reference(), 2);
      for (const reduction of [1, 2]) {
        const start = keep(await prunedSide(model, { reduction }));
        const made = keep(adapt(model, ladderSideTuning({ reduction }), 1).params);
        assert.deepEqual(shapes(start.tree), shapes(made.tree.side as Tree));
        if (reduction === 1) {
          const base = new Map(weightLeaves(model.weights));
          for (const [path, t] of leaves(start.tree)) {
            assert.deepEqual(await read(t), await read(base.get(path)!), path);
          }
        }
        made.dispose();
        start.dispose();
      }
      model.dispose();
    }
  }));

Deno.test("prunedSide() keeps the coordinates of largest importance, rotary pairs together", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 2);
    const [residual, inner, head] = [[0, 2, 3, 7, 8, 11], [1, 4, 5, 6, 9], [1, 3]];
    const heads = [0, 1, 2, 3].flatMap((h) => head.map((j) => 4 * h + j));
    // Only the outputs of o_proj, up_proj and v_proj matter; in a head the pair of 1 and 3 does by its second half.
    const loud = new Map([["o_proj", residual], ["up_proj", inner], ["v_proj", [3, 7]]]);
    const importance = keep(scope(() =>
      nest(
        model.spec.linears.map(({ path, inFeatures, outFeatures }) => {
          const rows = loud.get(path.split(".").at(-1)!) ?? [];
          const numbers = Array.from({ length: outFeatures }, (_, i) =>
            Array<number>(inFeatures).fill(rows.includes(i) ? 1 : 0));
          return [`${path}.weight`, tensor(numbers, { backend: model.backend })] as const;
        }),
      ) as Tree
    ));
    const side = keep(await prunedSide(model, { reduction: 2, importance: importance.tree }));
    const pick = async (path: string, rows: readonly number[], columns: readonly number[]): Promise<void> => {
      const whole = lookup(model.weights, path) as Tensor;
      const numbers = await read(whole);
      const expected = rows.flatMap((i) => columns.map((j) => numbers[i * whole.shape[1]! + j]!));
      assert.deepEqual([...await read(lookup(side.tree, path) as Tensor)], expected, path);
    };
    await pick("model.layers.1.self_attn.o_proj.weight", residual, heads);
    await pick("model.layers.0.self_attn.q_proj.weight", heads, residual);
    await pick("model.layers.0.self_attn.k_proj.weight", heads.slice(0, 4), residual);
    await pick("model.layers.0.mlp.gate_proj.weight", inner, residual);
    await pick("model.layers.1.mlp.down_proj.weight", residual, inner);
    const norm = await read(lookup(model.weights, "model.norm.weight") as Tensor);
    assert.deepEqual(
      [...await read(lookup(side.tree, "model.norm.weight") as Tensor)],
      residual.map((i) => norm[i]),
    );
    side.dispose();
    await assert.rejects(() => prunedSide(model, { importance: {} }), {
      message: "model.layers.0.self_attn.q_proj.weight: expected importance [16, 12] but found none",
    });
    importance.dispose();
    model.dispose();
  }));
