/** loreft(): the laws of methods, golden cases, counts that papers print, training and what is refused. */
import assert from "node:assert/strict";
import {
  type Batch,
  dispose,
  fold,
  forward,
  graft,
  keep,
  key,
  leaves,
  mapTree,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tree,
} from "../../../core/mod.ts";
import { loreft } from "../../../methods/mod.ts";
import { add, normal } from "../../../ops/mod.ts";
import { adapterHubCase } from "../../support/adapter_hub_case.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { badOptions, needsPlaces } from "../../support/bad_options.ts";
import { addedToOnes } from "../../support/bottleneck_starts.ts";
import { added, just, LAYERS, WIDTH } from "../../support/law_counts.ts";
import { lowersLoss, noisy } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { countsOf, printedShares, publishedCount, trainableOf } from "../../support/published_counts.ts";
import { LLAMA_7B } from "../../support/published_shapes.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

for (const ends of ["tied", "apart"] as const) {
  methodLaws(`loreft() with ends ${ends}`, {
    method: just(loreft({ rank: 3, first: 1, last: 2, ends, dropout: 0.2 })),
    atInit: "other",
    merges: "no",
    looksAhead: true, // where a text ends
    // 2 r d + r.
    counts: () => added((ends === "tied" ? 1 : 2) * LAYERS * (2 * 3 * WIDTH + 3)),
    noGradient: ends === "tied" ? [] : [{
      ...{ leaves: /\.layer\.1\.last\./, on: /classes/ },
      because:
        "A class is read from the first token's last state, which an edit of the last tokens behind that block misses.",
    }],
  });
}
methodLaws("loreft() with free rows and nothing subtracted", {
  method: just(loreft({ rank: 2, first: 2, last: 0, rows: "free", subtracts: "nothing" })),
  atInit: "other",
  merges: "no",
  looksAhead: true,
  counts: () => added(LAYERS * (2 * 2 * WIDTH + 2)),
});

Deno.test("loreft() keeps orthonormal rows through training, and with free rows does not", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 6);
      for (const rows of ["orthonormal", "free"] as const) {
        const method = loreft({ rank: 3, first: 2, last: 2, rows });
        const params = keep(method.init({ model, key: 0 }));
        const moved = keep(scope((): Synchronous<Tree> => {
          const noisy = mapTree(params.tree, (t, path) =>
            add(t, normal(fold(key(1), path), t.shape, backend, 0.3)));
          return (method.project?.(noisy) ?? noisy) as Synchronous<Tree>;
        }));
        const rotations = leaves(moved.tree).filter(([path]) =>
          path.endsWith("rotation")
        );
        for (const [path, t] of rotations) {
          const r = await read(t);
          const dot = (i: number, j: number): number =>
            Array.from({ length: 12 }, (_, k) => r[12 * i + k]! * r[12 * j + k]!).reduce((a, b) => a + b);
          const gram = [0, 1, 2].flatMap((i) => [0, 1, 2].map((j) => dot(i, j)));
          if (rows === "orthonormal") assertClose(gram, [1, 0, 0, 0, 1, 0, 0, 0, 1], 1e-6, path);
          else assert.ok(Math.abs(gram[1]!) > 1e-3);
        }
        dispose(moved.tree);
        moved.dispose();
        params.dispose();
      }
      model.dispose();
    })));

Deno.test("loreft() edits the prompt alone: in training up to the first label, in a continued text nothing", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 7);
      const { adapter, dispose: free } = noisy(model, loreft({ rank: 2, first: 1, last: 1, ends: "apart" }));
      const tuned = graft(model, adapter);
      const [prompt, answer] = [[3, 1, 4, 1], [5, 9]];
      const logits = async (model: Model, batch: Batch): Promise<Float32Array> => {
        const { logits } = forward(model, batch);
        const numbers = await read(logits);
        dispose(logits);
        return numbers;
      };
      const alone = await logits(tuned, { inputIds: [prompt] });
      const whole = await logits(tuned, { inputIds: [[...prompt, ...answer]] });
      const labelled = await logits(tuned, {
        inputIds: [[...prompt, ...answer]],
        labels: [[-100, -100, -100, -100, ...answer]],
      });
      const first = alone.length;
      assertClose(labelled.subarray(0, first), alone, 1e-6, "the prompt's logits");
      assert.notDeepEqual(whole.subarray(0, first), alone); // there the last token is another
      const begun = forward(tuned, { inputIds: [prompt] }, { keepCache: true });
      const next = forward(tuned, { inputIds: [answer] }, { cache: begun.cache! });
      assertClose(await read(next.logits), labelled.subarray(first), 1e-5, "the answer's logits");
      dispose([begun, next]);
      free();
      model.dispose();
    })));

Deno.test("loreft() edits no token of a text of one, and one end's tokens never meet the other's", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 8);
      const { adapter, dispose: free } = noisy(model, loreft({ rank: 2, first: 7, last: 7 }));
      const [one, base] = [
        forward(graft(model, adapter), { inputIds: [[3]] }),
        forward(model, { inputIds: [[3]] }),
      ];
      assert.deepEqual(await read(one.logits), await read(base.logits));
      dispose([one, base]);
      // Three tokens: the first and the last are edited, the middle one is not and sees only what lies before it.
      const bare = tinyLlama(backend, 8, { layers: 1 });
      const single = noisy(bare, loreft({ rank: 2, first: 7, last: 7 }));
      const [three, plain] = [
        forward(graft(bare, single.adapter), { inputIds: [[3, 1, 4]] }),
        forward(bare, { inputIds: [[3, 1, 4]] }),
      ];
      const [a, b] = [await read(three.logits), await read(plain.logits)];
      const v = a.length / 3;
      assert.deepEqual(a.subarray(v, 2 * v), b.subarray(v, 2 * v));
      for (const i of [0, 2]) {
        assert.notDeepEqual(a.subarray(i * v, (i + 1) * v), b.subarray(i * v, (i + 1) * v));
      }
      dispose([three, plain]);
      single.dispose();
      bare.dispose();
      free();
      model.dispose();
    })));

Deno.test("loreft()'s dropout is on the whole edited state, and on edited tokens alone", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 16);
      const plain = noisy(model, loreft({ rank: 2, first: 1, last: 1 }));
      const params = plain.adapter.params;
      const dropping = { method: loreft({ rank: 2, first: 1, last: 1, dropout: 0.5 }), params };
      const [edit, dropped] = [
        await addedToOnes(plain.adapter, model, 0),
        await addedToOnes(dropping, model, 0),
      ];
      const states = dropped.map((x) => 1 + x);
      states.forEach((h, i) => {
        const token = Math.floor(i / 12);
        if (token === 1 || token === 2) assert.equal(h, 1);
        else assert.ok(Math.abs(h) < 1e-6 || Math.abs(h - 2 * (1 + edit[i]!)) < 1e-5, `${i}: ${h}`);
      });
      const zeros = states.filter((h) => Math.abs(h) < 1e-6).length;
      assert.ok(zeros > 4 && zeros < 20, `${zeros} of 24 dropped`);
      plain.dispose();
      model.dispose();
    })));

lowersLoss("loreft", loreft({ rank: 4, first: 2, last: 2 }));
publishedCount("loreft() of LLaMA-7B has 2,097,408 numbers tied and twice as many apart", () => {
  const { trainable, base } = countsOf(LLAMA_7B, loreft()).trained;
  assert.equal(trainable, 2_097_408);
  assert.equal((100 * trainable / base).toFixed(3), "0.031");
  assert.equal(trainableOf(LLAMA_7B, loreft({ ends: "apart" })), 2 * 2_097_408);
});
printedShares("loreft()", [["LoReFT, LLaMA-7B r 8", 2_097_408, "LLaMA-7B", "0.031"]]);
badOptions("loreft()", [
  [() => loreft({ first: 0, last: 0 }), /Expected first or last above 0/],
  [
    () => loreft({ first: -1 }),
    /^Expected loreft.s option "first" to be a non-negative integer .* but found -1$/,
  ],
]);
needsPlaces("loreft()", loreft(), /Cannot place loreft/);
adapterHubCase("loreft", ["bert_text", "llama"], loreft({ rank: 3, first: 1, last: 1, ends: "apart" }));
adapterHubCase("loreft_tied", ["bert_tags"], loreft({ rank: 3, first: 1, last: 1 }));
adapterHubCase(
  "direft",
  ["bert_tags"],
  loreft({ rank: 3, first: 1, last: 0, rows: "free", subtracts: "nothing" }),
);
