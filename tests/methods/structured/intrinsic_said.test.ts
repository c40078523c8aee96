/**
 * Intrinsic SAID: the laws of methods, counts and what is refused; and a slow, literal transcription of its equation: dense Hadamard
 * matrices in doubles.
 */
import assert from "node:assert/strict";
import {
  adapt,
  type Backend,
  count,
  type Counts,
  dispose,
  fastfoodDraws,
  fold,
  forward,
  graft,
  key,
  leaves,
  lookup,
  type Model,
  nest,
  read,
  scope,
  setLeaves,
  type Synchronous,
  type Tensor,
  tensor,
  type Tree,
  weightLeaves,
} from "../../../core/mod.ts";
import {
  intrinsicSaid,
  type IntrinsicSaidOptions,
  saidPaths,
  saidScales,
} from "../../../methods/structured/intrinsic_said.ts";
import { freshModel } from "../../../models/mod.ts";
import { shapesOnly } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { BACKENDS, withBackend } from "../../support/backends.ts";
import { misfits } from "../../support/bad_options.ts";
import { laws } from "../../support/linear_laws.ts";
import { publishedCount, T5_BASE_LAYERS, trainableIn } from "../../support/published_counts.ts";
import { SIZES } from "../../support/published_shapes.ts";
import { tinyBert, tinyGemma, tinyGpt2, tinyLlama, tinyQwen3, tinyT5 } from "../../support/tiny_models.ts";

type Numbers = readonly number[];

/** (−1)^(number of bits that i and j share). */
function hadamard(k: number): readonly Numbers[] {
  const sign = (bits: number): number => bits === 0 ? 1 : (bits & 1 ? -1 : 1) * sign(bits >> 1);
  return Array.from({ length: k }, (_, i) => Array.from({ length: k }, (_, j) => sign(i & j)));
}

const times = (m: readonly Numbers[], x: Numbers): Numbers =>
  m.map((row) => row.reduce((sum, a, j) => sum + a * x[j]!, 0));

/** [H G Π H B pad(v)]_{1..D} / (√(K Σ G²) · √(D / K)), block after block. */
function literal(v: Numbers, signs: Numbers, order: Numbers, gaussian: Numbers, size: number): Numbers {
  const k = order.length;
  const h = hadamard(k);
  const padded = Array.from({ length: k }, (_, i) => v[i] ?? 0);
  const blocks = Array.from({ length: signs.length / k }, (_, block) => {
    const [b, g] = [signs, gaussian].map((t) => t.slice(block * k, (block + 1) * k)) as unknown as [
      Numbers,
      Numbers,
    ];
    const once = times(h, padded.map((x, i) => x * b[i]!));
    const twice = times(h, order.map((from, i) => once[from]! * g[i]!));
    const divisor = Math.sqrt(k * g.reduce((sum, x) => sum + x * x, 0)) * Math.sqrt(size / k);
    return twice.map((y) => y / divisor);
  });
  return blocks.flat().slice(0, size);
}

async function numbersOf(t: Tensor): Promise<Numbers> {
  return [...await read(t)];
}

/** The base's leaves moved by the transcription. */
async function movedLeaves(
  model: Model,
  backend: Backend,
  { seed = 0, blocks = "tensor", ...options }: IntrinsicSaidOptions,
  v: Numbers,
  scale: (path: string) => number,
): Promise<Readonly<Record<string, Tensor>>> {
  const entries: [string, Tensor][] = [];
  for (const path of saidPaths(model.spec, options)) {
    const base = lookup(model.weights, path) as Tensor;
    const block = 2 ** Math.ceil(Math.log2(blocks === "tensor" ? base.size : v.length));
    const draws = scope((): Synchronous<ReturnType<typeof fastfoodDraws>> =>
      fastfoodDraws(fold(key(seed), path), base.size, block, backend)
    );
    const [signs, order, gaussian] = [
      await numbersOf(draws.signs),
      await numbersOf(draws.permutation),
      await numbersOf(draws.gaussian),
    ];
    for (const t of Object.values(draws)) t.storage.free();
    assert.ok(signs.every((s) => Math.abs(s) === 1));
    assert.deepEqual([...order].sort((a, b) => a - b), order.map((_, i) => i));
    const step = literal(v, signs, order, gaussian, base.size);
    const values = (await numbersOf(base)).map((w, i) => w + scale(path) * step[i]!);
    entries.push([path, tensor(values, { backend, shape: base.shape })]);
  }
  return Object.fromEntries(entries);
}

const BATCH = { inputIds: [[1, 5, 3, 10], [2, 2, 7, 0]] };

async function logitsOf(model: Model): Promise<Float32Array> {
  const { logits } = forward(model, BATCH);
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
}

/** Which layer of a GPT-2 a leaf belongs to: blocks are numbered, tables stand before them, the last norm behind. */
function layerOf(path: string): string {
  const block = /^transformer\.h\.(\d+)\./.exec(path)?.[1];
  return `decoder.${block ?? (path.startsWith("transformer.ln_f.") ? "end" : "entrance")}`;
}

const FORMS: Readonly<Record<string, IntrinsicSaidOptions>> = {
  "the whole model": { dimension: 90 },
  "the whole model, with a scale for each layer": { dimension: 90, scales: "layer" },
  "a few weights in several blocks": {
    dimension: 9,
    parameters: /.*attn.*weight/,
    scales: "none",
    blocks: "vector",
    seed: 5,
  },
};

for (const backendName of BACKENDS) {
  for (const [name, options] of Object.entries(FORMS)) {
    Deno.test(`intrinsicSaid() of ${name} equals its equation (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        assertNoLeak(async () => {
          const model = tinyGpt2(backend, 3);
          const method = intrinsicSaid(options);
          const fresh = method.init({ model, key: 0 });
          assert.equal(leaves(fresh).reduce((n, [, t]) => n + t.size, 0), options.dimension);
          const values = leaves(fresh).map(([path, t], i): readonly [string, Numbers] => [
            path,
            Array.from({ length: t.size }, (_, j) => path === "v" ? 3 * Math.sin(j + 1) : 0.5 + (i % 4) / 4),
          ]);
          const params = nest(values.map(([path, x]) => [path, tensor(x, { backend })] as const)) as Tree;
          const numbers = new Map(values);
          const moved = await movedLeaves(
            model,
            backend,
            options,
            numbers.get("v")!,
            (path) => numbers.get(`scales.${options.scales === "layer" ? layerOf(path) : path}`)?.[0] ?? 1,
          );
          const expected = await logitsOf({
            ...model,
            weights: setLeaves(model.weights, Object.entries(moved)),
          });
          const base = await logitsOf(model);
          const found = await logitsOf(graft(model, { method, params }));
          assert.ok(Math.max(...found.map((y, i) => Math.abs(y - base[i]!))) > 0.1, "it moves the model");
          // 1e-5: f32 sums of the transforms, then of the model.
          assertClose(found, expected, 1e-5, "logits");
          for (
            const t of [
              ...Object.values(moved),
              ...[...leaves(fresh), ...leaves(params)].map(([, t]) => t),
            ]
          ) {
            t.storage.free();
          }
          model.dispose();
        })));
  }
}

Deno.test("intrinsicSaid() draws other projections for other tensors and seeds", () =>
  withBackend("reference", async (backend) => {
    const gaussian = async (seed: number, path: string): Promise<Numbers> => {
      const draws = scope((): Synchronous<ReturnType<typeof fastfoodDraws>> =>
        fastfoodDraws(fold(key(seed), path), 8, 8, backend)
      );
      const numbers = await numbersOf(draws.gaussian);
      for (const t of Object.values(draws)) t.storage.free();
      return numbers;
    };
    assert.deepEqual(await gaussian(0, "a"), await gaussian(0, "a"));
    assert.notDeepEqual(await gaussian(0, "a"), await gaussian(0, "b"));
    assert.notDeepEqual(await gaussian(0, "a"), await gaussian(1, "a"));
  }));

Deno.test("intrinsicSaid() leaves out no weight of the model by default", () =>
  withBackend("reference", (backend) => {
    const model = tinyGpt2(backend, 3);
    assert.deepEqual(
      [...saidPaths(model.spec, {})].sort(),
      weightLeaves(model.weights).map(([path]) => path).sort(),
    );
    model.dispose();
    return Promise.resolve();
  }));

Deno.test("intrinsicSaid() with a scale for each layer has room for the paper's 207 numbers of RoBERTa-large, and 896 of base", () => {
  // Blocks, what stands before them and what stands behind: 24 + 2 and 12 + 2.
  for (const [layers, width, heads, dimension] of [[24, 1024, 16, 207], [12, 768, 12, 896]] as const) {
    const model = freshModel({
      ...{ model_type: "roberta", architectures: ["RobertaForSequenceClassification"] },
      ...{ num_hidden_layers: layers, hidden_size: width, num_attention_heads: heads },
      ...{
        intermediate_size: 4 * width,
        vocab_size: 50265,
        max_position_embeddings: 514,
        type_vocab_size: 1,
      },
    }, { backend: shapesOnly(), key: 0 });
    const adapter = adapt(model, intrinsicSaid({ dimension, scales: "layer" }));
    const { base, trainable, changed } = count(model, adapter);
    assert.deepEqual([trainable, changed], [dimension, base]);
    const found = new Map(leaves(adapter.params).map(([path, t]) => [path, t.size]));
    assert.equal(found.get("v"), dimension - (layers + 2));
    found.delete("v");
    const names = [
      "entrance",
      ...Array.from({ length: layers }, (_, i) => `${i}`),
      "end",
    ].map((layer) => `scales.encoder.${layer}`);
    assert.deepEqual([...found.keys()].sort(), names.sort());
    assert.ok([...found.values()].every((size) => size === 1));
    dispose(adapter.params);
    // 5 tensors of the embeddings, 16 of each block, 4 of the head.
    const tensors = 5 + 16 * layers + 4;
    if (dimension < tensors) {
      assert.throws(() => adapt(model, intrinsicSaid({ dimension })), {
        name: "RangeError",
        message:
          `Expected a dimension above the ${tensors} scales of the tensors but found ${dimension}; with scales ` +
          `"layer" there are ${layers + 2}`,
      });
    } else dispose(adapt(model, intrinsicSaid({ dimension })).params);
    assert.throws(() => adapt(model, intrinsicSaid({ dimension: layers + 2, scales: "layer" })), {
      name: "RangeError",
      message: `Expected a dimension above the ${layers + 2} scales of the layers but found ${layers + 2}`,
    });
    model.dispose();
  }
});

Deno.test("saidScales() tells the layers of each family, of two stacks and of a few weights", () => {
  const layersOf = (model: Model, parameters?: RegExp): readonly string[] => {
    const found = saidScales(model.spec, { scales: "layer", ...parameters && { parameters } });
    model.dispose();
    return found.toSorted();
  };
  const of = (stack: string): readonly string[] =>
    ["0", "1", "end", "entrance"].map((at) => `${stack}.${at}`);
  for (const tiny of [tinyLlama, tinyQwen3, tinyGemma, tinyGpt2]) {
    assert.deepEqual(layersOf(tiny(reference(), 1)), of("decoder"));
  }
  for (const family of ["bert", "roberta"] as const) {
    for (const head of ["classify", "tag", "mask"] as const) {
      const found = layersOf(tinyBert(reference(), 1, { family, head }));
      // Scores of words of a tied head have a bias.
      assert.deepEqual(found, of("encoder"), `${family} ${head}`);
    }
  }
  // One table is read by both.
  assert.deepEqual(layersOf(tinyT5(reference(), 1)), [
    ...["decoder.0", "decoder.1", "decoder.end"],
    ...of("encoder"),
  ]);
  assert.deepEqual(layersOf(tinyLlama(reference(), 1), /.*q_proj\.weight/), ["decoder.0", "decoder.1"]);
});

Deno.test("intrinsicSaid() refuses more dimensions than weights that move", () => {
  const model = tinyGpt2(reference(), 1);
  const path = "transformer.ln_f.bias";
  const { size } = lookup(model.weights, path) as Tensor;
  const method = (dimension: number) => intrinsicSaid({ dimension, parameters: [path], scales: "none" });
  assert.throws(
    () => adapt(model, method(size + 1)),
    new RegExp(`a dimension up to the ${size} weights that move but found ${size + 1}`),
  );
  dispose(adapt(model, method(size)).params);
  model.dispose();
});

const said = (model: Model): Partial<Counts> => {
  const n = weightLeaves(model.weights).reduce((n, [, t]) => n + t.size, 0);
  return { trainable: 90, stored: 90, changed: n };
};
laws("intrinsicSaid() of the whole model", intrinsicSaid({ dimension: 90 }), said, { merges: "only" });
laws(
  "intrinsicSaid() with a scale for each layer",
  intrinsicSaid({ dimension: 90, scales: "layer" }),
  said,
  { merges: "only" },
);
laws(
  "intrinsicSaid() of a few weights in blocks, without scales",
  intrinsicSaid({
    dimension: 5,
    parameters: /.*(q_proj|c_attn)\.weight/,
    scales: "none",
    blocks: "vector",
    seed: 3,
  }),
  () => ({ trainable: 5 }),
  { merges: "only" },
);

misfits("intrinsicSaid()", [
  [() => intrinsicSaid({ dimension: 10 }), /above the \d+ scales/],
  [
    () => intrinsicSaid({ dimension: 9, parameters: ["none"] }),
    /matches? the parameters|match the parameters/,
  ],
  [
    () => intrinsicSaid({ dimension: 50, parameters: ["norm.weight", "model.norm.weight"] }),
    /weight once but "norm\.weight" and "model\.norm\.weight" are both "model\.norm\.weight"$/,
  ],
  [
    () => intrinsicSaid({ dimension: 50, parameters: ["norm.weight", "nrm.weight"] }),
    /^"nrm\.weight" of intrinsic-said matches no weight of the model$/,
  ],
]);
publishedCount("intrinsicSaid() has d parameters, 0.009 % of T5-base at 20,000", () => {
  const n = trainableIn(T5_BASE_LAYERS, intrinsicSaid({ dimension: 20_000 }));
  assert.equal(n, 20_000);
  assert.equal((100 * n / SIZES["T5-base"]).toFixed(3), "0.009");
});
