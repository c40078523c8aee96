/** poly(): the laws of methods, golden cases and what is refused. */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  dispose,
  forward,
  graft,
  keep,
  key,
  read,
  scope,
  type Synchronous,
  type Tree,
} from "../../../core/mod.ts";
import { poly, type PolyOptions } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { just } from "../../support/law_counts.ts";
import { eachOfBlocks } from "../../support/linear_laws.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { noised } from "../../support/subject.ts";
import { tinyGpt2, tinyLlama } from "../../support/tiny_models.ts";

// S r (m + n) + T Q S
methodLaws("poly() of two tasks, one chosen", {
  method: just(poly({ rank: 2, skills: 3, tasks: ["a", "b"], task: "b", targets: "all-linear" })),
  atInit: "base",
  merges: "only",
  counts: (model) => eachOfBlocks(model, (m, n) => 3 * 2 * (m + n) + 2 * 3),
});
methodLaws("poly() in pieces, without drawing", {
  method: just(poly({ rank: 2, skills: 3, pieces: 2, routing: "mean", targets: "all-linear" })),
  atInit: "base",
  merges: "and unmerges",
  counts: (model) => eachOfBlocks(model, (m, n) => 3 * 2 * (m + n) + 2 * 3),
});

Deno.test("poly() gives each row of a batch its task's mixture, as the task alone has it", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 3);
    const options: PolyOptions = { rank: 2, skills: 3, tasks: ["a", "b"] };
    const fresh = keep(poly(options).init({ model, key: 1 }));
    const params = keep(scope((): Synchronous<Tree> => noised(fresh.tree, key(2)) as Synchronous<Tree>));
    const rows = async (more: object, task?: string): Promise<Float32Array> => {
      const method = poly({ ...options, ...task !== undefined && { task } });
      const { logits } = forward(graft(model, { method, params: params.tree }), {
        inputIds: [[1, 2, 3], [4, 5, 6]],
        ...more,
      });
      const numbers = await read(logits);
      logits.storage.free();
      return numbers as Float32Array;
    };
    const both = await rows({ rows: ["b", "a"] });
    const half = both.length / 2;
    const [a, b] = [await rows({}, "a"), await rows({}, "b")];
    assert.notDeepEqual(a.slice(0, half), b.slice(0, half));
    assertClose(both.slice(0, half), b.slice(0, half), 1e-6);
    assertClose(both.slice(half), a.slice(half), 1e-6);
    await assert.rejects(() => rows({}), /Expected an adapter's name for each of 2 rows \(a, b, or null\)/);
    params.dispose();
    fresh.dispose();
    model.dispose();
  }));

Deno.test("poly() draws its shares in training alone, anew for each key, around their mean", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 3);
    const method = poly({ rank: 2, initialization: "none", targets: ["q_proj"], layers: [0] });
    const adapter: Adapter = adapt(model, method);
    const tuned = graft(model, adapter);
    const run = async (options: object): Promise<readonly number[]> => {
      const { logits } = forward(tuned, { inputIds: [[1, 2, 3]] }, options);
      const numbers = [...await read(logits)];
      logits.storage.free();
      return numbers;
    };
    const plain = await run({});
    const train = (seed: number) => run({ train: true, key: key(seed) });
    assert.deepEqual(await train(1), await train(1));
    assert.notDeepEqual(await train(1), await train(2));
    assert.notDeepEqual(await train(1), plain);
    dispose(adapter.params);
    model.dispose();
  }));

misfits("poly()", [
  [() => poly({ skills: 0 }), /^Expected poly.s option "skills" to be a positive integer.* but found 0$/],
  [() => poly({ pieces: 5 }), /^Cannot cut ".*c_attn" \[36, 12\] in 5 pieces for poly/],
  [() => poly({ targets: ["wte"] }), /^Cannot put poly on the embedding "transformer\.wte"/],
], { model: () => tinyGpt2(reference(), 3) });
goldenMethods({ poly_skills: poly({ rank: 3, skills: 3, targets: TARGETS }) }, { merging: "apart" }); // PEFT does not merge it
