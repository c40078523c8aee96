/** Ladder side-tuning: the laws of methods, golden cases, nothing flows back into the backbone, and what it costs in memory. */
import assert from "node:assert/strict";
import { SMOLLM2 } from "../../../bench/peers/smollm2.ts";
import {
  adapt,
  type Adapter,
  at,
  compose,
  count,
  dispose,
  forward,
  generateIds,
  graft,
  type GraphNode,
  keep,
  leaves,
  loss,
  lossAndGrad,
  lossAndGradients,
  memory,
  type Method,
  type Model,
  nest,
  type Place,
  read,
  resetPeak,
  scaled,
  scope,
  type Storage,
  type Synchronous,
  type Tensor,
  type Tree,
  valueAndGrad,
  weightLeaves,
} from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import { ladderSideTuning, lora } from "../../../methods/mod.ts";
import { freshModel, type Task, taskConfig } from "../../../models/mod.ts";
import { shapesOnly } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { GOLDEN, goldenNumbers, goldenTensors } from "../../support/golden.ts";
import { methodIsGolden } from "../../support/golden_method.ts";
import { added, just, LAYERS, sum, WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { printedShares } from "../../support/published_counts.ts";
import { T5_BASE } from "../../support/published_shapes.ts";
import { tinyGpt2, tinyLlama, tinyT5 } from "../../support/tiny_models.ts";

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
    assert.ok(side < 0.6 * through, `${side} of ${through} bytes per layer`);
  }));

Deno.test("ladderSideTuning() starts from weights that are given, the rest as layers start", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 2);
    const first = keep(adapt(model, ladderSideTuning({ reduction: 2 }), 1).params);
    const start = first.tree["side"] as Tree;
    const given = { model: { layers: { "1": ((start["model"] as Tree)["layers"] as Tree)["1"]! } } };
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
      /^RangeError: Expected ladder-side-tuning.s option "reduction" to be a positive integer/,
    );
    assert.throws(
      () => ladderSideTuning({ temperature: 0 }),
      /^RangeError: Expected ladder-side-tuning.s option "temperature" to be a number above 0 but found 0/,
    );
    model.dispose();
  }));

Deno.test("ladderSideTuning() refuses places without a stack or without all its blocks", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 2);
    const only = (...kinds: readonly string[]) => (place: Place) =>
      kinds.includes(place.kind) || ("layer" in place && place.layer === 0);
    assert.throws(() => adapt(model, at(only(), ladderSideTuning({ reduction: 2 }))), {
      name: "RangeError",
      message: "Cannot place ladder-side-tuning on llama: it needs a stack but found none",
    });
    assert.throws(
      () => adapt(model, at(only("stack"), ladderSideTuning({ reduction: 2 }))),
      /^RangeError: Cannot place ladder-side-tuning on llama: block 1 of the stack "model" is not among its places/,
    );
    model.dispose();
  }));

Deno.test("a ladder's step holds at most half of what a LoRA step holds, in SmolLM2-135M at 1x128 tokens", () => {
  const model = freshModel(SMOLLM2, { backend: shapesOnly(), key: 0 });
  const ids = [Array.from({ length: 128 }, (_, t) => t)];
  const peak = (method: Method): number => {
    const adapter = adapt(model, method, 1);
    resetPeak();
    const before = memory(model.backend).live;
    const step = scope(() => lossAndGradients(model, adapter, { inputIds: ids, labels: ids }));
    const most = memory(model.backend).peak - before;
    dispose([step, adapter.params]);
    return most;
  };
  const [side, through] = [
    ladderSideTuning(),
    lora({ rank: 8, targets: ["q_proj", "k_proj", "v_proj", "o_proj"] }),
  ]
    .map((method) => peak(method as Method));
  assert.ok(side! <= 0.5 * through!, `${side} of ${through} bytes`);
  assert.ok(through! < 125e6, `${through} bytes: scores and their derivative stand in one place`);
  model.dispose();
});

const shapes = (tree: Tree) => Object.fromEntries(leaves(tree).map(([path, t]) => [path, t.shape]));

/** By tests/oracles/ladder_t5.py: blocks 0 left out, and greedy tokens of the first row. */
for (const name of ["reference", "wasm"] as const) {
  Deno.test(`ladderSideTuning() beside an encoder and a decoder equals a transcription around transformers' blocks (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const expected = goldenNumbers("ladder_t5/case.safetensors");
        const model = await loadModel(`${GOLDEN}ladder_t5/base`, { backend });
        const root = keep(scope((): Synchronous<Tree> =>
          nest(
            [...goldenTensors("ladder_t5/case.safetensors", backend)]
              .filter(([path]) => path.startsWith("param.")).map(([path, t]) => [path.slice(6), t] as const),
          ) as Tree
        ));
        const adapter = { method: ladderSideTuning({ reduction: 2, layers: [1, 2] }), params: root.tree };
        const made = adapt(model, adapter.method, 1);
        assert.deepEqual(shapes(made.params), shapes(root.tree));
        dispose(made.params);
        const batch = {
          inputIds: [[5, 9, 31, 2, 7], [36, 6, 9, 0, 0]],
          attentionMask: [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
          labels: [[4, 9, 30, 1], [6, 1, -100, -100]],
        };
        const tuned = graft(model, adapter);
        const { logits } = forward(tuned, batch);
        assertClose(await read(logits), expected.get("logits")!, 1e-5, "logits");
        logits.storage.free();
        const { loss, grads } = await lossAndGrad(model, adapter, batch);
        assertClose([loss], expected.get("loss")!, 1e-5, "loss");
        for (const [path, g] of leaves(grads)) {
          const given = expected.get(`grad.${path}`) ?? [0]; // gates of blocks left out
          assertClose(await read(g), given, 1e-4, `gradient of ${path}`);
        }
        dispose(grads);
        const written = new Int32Array(expected.get("written")!.buffer);
        const options = { maxNewTokens: 8, eos: [] };
        assert.deepEqual(await generateIds(tuned, batch.inputIds[0]!, options), [...written]);
        root.dispose();
        model.dispose();
      })));
}

Deno.test("ladderSideTuning() beside two stacks: each of two composed ladders reads its own encoder's, and half a ladder is half way", () =>
  assertNoLeak(async () => {
    const model = tinyT5(reference(), 3, { headDim: 4 });
    const [a, b] = [1, 2].map((key) => adapt(model, ladderSideTuning({ reduction: 2 }), key));
    const batch = { inputIds: [[3, 1, 4]], decoderInputIds: [[0, 5]] };
    const logits = async (adapter: Adapter): Promise<Float32Array> => {
      const { logits } = forward(graft(model, adapter), batch);
      const numbers = await read(logits) as Float32Array;
      logits.storage.free();
      return numbers;
    };
    const both = {
      method: compose({ a: a!.method, b: b!.method }) as Method,
      params: { a: a!.params, b: b!.params },
    };
    // Both read the backbone's blocks, and the later one's states go to the head.
    assertClose(await logits(both), await logits(b!), 1e-6, "composed");
    assert.ok(Math.abs((await logits(a!))[0]! - (await logits(b!))[0]!) > 1e-3);
    const plain = forward(model, batch).logits;
    const [base, whole] = [await read(plain) as Float32Array, await logits(b!)];
    plain.storage.free();
    const half = await logits({ method: scaled(b!.method, 0.5) as Method, params: b!.params });
    assertClose(half, base.map((x, i) => (x + whole[i]!) / 2), 1e-5, "half");
    dispose([a!.params, b!.params]);
    model.dispose();
  }));

Deno.test("ladderSideTuning() of T5-base at d/8 without blocks 0, 4 and 8 has 3,878,712 numbers, 1.74 %", () => {
  const model = freshModel(T5_BASE, { backend: shapesOnly(), key: 0 });
  const adapter = adapt(model, ladderSideTuning({ layers: [1, 2, 3, 5, 6, 7, 9, 10, 11] }));
  const { base, trainable } = count(model, adapter);
  assert.deepEqual([base, trainable], [222_903_552, 3_878_712]);
  const part = (...starts: readonly string[]): number =>
    leaves(adapter.params).filter(([path]) => starts.some((start) => path.startsWith(start)))
      .reduce((n, [, t]) => n + t.size, 0);
  assert.equal(part("side.encoder.block.", "side.decoder.block."), 2_326_752 + 768);
  assert.equal(part("encoder.downs.", "decoder.downs."), 1_328_832);
  assert.equal(part("encoder.first.", "decoder.first."), 147_648);
  assert.equal(part("up."), 74_496);
  assert.equal(part("encoder.gates.", "decoder.gates."), 24);
  assert.equal(part("side.encoder.final_layer_norm", "side.decoder.final_layer_norm"), 192);
  dispose(adapter.params);
  model.dispose();
});

Deno.test("ladderSideTuning() refuses blocks that no stack has", () => {
  const model = tinyLlama(reference(), 2);
  assert.throws(
    () => adapt(model, ladderSideTuning({ reduction: 2, layers: [1, 2] })),
    /^RangeError: Expected layers from 0 to 1 but found 2$/,
  );
  model.dispose();
});

Deno.test("ladderSideTuning() of a model with other blocks is refused by the block's name", () =>
  assertNoLeak(() => {
    const [model, other] = [tinyLlama(reference(), 2, SIZES), tinyGpt2(reference(), 2)];
    for (
      const [source, block] of [[other, "model.layers.0"], [
        tinyLlama(reference(), 2, { ...SIZES, layers: 2 }),
        "model.layers.2",
      ]] as const
    ) {
      const adapter = adapt(source, ladderSideTuning({ reduction: 2 }));
      assert.throws(() => graft(model, adapter), {
        name: "RangeError",
        message:
          `Cannot place ladder-side-tuning on llama: its side network has no block "${block}", so it was made for another model`,
      });
      dispose(adapter.params);
      source.dispose();
    }
    model.dispose();
  }));

/** A block of BERT at d/8: four products of d, the feed-forward part's two, two norms. */
const SIDE_OF_BERT =
  ((d, m, layers): number =>
    layers * (4 * (d * d + d) + (m * d + m) + (d * m + d) + 2 * 2 * d) + // blocks
    (layers + 1) * (768 * d + d) + (d * 768 + 768) + layers)(96, 384, 12); // downs, up, gates

Deno.test("ladderSideTuning() of BERT-base and RoBERTa at d/8 has blocks, ways down and up and gates, and nothing else", () => {
  const sizes = {
    hidden_size: 768,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    intermediate_size: 3072,
    max_position_embeddings: 514,
  };
  for (const [model_type, vocab_size] of [["bert", 30522], ["roberta", 50265]] as const) {
    const tasks: readonly Task[] = [
      { kind: "classify", names: ["no", "yes"] },
      { kind: "tag", names: ["O", "B"] },
      { kind: "mask" },
      { kind: "embed" },
    ];
    for (const task of tasks) {
      const config = taskConfig({ model_type, vocab_size, ...sizes }, task);
      const model = freshModel(config, { backend: shapesOnly(), key: 0 });
      const adapter = adapt(model, ladderSideTuning());
      assert.equal(count(model, adapter).trainable, SIDE_OF_BERT, `${model_type} ${task.kind}`);
      const outside = leaves(adapter.params["side"] as Tree).map(([path]) => path)
        .filter((path) => !path.includes("encoder.layer."));
      assert.deepEqual(outside, []);
      dispose(adapter.params);
      model.dispose();
    }
  }
});

/** Blocks and last norm at half the size, L + 1 downs, one up, L gates. */
methodLaws("ladderSideTuning()", {
  method: just(ladderSideTuning({ reduction: 2 })),
  atInit: "other",
  merges: "no",
  counts: ({ spec }) => {
    const linears = sum(
      spec.linears.map((p) => (p.inFeatures / 2) * (p.outFeatures / 2) + (p.bias ? p.outFeatures / 2 : 0)),
    );
    const norms = sum(spec.norms.map((p) => (p.bias ? 2 : 1) * p.width / 2));
    const downs = (LAYERS + 1) * (6 * WIDTH + 6);
    return added(linears + norms + downs + (WIDTH * 6 + WIDTH) + LAYERS);
  },
});
methodLaws("ladderSideTuning() with a block left out", {
  method: just(ladderSideTuning({ reduction: 2, layers: [1] })),
  atInit: "other",
  merges: "no",
  counts: () => ({}),
  noGradient: [{
    leaves: /(^|\.)gates\.0$/,
    because:
      "A block that is left out keeps its gate, which the released code has and the paper's 1.74 % counts.",
  }],
});

Deno.test("ladderSideTuning() equals a transcription around transformers' blocks", () =>
  methodIsGolden("ladder", ladderSideTuning({ reduction: 3 })));

printedShares("ladderSideTuning()", [["ladder side-tuning, T5-base d/8", 3_878_712, "T5-base", "1.74"]]);
