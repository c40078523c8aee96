/**
 * BOFT: the laws of methods, golden cases of PEFT (tests/oracles/reparam.py), counts, a base in four bits and what is refused.
 * Its dropout: in a training pass ⌊p · n⌋ blocks of one factor stand still, both drawn. PEFT draws them from PyTorch's generator,
 * so what is drawn is judged, not which.
 */
import assert from "node:assert/strict";
import {
  adapt,
  dispose,
  forward,
  graft,
  keep,
  key,
  type LinearMap,
  mapTree,
  type Model,
  nest,
  type PassCall,
  read,
  type Tensor,
  tensor,
  type Tree,
} from "../../../core/mod.ts";
import { boft } from "../../../methods/mod.ts";
import { multiply, normal, ones } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, laws } from "../../support/linear_laws.ts";
import { onCodes } from "../../support/on_codes.ts";
import { ONE_LAYER, publishedCount, trainableIn } from "../../support/published_counts.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

const PATH = "model.layers.0.self_attn.q_proj"; // [16, 16]
const BLOCKS = 4;

/** What BOFT of these blocks does to the layer's input. */
function inputChange(model: Model, r: Tensor, dropout: number) {
  const options = { blocks: { count: BLOCKS }, factors: r.shape[0]!, targets: [PATH], dropout };
  const params = nest([[`${PATH}.r`, r], [`${PATH}.s`, ones([16], r.backend)]]) as Tree;
  const [edit] = boft(options).edits(params, model.spec);
  assert.ok(edit?.kind === "linear" && edit.change.form === "input");
  return edit.change;
}

const numbers = async (map: LinearMap): Promise<string> => {
  const root = keep(map.weight());
  const text = (await read(root.tree)).map((x) => Math.round(1e5 * x)).join();
  root.dispose();
  return text;
};

/** Every way to hold `out` of the factor's blocks still, by the matrix that it gives. */
async function possible(model: Model, r: Tensor): Promise<ReadonlyMap<string, string>> {
  const ways = new Map<string, string>();
  for (let factor = 0; factor < r.shape[0]!; factor++) {
    for (let one = 0; one < BLOCKS; one++) {
      for (let other = 0; other < one; other++) {
        const out = [one, other].map((block) => factor * BLOCKS + block);
        const mask = Float32Array.from({ length: r.shape[0]! * BLOCKS }, (_, i) => out.includes(i) ? 0 : 1);
        const root = keep(
          multiply(r, tensor(mask, { backend: r.backend, shape: [r.shape[0]!, BLOCKS, 1, 1] })),
        );
        ways.set(await numbers(inputChange(model, root.tree, 0).map), `${factor}: ${other}, ${one}`);
        root.dispose();
      }
    }
  }
  return ways;
}

for (const factors of [1, 2, 3]) {
  Deno.test(`boft() with dropout ½ holds two of four blocks still, of one of ${factors} factors, each pair in turn`, async () => {
    const model = tinyLlama(reference(), 1, { width: 16 });
    const r = normal(key(2), [factors, BLOCKS, 4, 4], model.backend, 0.3);
    const ways = await possible(model, r);
    assert.equal(ways.size, factors * 6);
    const change = inputChange(model, r, 0.5);
    const seen = new Set<string>();
    for (let seed = 0; seed < 150; seed++) {
      const call = { train: true, key: key(seed) } as PassCall;
      const way = ways.get(await numbers(change.dropped!.run(call)));
      assert.ok(way, `key ${seed}`);
      seen.add(way);
    }
    assert.equal(seen.size, factors * 6);
    assert.ok(!ways.has(await numbers(change.map)), "in evaluation all rotate");
  });
}

Deno.test("boft() without enough dropout for a block has none, and refuses a share of one", () => {
  const model = tinyLlama(reference(), 1, { width: 16 });
  assert.equal(inputChange(model, ones([1, BLOCKS, 4, 4], model.backend), 0.24).dropped, undefined);
  assert.throws(
    () => boft({ dropout: 1 }),
    /^RangeError: Expected boft's option "dropout" to be a number from 0 up to 1 but found 1$/,
  );
});

Deno.test("boft() drops in a training pass with a key alone, as the key says", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const method = boft({ blocks: { count: 3 }, dropout: 0.4 });
    const start = adapt(model, method);
    const params = keep(mapTree(start.params, (t, path) => normal(key(path.length), t.shape, t.backend)));
    const logits = async (options: Parameters<typeof forward>[2]): Promise<string> => {
      const { logits } = forward(
        graft(model, { method, params: params.tree }),
        { inputIds: [[1, 2, 3]] },
        options,
      );
      const text = (await read(logits)).join();
      dispose(logits);
      return text;
    };
    const still = await logits({});
    assert.equal(await logits({ train: true, key: key(1) }), await logits({ train: true, key: key(1) }));
    assert.notEqual(await logits({ train: true, key: key(1) }), still);
    assert.notEqual(await logits({ train: true, key: key(1) }), await logits({ train: true, key: key(2) }));
    params.dispose();
    dispose(start.params);
    model.dispose();
  }));

laws("boft()", boft({ blocks: { size: 2 }, ...ALL }), each(ALL, (i, o) => i * 2 + o), { merges: "only" });
laws("boft() of two factors", boft({ blocks: { size: 2 }, factors: 2 }), each({}, (i, o) => 2 * i * 2 + o), {
  merges: "only",
});

goldenMethods({
  boft: boft({ blocks: { size: 4 }, targets: TARGETS }),
  boft_two: boft({ blocks: { size: 2 }, factors: 2, targets: TARGETS }),
  boft_three: boft({ blocks: { count: 4 }, factors: 3, targets: ["q_proj", "v_proj", "o_proj"] }),
});

misfits("boft()", [
  [() => boft({ blocks: { size: 4 }, factors: 3 }), /3 butterfly factors on .* its 3 blocks of 4/],
]);
onCodes({ "boft()": boft({ blocks: { size: 4 } }) });
publishedCount(
  "boft() has the numbers of its formula",
  () => assert.equal(trainableIn(ONE_LAYER, boft({ blocks: { size: 8 }, factors: 3 })), 3 * 768 * 8 + 768),
);
