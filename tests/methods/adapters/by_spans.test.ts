/** Adapters for spans of a text obey the laws of methods. AdapterHub's numbers stand in tests/io/adapterhub/folders.test.ts. */
import assert from "node:assert/strict";
import { type Batch, graft, key, type Method, type Tree } from "../../../core/mod.ts";
import { bySpans, houlsby, lora, parallelAdapter, pfeiffer } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { logitsOf } from "../../support/law_numbers.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { trained } from "../../support/subject.ts";
import { tinyGpt2, tinyLlama } from "../../support/tiny_models.ts";

const D = 12;
const LAYERS = 2;
/** 2 r d + r + d. */
const bottleneck = (r: number): number => 2 * r * D + r + D;

const SMOOTH = pfeiffer({ reduction: 4, activation: "gelu" });
const WIDE = houlsby({ reduction: 3, activation: "tanh", deviation: 0.1 });
const spans = (parts: Readonly<Record<string, Method>>, lengths: readonly number[]): Method =>
  bySpans(parts, lengths) as unknown as Method;

/** Rows of five tokens, as long as the spans together. */
function ofFive({ inputIds, attentionMask, labels }: Batch): Batch {
  const five = <T>(row: readonly T[], rest: T): readonly T[] => [...row, ...Array(5).fill(rest)].slice(0, 5);
  return {
    inputIds: inputIds.map((row) => five(row, 0)),
    attentionMask: attentionMask!.map((row) => five(row, 0)),
    labels: labels!.map((row) => five(row as readonly number[], -100)),
  };
}

methodLaws("bySpans()", {
  method: () => ({ method: spans({ a: SMOOTH, b: WIDE }, [2, 3]) }),
  atInit: "other",
  merges: "no",
  counts: () => {
    const n = LAYERS * bottleneck(3) + 2 * LAYERS * bottleneck(4);
    return { added: n, trainable: n, changed: 0 };
  },
  batch: ofFive,
  looksAhead: true, // a text that goes on has another length
  noGradient: [{
    ...{ leaves: /^b\..*\.layer\.1\./, on: /classes/ },
    because: "A class is read from the first token's last state, and the second span is behind that token.",
  }],
});
methodLaws("bySpans() of adapters beside a part", {
  method: () => ({
    method: spans({
      a: parallelAdapter({ reduction: 4, activation: "tanh", dropout: 0.2 }),
      b: parallelAdapter({ reduction: 3, activation: "gelu", scale: "learned" }),
    }, [4, 1]),
  }),
  atInit: "base",
  merges: "no",
  counts: () => ({ added: LAYERS * (bottleneck(3) + bottleneck(4) + 1), changed: 0 }),
  batch: ofFive,
  looksAhead: true,
  noGradient: [{
    ...{ leaves: /^b\..*\.layer\.1\./, on: /classes/ },
    because: "A class is read from the first token's last state, and the second span is behind that token.",
  }, {
    ...{ leaves: /^b\./, on: /^(Llama|GPT-2|Qwen3|Gemma 3)$/ },
    because:
      "The second span is the text's last token, from which a causal model predicts none of the labels.",
  }],
});

Deno.test("bySpans() of one adapter throughout is that adapter, and a later span changes nothing before it", async () => {
  for (const tiny of [tinyLlama, tinyGpt2]) {
    await assertNoLeak(async () => {
      const model = tiny(reference(), key(5));
      const { adapters, dispose } = trained(model, { a: WIDE, b: SMOOTH });
      const [a, b] = [adapters["a"]!.params, adapters["b"]!.params];
      const inputIds = [[3, 1, 4, 1, 5], [2, 7, 1, 8, 2]];
      const run = (method: Method, params: Tree) => logitsOf(graft(model, { method, params }), { inputIds });
      const alone = await run(WIDE, a);
      assertClose(await run(spans({ x: WIDE }, [5]), { x: a }), alone, 1e-6, "one span");
      assertClose(await run(spans({ x: WIDE, y: WIDE }, [2, 3]), { x: a, y: a }), alone, 1e-6, "two spans");
      // Both are causal.
      const mixed = await run(spans({ x: WIDE, y: SMOOTH }, [3, 2]), { x: a, y: b });
      const v = alone.length / 10;
      for (const row of [0, 1]) {
        const of = (all: Float32Array) => all.subarray(row * 5 * v, (row * 5 + 3) * v);
        assertClose(of(mixed), of(alone), 1e-6, `row ${row}`);
        assert.notDeepEqual(mixed.subarray((row * 5 + 3) * v), alone.subarray((row * 5 + 3) * v));
      }
      dispose();
      model.dispose();
    });
  }
});

Deno.test("bySpans() refuses texts of another length, other edits and lengths that do not fit, by name", async () => {
  const model = tinyLlama(reference(), key(1));
  const low = lora({ rank: 1 });
  const { adapters, dispose } = trained(model, { a: SMOOTH, b: low });
  const [a, b] = [adapters["a"]!.params, adapters["b"]!.params];
  const tuned = graft(model, { method: spans({ a: SMOOTH, b: SMOOTH }, [2, 3]), params: { a, b: a } });
  await assert.rejects(
    logitsOf(tuned, { inputIds: [[1, 2, 3, 4]] }),
    /spans at "model\.layers\.0.*" a text of 4 tokens: together they are 5 long/,
  );
  assert.throws(
    () => spans({ a: SMOOTH, b: low }, [2, 3]).edits({ a, b }, model.spec),
    /Cannot give a span of tokens to "b": its edit at ".*q_proj" is a linear/,
  );
  dispose();
  model.dispose();
  assert.throws(() => bySpans({}, []), /at least one method/);
  assert.throws(() => spans({ a: SMOOTH, b: WIDE }, [3]), /Expected 2 lengths.*found \[3\]/);
  assert.throws(() => spans({ a: SMOOTH, b: WIDE }, [3, 0]), /lengths to be a positive integer but found 0/);
  assert.throws(() => spans({ a: SMOOTH, b: WIDE }, [3, 1.5]), /found 1\.5/);
});
