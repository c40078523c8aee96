/** LoRA and (IA)³ on parts of a fused projection obey the laws of methods. Goldens: AdapterHub's GPT-2 folders. */
import assert from "node:assert/strict";
import {
  adapt,
  dispose,
  graft,
  lookup,
  nest,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../../core/mod.ts";
import { fusedIa3, fusedLora, ia3, lora } from "../../../methods/mod.ts";
import { concat, ones, slice, zeros } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { logitsOf } from "../../support/law_numbers.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { trained } from "../../support/subject.ts";
import { tinyGpt2, tinyLlama } from "../../support/tiny_models.ts";

const D = 12;
const LAYERS = 2;
const models = [tinyGpt2];

methodLaws("fusedLora()", {
  method: () => ({ method: fusedLora({ rank: 2, alpha: 3 }) }),
  atInit: "base",
  merges: "and unmerges",
  models,
  counts: () => ({ added: LAYERS * 2 * 2 * (D + D), trainable: LAYERS * 2 * 2 * (D + D) }), // r (in + d) each
});
methodLaws("fusedLora() of the key alone, with dropout", {
  method: () => ({ method: fusedLora({ parts: ["key"], rank: 1, dropout: 0.3 }) }),
  atInit: "base",
  merges: "and unmerges",
  models,
  counts: () => ({ added: LAYERS * 2 * D, trainable: LAYERS * 2 * D }),
});
methodLaws("fusedIa3()", {
  method: () => ({ method: fusedIa3() }),
  atInit: "base",
  merges: "and unmerges",
  models,
  counts: () => ({ added: LAYERS * 2 * D, trainable: LAYERS * 2 * D }),
});

Deno.test("fusedIa3() and fusedLora() change their parts as updates of the whole projection do", async () => {
  const model = tinyGpt2(reference(), 3);
  const batch = { inputIds: [[3, 1, 4, 1, 5]] };
  const { adapters, dispose: free } = trained(model, {
    scale: fusedIa3(),
    low: fusedLora({ rank: 2, alpha: 3 }),
  });
  const [scale, low] = [adapters["scale"]!, adapters["low"]!];
  const whole = scope((): Synchronous<{ readonly l: Tree; readonly ab: Tree }> => {
    const places = model.spec.linears.filter(({ role }) => role === "qkv").map(({ path }) => path);
    const of = (tree: Tree, path: string) => lookup(tree, path) as Tensor;
    const blocks = (a: Tensor, b: Tensor): Tensor =>
      concat([concat([a, zeros([D, 2], a.backend)], 1), concat([zeros([D, 2], b.backend), b], 1)], 0);
    return {
      l: nest(places.map((path) => [
        `${path}.l`,
        concat([
          ones([D], model.backend),
          of(scale.params, `${path}.key.l`),
          of(scale.params, `${path}.value.l`),
        ], 0),
      ])),
      // B of the whole: the query's and the value's apart, none for the key.
      ab: nest(places.flatMap((path) => {
        const [qb, vb] = [of(low.params, `${path}.query.b`), of(low.params, `${path}.value.b`)];
        const none = zeros([D, 4], model.backend);
        const [top, bottom] = [0, 1].map((half) => slice(blocks(qb, vb), 0, half * D, (half + 1) * D));
        return [
          [`${path}.a`, concat([of(low.params, `${path}.query.a`), of(low.params, `${path}.value.a`)], 0)],
          [`${path}.b`, concat([top!, none, bottom!], 0)],
        ] as const;
      })),
    } as Synchronous<{ readonly l: Tree; readonly ab: Tree }>;
  });
  const targets = { targets: ["c_attn"] };
  for (
    const [parts, method, params] of [
      [scale, ia3({ ...targets, feedForward: [] }), whole.l],
      [low, lora({ ...targets, rank: 4, alpha: 6 }), whole.ab],
    ] as const
  ) {
    const expected = await logitsOf(graft(model, { method, params }), batch);
    assertClose(await logitsOf(graft(model, parts), batch), expected, 1e-5, parts.method.name);
  }
  dispose(whole);
  free();
  model.dispose();
});

Deno.test("fusedLora() and fusedIa3() refuse parts that are none, and models without a fused projection", () => {
  const model = tinyLlama(reference(), 1);
  for (const make of [fusedLora, fusedIa3]) {
    assert.throws(() => make({ parts: [] }), /query, key, value, each once, but found none/);
    assert.throws(() => make({ parts: ["key", "key"] }), /each once, but found key, key/);
    assert.throws(
      () => make({ parts: ["output" as "key"] }),
      /each "query", "key" or "value" but found \["output"\]/,
    );
    assert.throws(() => adapt(model, make()), /Cannot place fused-\w+: the model has no fused projection/);
  }
  assert.throws(
    () => fusedLora({ rank: 0 }),
    /option "rank" to be a positive integer of at most 65536 but found 0/,
  );
  assert.throws(
    () => fusedLora({ dropout: 1 }),
    /option "dropout" to be a number from 0 up to 1 but found 1/,
  );
  model.dispose();
});
