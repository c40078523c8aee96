/** EVA: PEFT's ranks, scales and directions, with its minibatch SVD exact; the randomized one is near. */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Batch,
  dispose,
  forward,
  graft,
  leaves,
  lookup,
  memory,
  read,
  type Tensor,
} from "../../../core/mod.ts";
import { eva, type EvaOptions, loraScale } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";
import { GOLDEN, goldenNumbers } from "../../support/golden.ts";
import { goldenBase } from "../../support/golden_method.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

const { batches, cases }: {
  readonly batches: readonly Batch[];
  readonly cases: Readonly<Record<string, { ranks: Record<string, number>; scales: Record<string, number> }>>;
} = JSON.parse(Deno.readTextFileSync(`${GOLDEN}eva/eva.json`));

const MANY = ["q_proj", "v_proj", "o_proj", "down_proj", "gate_proj"];
const OPTIONS: Readonly<Record<string, EvaOptions>> = {
  eva: { rank: 2, alpha: 3, targets: MANY, spread: 2, threshold: 0.99 },
  eva_few: { rank: 1, alpha: 3, targets: MANY, spread: 4, threshold: 0.95 },
  eva_half: { rank: 1, alpha: 3, targets: MANY, spread: 2.5, threshold: 0.9 },
  eva_uniform: { rank: 3, alpha: 3, targets: ["q_proj", "v_proj", "down_proj"], spread: 1, threshold: 0.9 },
};

const present = (ranks: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(ranks).filter(([, rank]) => rank > 0));

for (const name of ALL_BACKENDS) {
  for (const [golden, options] of Object.entries(OPTIONS)) {
    Deno.test(`eva() finds what PEFT finds: ${golden} (${name})`, () =>
      withBackend(name, async (backend) => {
        const model = await goldenBase(backend);
        const before = memory(backend).live;
        const { adapter, ranks } = await eva(model, batches, { ...options, svd: "exact" });
        const { ranks: wanted, scales } = cases[golden]!;
        assert.deepEqual(present(ranks), wanted);
        const expected = goldenNumbers(`eva/${golden}.safetensors`);
        for (const path of Object.keys(wanted)) {
          const a = lookup(adapter.params, `${path}.a`) as Tensor;
          // 1e-3: directions of a running f32 decomposition; PEFT keeps its means in f64.
          assertClose(await read(a), expected.get(`${path}.a`)!, 1e-3, path);
          assert.ok(Math.abs(loraScale(path, adapter.method.config) - scales[path]!) < 1e-6);
        }
        await assertUnchanged(model, adapter);
        dispose(adapter.params);
        assert.equal(memory(backend).live, before);
        model.dispose();
      }));
  }
}

async function assertUnchanged(model: Parameters<typeof forward>[0], adapter: Adapter): Promise<void> {
  const logits = await Promise.all([model, graft(model, adapter)].map(async (m) => {
    const { logits } = forward(m, batches[0]!);
    const numbers = await read(logits);
    logits.storage.free();
    return numbers;
  }));
  assert.deepEqual(logits[1], logits[0]);
}

Deno.test("eva() by randomized SVD is near the exact one and a function of the key", async () => {
  const model = await goldenBase(reference());
  const options = OPTIONS["eva"]!;
  const exact = await eva(model, batches, { ...options, svd: "exact" });
  const near = await eva(model, batches, { ...options, key: 1 });
  const again = await eva(model, batches, { ...options, key: 1 });
  assert.deepEqual(near.ranks, exact.ranks);
  for (const [i, [path, t]] of leaves(near.adapter.params).entries()) {
    assert.deepEqual(await read(leaves(again.adapter.params)[i]![1]), await read(t));
    if (path.endsWith(".a")) {
      const other = await read(lookup(exact.adapter.params, path) as Tensor);
      const own = await read(t);
      const cosine = own.reduce((sum, x, j) => sum + x * other[j]!, 0) / t.shape[0]!;
      assert.ok(cosine > 0.95, `${path}: ${cosine}`);
    }
  }
  for (const { adapter } of [exact, near, again]) dispose(adapter.params);
  model.dispose();
});

Deno.test("eva() leaves out tokens that are padding or have no label", async () => {
  const model = await goldenBase(reference());
  const changed = batches.map(({ inputIds, attentionMask, labels }) => ({
    // Padding stands at the end of a row, so other tokens do not see it.
    inputIds: inputIds.map((row, b) => row.map((id, t) => attentionMask![b]![t] === 0 ? (id + 1) % 37 : id)),
    attentionMask: attentionMask!,
    labels: labels!,
  }));
  const options: EvaOptions = { ...OPTIONS["eva"]!, svd: "exact" };
  const [one, two] = [await eva(model, batches, options), await eva(model, changed, options)];
  const all = await eva(model, batches, { ...options, tokens: "all" });
  for (const [i, [path, t]] of leaves(one.adapter.params).entries()) {
    assert.deepEqual(await read(leaves(two.adapter.params)[i]![1]), await read(t), path);
  }
  const [some, every] = [one, all].map(({ adapter }) => leaves(adapter.params)[0]![1]);
  assert.notDeepEqual(await read(every!), await read(some!));
  for (const { adapter } of [one, two, all]) dispose(adapter.params);
  model.dispose();
});

Deno.test("eva() starts a head too", async () => {
  const model = await goldenBase(reference());
  const { adapter, ranks } = await eva(model, batches, {
    rank: 1,
    targets: ["down_proj", "lm_head"],
    svd: "exact",
  });
  assert.deepEqual(Object.keys(ranks).sort(), [
    "lm_head",
    "model.layers.0.mlp.down_proj",
    "model.layers.1.mlp.down_proj",
  ]);
  assert.equal(Object.values(ranks).reduce((a, b) => a + b), 3);
  await assertUnchanged(model, adapter);
  dispose(adapter.params);
  model.dispose();
});

Deno.test("eva() says why it cannot", async () => {
  const model = await goldenBase(reference());
  const before = memory(model.backend).live;
  const options = OPTIONS["eva"]!;
  await assert.rejects(eva(model, [], options), /no batches/);
  await assert.rejects(
    eva(model, batches, { ...options, targets: ["embed_tokens"] }),
    /embedding "model.embed_tokens" by EVA/,
  );
  await assert.rejects(
    eva(model, batches, { ...options, maxBatches: 2 }),
    /have not settled after 2 batches/,
  );
  const short = [{ inputIds: [[1, 2]], labels: [[-100, 2]] }];
  await assert.rejects(
    eva(model, short, { ...options, maxBatches: 3 }),
    /Cannot find 4 directions .* no batch has that many tokens/,
  );
  await assert.rejects(eva(model, batches, { ...options, spread: 0.5 }), /spread to be 1 or more/);
  assert.equal(memory(model.backend).live, before);
  model.dispose();
});

Deno.test("eva() refuses the ranks that lora() refuses, before it looks at a batch", async () => {
  const model = tinyLlama(reference(), 1);
  for (const rank of [0, -1, 1.5, NaN]) {
    await assert.rejects(
      eva(model, [{ inputIds: [[1, 2, 3]] }], { rank }),
      {
        name: "RangeError",
        message: `Expected lora's option "rank" to be a positive integer of at most 65536 but found ${rank}`,
      },
    );
  }
  model.dispose();
});
