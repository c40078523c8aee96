/** What prunedSide() keeps of a base, and that a ladder starts from it. */
import assert from "node:assert/strict";
import {
  adapt,
  keep,
  leaves,
  lookup,
  nest,
  read,
  scope,
  type Tensor,
  tensor,
  type Tree,
  weightLeaves,
} from "../../../core/mod.ts";
import { ladderSideTuning, prunedSide } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { tinyBert, tinyGemma, tinyGpt2, tinyLlama, tinyQwen3, tinyT5 } from "../../support/tiny_models.ts";

const shapes = (tree: Tree) => Object.fromEntries(leaves(tree).map(([path, t]) => [path, t.shape]));

Deno.test("prunedSide() gives what ladderSideTuning() starts from, whole at reduction 1", () =>
  assertNoLeak(async () => {
    const wholeHeads: typeof tinyT5 = (backend, key) => tinyT5(backend, key, { headDim: 4 });
    for (const tiny of [tinyLlama, tinyQwen3, tinyGemma, tinyGpt2, wholeHeads]) {
      const model = tiny(reference(), 2);
      for (const reduction of [1, 2]) {
        const start = keep(await prunedSide(model, { reduction }));
        const made = keep(adapt(model, ladderSideTuning({ reduction }), 1).params);
        assert.deepEqual(shapes(start.tree), shapes(made.tree["side"] as Tree));
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

Deno.test("prunedSide() gives what ladderSideTuning() starts from beside encoders with a head, too", () =>
  assertNoLeak(async () => {
    for (const family of ["bert", "roberta"] as const) {
      for (const head of ["classify", "tag", "mask"] as const) {
        const model = tinyBert(reference(), 2, { family, head });
        const start = keep(await prunedSide(model, { reduction: 2 }));
        const made = keep(adapt(model, ladderSideTuning({ reduction: 2, start: start.tree }), 1).params);
        const given = new Map(leaves(start.tree));
        for (const [path, t] of leaves(made.tree["side"] as Tree)) assert.equal(t, given.get(path), path);
        assert.deepEqual(shapes(start.tree), shapes(made.tree["side"] as Tree));
        made.dispose();
        start.dispose();
        model.dispose();
      }
    }
  }));
