/**
 * hra(): the laws of methods, golden cases of PEFT, LyCORIS or transcriptions, counts that papers print, a base in four bits
 * and what is refused.
 */
import assert from "node:assert/strict";
import {
  compose,
  dispose,
  forward,
  graft,
  leaves,
  loss,
  merge,
  type Method,
  type Model,
  nest,
  read,
  type Tensor,
  tensor,
  type Tree,
} from "../../../core/mod.ts";
import { hra } from "../../../methods/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, laws } from "../../support/linear_laws.ts";
import { noisyTrained, numbersOf, onCodes, TEXTS } from "../../support/on_codes.ts";
import { ONE_LAYER, publishedCount, trainableIn } from "../../support/published_counts.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

laws("hra()", hra({ ...ALL, rank: 4 }), each(ALL, (i) => 4 * i));
laws(
  "hra() pulled towards orthogonality, odd rank",
  hra({ rank: 3, orthogonality: 0.1 }),
  each({}, (i) => 3 * i),
  { atInit: "other" },
);
laws(
  "hra() exact",
  hra({ rank: 2, orthogonality: "exact", initialization: "none" }),
  each({}, (i) => 2 * i),
  { atInit: "other" },
);

goldenMethods({
  hra: hra({ rank: 4, targets: TARGETS }),
  hra_exact: hra({ rank: 3, orthogonality: "exact", targets: TARGETS }),
});

Deno.test("hra() adds λ times the distance of its unit vectors from an orthonormal system, also within compose", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 2);
      const method = hra({ rank: 2, orthogonality: 0.5, targets: ["layers.0.self_attn.q_proj"] });
      // Columns (3, 4, 0, …) and (0, 1, 0, …): their cosine is 0.8, so ‖I − UᵀU‖² = 2 · 0.64.
      const u = Array.from({ length: 24 }, (_, i) => [3, 0, 4, 1][i] ?? 0);
      const params = nest([[
        "model.layers.0.self_attn.q_proj.u",
        tensor(u, { backend, shape: [12, 2] }),
      ]]) as Tree;
      assertClose(await numbersOf(() => method.penalty!(params, model.spec)), [0.5 * 2 * 0.64], 1e-6);
      const both = compose({ hra: method });
      assertClose(await numbersOf(() => both.penalty!({ hra: params }, model.spec)), [0.5 * 2 * 0.64], 1e-6);
      assert.equal(hra().penalty, undefined);
      dispose(params);
      model.dispose();
    })));

Deno.test("a rotation in a range of outputs leaves the others alone, and merges so", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyLlama(backend, 4);
      const inner = hra({ rank: 2, targets: ["layers.0.self_attn.q_proj"], initialization: "none" });
      const half: Method = {
        ...inner,
        edits: (params, spec) =>
          inner.edits(params, spec).map((edit) => ({ ...edit, out: [4, 9] as const }) as typeof edit),
      };
      const { adapter, dispose: free } = noisyTrained(model, half);
      const logits = (m: Model) => numbersOf(() => forward(m, TEXTS).logits);
      const merged = merge(model, adapter);
      const path = "model.layers.0.self_attn.q_proj";
      const [before, after] = [model, merged].map((m) => {
        const leaf = path.split(".").reduce(
          (node, part) => (node as Tree)[part]!,
          m.weights as Tree | Tensor,
        );
        return (leaf as Tree)["weight"] as Tensor;
      }) as [Tensor, Tensor];
      const [w, rotated] = [await read(before), await read(after)];
      const changed = Array.from(
        { length: 16 },
        (_, row) => w.subarray(row * 12, row * 12 + 12).some((x, i) => x !== rotated[row * 12 + i]),
      );
      assert.deepEqual(changed, Array.from({ length: 16 }, (_, row) => row >= 4 && row < 9));
      assertClose(await logits(merged), await logits(graft(model, adapter)), 1e-5);
      const value = await numbersOf(() => loss(graft(model, adapter), TEXTS));
      assert.ok(Number.isFinite(value[0]));
      assert.ok(leaves(adapter.params).length === 1);
      merged.dispose();
      free();
      model.dispose();
    })));

misfits("hra()", [
  [
    () => hra({ orthogonality: -1 }),
    /option "orthogonality" to be a number of at least 0 or "exact" but found -1/,
  ],
  [() => hra({ targets: ["embed_tokens"] }), /hra on the embedding "model.embed_tokens"/],
  [() => hra({ rank: 14 }), /hra of rank 14 on ".*q_proj": its input of 12 has no more directions/],
]);
onCodes({ "hra()": hra({ rank: 2 }) });
publishedCount(
  "hra() has the numbers of its formula",
  () => assert.equal(trainableIn(ONE_LAYER, hra({ rank: 8 })), 768 * 8),
);
