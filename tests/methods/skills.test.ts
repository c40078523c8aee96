/**
 * Poly, GLoRA and OSF: the laws of methods, PEFT's numbers (tests/oracles/peft_skills.py) on every backend, and their own rules. Folders
 * stand in tests/io/peft/folders.test.ts.
 */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  type Counts,
  dispose,
  forward,
  graft,
  keep,
  key,
  type Method,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import { glora, type GloraOptions, osf, poly, type PolyOptions } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { goldenCase } from "../support/golden_case.ts";
import { methodLaws } from "../support/method_laws.ts";
import { noised } from "../support/subject.ts";
import { tinyGpt2, tinyLlama } from "../support/tiny_models.ts";

const targets = ["q_proj", "v_proj", "down_proj"];
const CASES: Readonly<Record<string, readonly [Method, "merges" | "apart"]>> = {
  poly_skills: [poly({ rank: 3, skills: 3, targets }), "apart"], // PEFT does not merge it
  osf_triples: [osf({ preserved: 5, targets }), "merges"],
  glora_matrices: [glora({ rank: 3, targets }), "merges"],
};

for (const [name, [method, merging]] of Object.entries(CASES)) {
  goldenCase(name, {
    adapter: (params) => ({ method, params }),
    merging,
    fresh: (backend) => backend !== "gpu" || name !== "osf_triples", // no decomposition there
  });
}

/** Sums over the linear layers of the blocks. */
const each = (model: Model, n: (m: number, k: number, bias: boolean) => number): Partial<Counts> => {
  const trainable = model.spec.linears.filter(({ layer }) => layer !== undefined)
    .reduce((sum, { outFeatures, inFeatures, bias }) => sum + n(outFeatures, inFeatures, bias), 0);
  return { added: trainable, trainable };
};
const just = (method: Method) => () => ({ method });

// S r (m + n) + T Q S
methodLaws("poly() of two tasks, one chosen", {
  method: just(poly({ rank: 2, skills: 3, tasks: ["a", "b"], task: "b", targets: "all-linear" })),
  atInit: "base",
  merges: "only",
  counts: (model) => each(model, (m, n) => 3 * 2 * (m + n) + 2 * 3),
});
methodLaws("poly() in pieces, without drawing", {
  method: just(poly({ rank: 2, skills: 3, pieces: 2, routing: "mean", targets: "all-linear" })),
  atInit: "base",
  merges: "and unmerges",
  counts: (model) => each(model, (m, n) => 3 * 2 * (m + n) + 2 * 3),
});

// 2 r (m + n); with a bias r (n + 1) + 2 more
methodLaws("glora()", {
  method: just(glora({ rank: 2, targets: "all-linear" })),
  atInit: "base",
  merges: "only",
  counts: (model) => ({
    ...each(model, (m, n, bias) => 2 * 2 * (m + n) + (bias ? 2 * (n + 1) + 2 : 0)),
    changed: each(model, (m, n, bias) => m * n + (bias ? m : 0)).trainable!,
  }),
});
methodLaws("glora() of vectors and constants", {
  method: just(
    glora({ a: "vector", b: "constant", c: "vector", d: "vector", e: "none", targets: "all-linear" }),
  ),
  atInit: "base",
  merges: "only",
  counts: (model) => each(model, (m, n, bias) => m + 1 + (bias ? n + m : 0)),
});

// n (m + k + 1), n = min(m, k) − ⌊min(m, k) / 4⌋
methodLaws("osf()", {
  method: just(osf({ preserved: 0.25, targets: "all-linear" })),
  atInit: "base",
  merges: "and unmerges",
  counts: (model) => {
    const { trainable } = each(
      model,
      (m, k) => (Math.min(m, k) - Math.floor(Math.min(m, k) / 4)) * (m + k + 1),
    );
    return { trainable: trainable! };
  },
  unlikeDifferences: (path) => !path.endsWith(".s"), // gradients are projected, which differences are not; the golden case has them
  decomposes: true,
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

Deno.test("poly(), glora() and osf() refuse what cannot be", () =>
  assertNoLeak(() => {
    const model = tinyGpt2(reference(), 3); // width 12
    const refused = (f: () => Method, message: RegExp): void =>
      assert.throws(() => adapt(model, f()), (error) =>
        error instanceof RangeError && message.test(error.message));
    refused(() =>
      poly({ skills: 0 }), /^Expected skills to be a positive integer but found 0$/);
    refused(() => poly({ pieces: 5 }), /^Cannot cut ".*c_attn" \[36, 12\] in 5 pieces for poly/);
    refused(() => poly({ targets: ["wte"] }), /^Cannot put poly on the embedding "transformer\.wte"/);
    refused(() => glora({ targets: ["wte"] }), /^Cannot put glora on the embedding "transformer\.wte"/);
    refused(() => osf({ targets: ["wte"] }), /^Cannot put osf on the embedding "transformer\.wte"/);
    refused(
      () => osf({ preserved: 12 }),
      /^Cannot preserve 12 of the 12 singular values of ".*c_attn": choose 1 to 11, or a share that is so$/,
    );
    refused(() => osf({ preserved: 0.01 }), /^Cannot preserve 0\.01 of the 12 singular values/);
    refused(() => osf({ preserved: 1.5 }), /^Expected preserved to be a share below 1 or a positive integer/);
    refused(() => glora({ rank: 0.5 }), /^Expected rank to be a positive integer but found 0\.5$/);
    const none: GloraOptions = { a: "none", b: "none", c: "none", d: "none", e: "none" };
    refused(() => glora(none), /^Expected one of a, b, c, d and e to be something but found none$/);
    model.dispose();
  }));
