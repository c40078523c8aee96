/**
 * S4: the laws of methods, counts within its budget, training and what is refused. Its groups of blocks: a spindle wherever there is one,
 * N₁ < N₂ = N₃ > N₄ (arXiv 2301.01821, section 4).
 */
import assert from "node:assert/strict";
import { adapt, dispose, leaves, type Tree } from "../../../core/mod.ts";
import { spindle } from "../../../methods/hybrids/s4_sizes.ts";
import { s4 } from "../../../methods/mod.ts";
import { freshModel, smallConfig } from "../../../models/mod.ts";
import { shapesOnly } from "../../../ops/mod.ts";
import { s4Groups } from "../../../methods/shared/model_sizes.ts";
import { badOptions } from "../../support/bad_options.ts";
import { just, sum, WIDTH } from "../../support/law_counts.ts";
import { lowersLoss } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { trainableOf } from "../../support/published_counts.ts";
import { T5_BASE } from "../../support/published_shapes.ts";

type Four = readonly [number, number, number, number];

const isSpindle = ([a, b, c, d]: Four): boolean => a >= 1 && d >= 1 && a < b && b === c && c > d;

/** Every split of so many blocks into a spindle, by trial. */
function spindlesOf(blocks: number): readonly Four[] {
  const found: Four[] = [];
  for (let first = 1; first < blocks; first++) {
    for (let middle = first + 1; first + 2 * middle < blocks; middle++) {
      const split = [first, middle, middle, blocks - first - 2 * middle] as const;
      if (isSpindle(split)) found.push(split);
    }
  }
  return found;
}

/** What was chosen before some counts were no spindles: right wherever it is one. */
function before(blocks: number): Four {
  const end = Math.round(blocks / 6);
  const middle = Math.floor((blocks - 2 * end) / 2);
  return [blocks - 2 * middle - end, middle, middle, end];
}

Deno.test("s4() splits 4 to 200 blocks into the spindle whose ends are most alike and nearest to a sixth", () => {
  for (let blocks = 4; blocks <= 200; blocks++) {
    const all = spindlesOf(blocks);
    if (all.length === 0) {
      assert.throws(
        () => spindle(blocks),
        (error: Error) =>
          error instanceof RangeError && error.message.includes(`since ${blocks} blocks cannot be split`),
      );
      continue;
    }
    const found = spindle(blocks);
    assert.equal(found.reduce((a, b) => a + b, 0), blocks);
    assert.ok(isSpindle(found), `${blocks}: ${found}`);
    const uneven = ([a, , , d]: Four): number => Math.abs(a - d);
    assert.equal(uneven(found), Math.min(...all.map(uneven)), `${blocks}: the ends of ${found}`);
    assert.ok(found[0] >= found[3], `${blocks}: the first group takes what is left over`);
    const alike = all.filter((split) => uneven(split) === uneven(found) && split[0] >= split[3]);
    const off = ([, , , d]: Four): number => Math.abs(6 * d - blocks);
    assert.equal(off(found), Math.min(...alike.map(off)), `${blocks}: the last of ${found}`);
    if (isSpindle(before(blocks))) assert.deepEqual(found, before(blocks), "what was right stays");
  }
});

Deno.test("s4() of 9, 11 and 15 blocks is a spindle, of 12 and 24 as before, and of 7 blocks refused by the count", () => {
  const expected: readonly (readonly [number, Four])[] = [
    [6, [1, 2, 2, 1]],
    [8, [1, 3, 3, 1]],
    [9, [2, 3, 3, 1]],
    [11, [2, 4, 4, 1]],
    [12, [2, 4, 4, 2]],
    [15, [3, 5, 5, 2]],
    [24, [4, 8, 8, 4]],
  ];
  for (const [blocks, sizes] of expected) {
    const model = freshModel(smallConfig("gpt2", { layers: blocks }), { backend: shapesOnly(), key: 0 });
    const { params } = adapt(model, s4({ budget: 1000 * blocks }));
    const found = Object.values(params["decoder"] as Tree).map((group) =>
      new Set(leaves(group as Tree).map(([path]) => /\.h\.(\d+)\./.exec(path)![1])).size
    );
    assert.deepEqual(found, [...sizes], `${blocks} blocks`);
    dispose(params);
    model.dispose();
  }
  for (const blocks of [4, 5, 7]) {
    const model = freshModel(smallConfig("gpt2", { layers: blocks }), { backend: shapesOnly(), key: 0 });
    assert.throws(
      () => adapt(model, s4({ budget: 1000 * blocks })),
      (error: Error) =>
        error instanceof RangeError && error.message.startsWith(`Expected groups, since ${blocks} blocks `),
    );
    // The command line has groups for these, narrow at both ends.
    const groups = s4Groups(model.spec)!;
    assert.equal(groups.reduce((a, b) => a + b, 0), blocks);
    dispose(adapt(model, s4({ budget: 1000 * blocks, groups })).params);
    model.dispose();
  }
});

Deno.test("s4() without groups wants four lists of parts", () => {
  assert.throws(() => s4({ budget: 9, parts: [["lora"], ["adapter"]] }), {
    name: "RangeError",
    message: "Expected as many groups as lists of parts, 2, but found 4",
  });
});

methodLaws("s4()", {
  method: just(
    s4({ budget: 900, groups: [1, 1], parts: [["adapter", "lora"], ["prefix", "bitfit", "lora"]] }),
  ),
  atInit: "other",
  merges: "no",
  unlikeDifferences: (path) => path.includes(".adapter.") && path.includes(".down."), // before the ReLU's corner
  // 450 per block: 225 for r (2 d + 1) + d and for LoRA's r; biases first, then half of the rest each.
  counts: ({ spec }) => {
    const per = (role: string): number =>
      sum(
        spec.linears.filter((p) => p.layer === 1 && p.role === role).map((p) => p.inFeatures + p.outFeatures),
      );
    const lora = per("query") + per("value") + per("qkv");
    const biases = sum(spec.linears.filter((p) => p.layer === 1).map((p) => p.outFeatures)) +
      sum(spec.norms.filter((p) => p.layer === 1).map((p) => p.width));
    const prefix = sum(
      spec.attentions.filter((p) => p.layer === 1).map((p) => 2 * p.keyValueHeads * p.headDim),
    );
    const most = (each: number, unit: number): number => Math.floor(each / unit) * unit;
    const rest = (450 - biases) / 2;
    return {
      trainable: WIDTH + most(225 - WIDTH, 2 * WIDTH + 1) + most(225, lora) + biases + most(rest, prefix) +
        most(rest, lora),
    };
  },
});

const BERT_BASE = {
  model_type: "bert",
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  intermediate_size: 3072,
  vocab_size: 30522,
  max_position_embeddings: 512,
  type_vocab_size: 2,
  architectures: ["BertModel"],
} as const;
const ROBERTA_BASE = {
  ...BERT_BASE,
  model_type: "roberta",
  vocab_size: 50265,
  max_position_embeddings: 514,
  type_vocab_size: 1,
  pad_token_id: 1,
  architectures: ["RobertaModel"],
} as const;

Deno.test("s4() spends at most its budget, the same share on each block, whatever the group", () => {
  for (const config of [ROBERTA_BASE, T5_BASE]) {
    const base = config === T5_BASE ? 222_903_552 : 124_645_632;
    const budget = Math.floor(0.005 * base);
    const n = trainableOf(config, s4({ budget }));
    assert.ok(n <= budget && n > 0.9 * budget, `${n} of ${budget}`);
  }
});

Deno.test("s4() says the least and the largest budget, each of which it takes", () => {
  // d = 768. Group 4 needs most: q, k, v, output, down, two norms and up have biases, LoRA of rank 1 has 2 (768 + 768).
  const least = 12 * (7 * 768 + 3072 + 2 * 3072);
  const most = 12 * 2 * (768 + 769 * 1537) - 1; // groups 1 and 2, one number below two bottlenecks of 769
  const model = freshModel(BERT_BASE, { backend: shapesOnly(), key: 0 });
  const room = `from ${least} to ${most} for the 12 blocks of this model but found`;
  const refused = (budget: number, where: string): void => {
    const message = `Expected budget ${room} ${budget}: ${where}`;
    assert.throws(
      () => s4({ budget }).init({ model, key: 0 }),
      (error: Error) => error instanceof RangeError && error.message.startsWith(message),
      message,
    );
  };
  refused(1, "less is too little for prefix, bitfit, lora in encoder block 11");
  refused(least - 1, "less is too little for prefix, bitfit, lora in encoder block 11");
  refused(most + 1, "more makes a bottleneck of adapter, lora in encoder block 1 wider than the block");
  refused(1e12, "more makes a bottleneck of adapter, lora in encoder block 1 wider than the block");
  for (const budget of [least, most]) {
    const n = trainableOf(BERT_BASE, s4({ budget }));
    assert.ok(n <= budget && n > 0.7 * budget, `${n} of ${budget}`);
  }
  const narrow: Parameters<typeof s4>[0] = {
    budget: 9,
    groups: [6, 6],
    parts: [["bitfit"], ["bitfit", "lora"]],
  };
  assert.throws(
    () => s4(narrow).init({ model, key: 0 }),
    /^RangeError: Expected budget at least 138240 for the 12 blocks of this model but found 9/,
  );
  assert.throws(() => s4({ budget: 9, groups: [12], parts: [[]] }), /group 1 has \[\]/);
  assert.throws(
    () => s4({ budget: 9, groups: [12], parts: [["lora", "lora"]] }),
    /group 1 has \[lora, lora\]/,
  );
  model.dispose();
});

Deno.test("s4() puts adapter and LoRA in two blocks, adapter and prefix in four, with biases in four, prefix, biases and LoRA in two", () => {
  const model = freshModel(
    {
      model_type: "roberta",
      hidden_size: 24,
      num_hidden_layers: 12,
      num_attention_heads: 2,
      intermediate_size: 30,
      vocab_size: 11,
      max_position_embeddings: 20,
      type_vocab_size: 1,
      pad_token_id: 1,
      architectures: ["RobertaModel"],
    },
    { backend: shapesOnly(), key: 0 },
  );
  const params = s4({ budget: 12 * 1000 }).init({ model, key: 0 });
  const found = new Map<string, Set<number>>();
  for (const [path] of leaves(params)) {
    const [, group, part] = /^encoder\.(\d)\.(\w+)\./.exec(path)!;
    const layer = Number(/layer\.(\d+)/.exec(path)![1]);
    found.set(`${group} ${part}`, (found.get(`${group} ${part}`) ?? new Set()).add(layer));
  }
  assert.deepEqual(Object.fromEntries([...found].map(([at, layers]) => [at, [...layers]])), {
    "1 adapter": [0, 1],
    "1 lora": [0, 1],
    "2 adapter": [2, 3, 4, 5],
    "2 prefix": [2, 3, 4, 5],
    "3 adapter": [6, 7, 8, 9],
    "3 prefix": [6, 7, 8, 9],
    "3 bitfit": [6, 7, 8, 9],
    "4 prefix": [10, 11],
    "4 bitfit": [10, 11],
    "4 lora": [10, 11],
  });
  dispose(params);
  model.dispose();
});

lowersLoss(
  "s4",
  s4({ budget: 900, groups: [1, 1], parts: [["adapter", "lora"], ["prefix", "bitfit", "lora"]] }),
);
badOptions("s4()", [
  [() => s4({ budget: 0 }), /Expected s4.s option "budget" to be a positive integer but found 0/],
  [() => s4({ budget: 9, groups: [1] }), /Expected as many groups as lists of parts, 4/],
]);
