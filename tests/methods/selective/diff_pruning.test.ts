/**
 * DiffPruning: the laws of methods, counts, training and what is refused. Its gates: what a training pass draws, where clipping apart
 * applies, and that each use of a weight draws the same.
 */
import assert from "node:assert/strict";
import {
  adapt,
  allEdits,
  count,
  dispose,
  fold,
  forward,
  graft,
  keep,
  key as keyOf,
  leaves,
  lookup,
  lossAndGrad,
  mapTree,
  type Model,
  read,
  scope,
  setLeaves,
  type Synchronous,
  type Tensor,
  tensor,
  type Tree,
  valueAndGrad,
  type WeightEdit,
  weightLeaves,
} from "../../../core/mod.ts";
import { diffPruning, type DiffPruningOptions, gatedSize, isGate, keptCount } from "../../../methods/mod.ts";
import { add, normal, uniform } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { clippedApart, globalNorm } from "../../../train/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { type BackendName, BACKENDS, withBackend } from "../../support/backends.ts";
import { badOptions } from "../../support/bad_options.ts";
import { just } from "../../support/law_counts.ts";
import { SHORT_TEXT, trains } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { publishedCount, withShapes } from "../../support/published_counts.ts";
import { bertOf } from "../../support/published_shapes.ts";
import { noised } from "../../support/subject.ts";
import { tinyGpt2 } from "../../support/tiny_models.ts";

const BATCH = { inputIds: [[1, 5, 3, 10], [2, 2, 7, 0]], labels: [[1, 5, 3, 10], [2, 2, 7, 0]] };

/** z of the paper, in doubles. */
function gate(alpha: number, u: number): number {
  const s = 1 / (1 + Math.exp(-(Math.log(u) - Math.log(1 - u) + alpha)));
  return Math.min(1, Math.max(0, s * 3 - 1.5));
}

async function logitsOf(model: Model, options = {}): Promise<Float32Array> {
  const { logits } = forward(model, BATCH, options);
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
}

/** A model with gates between open and shut. */
async function withGates(
  name: BackendName,
  f: (model: Model, params: Tree, tuned: Model) => Promise<void>,
): Promise<void> {
  await withBackend(name, (backend) =>
    assertNoLeak(async () => {
      const model = tinyGpt2(backend, 3);
      const method = diffPruning({ initialAlpha: 0.5 });
      const params = keep(
        scope((): Synchronous<Tree> => noised(method.init({ model, key: 0 }), keyOf(1)) as Synchronous<Tree>),
      );
      await f(model, params.tree, graft(model, { method, params: params.tree }));
      params.dispose();
      model.dispose();
    }));
}

for (const name of BACKENDS) {
  Deno.test(`diffPruning() draws its gates in training, by the paper's formula, once for each weight (${name})`, () =>
    withGates(name, async (model, params, tuned) => {
      const pass = keyOf(9);
      const drawn: [string, Tensor][] = [];
      for (const [path, base] of weightLeaves(model.weights)) {
        const key = fold(fold(pass, path), 0);
        const u = async (part: string, like: Tensor): Promise<Float32Array> => {
          const t = scope((): Synchronous<Tensor> =>
            uniform(fold(key, part), like.shape, like.backend, 1e-4, 1 - 1e-4)
          );
          const numbers = await read(t);
          t.storage.free();
          return numbers;
        };
        const part = (name: string): Tensor => lookup(params, `${path}.${name}`) as Tensor;
        const [w, delta, alpha, group] = await Promise.all(
          [base, part("delta"), part("alpha"), part("group")].map(read),
        );
        const [ue, ug] = [await u("element", base), await u("group", part("group"))];
        const zg = gate(group![0]!, ug[0]!);
        const theta = w!.map((x, i) => x + gate(alpha![i]!, ue[i]!) * zg * delta![i]!);
        drawn.push([path, tensor(theta, { backend: model.backend, shape: base.shape })]);
        const edit = allEdits(tuned.weights).find((edit) => edit.path === path) as WeightEdit;
        const found = scope((): Synchronous<Tensor> => edit.map.run({ weight: base, train: true, key }));
        assertClose(await read(found), theta, 1e-5, path);
        found.storage.free();
      }
      // The tied table is looked up and multiplied with the same draw.
      const whole = { ...model, weights: setLeaves(model.weights, drawn) };
      const found = await logitsOf(tuned, { train: true, key: pass });
      assertClose(found, await logitsOf(whole), 1e-4, "logits");
      assert.deepEqual(await logitsOf(tuned, { train: true, key: pass }), found);
      assert.notDeepEqual(await logitsOf(tuned, { train: true, key: keyOf(10) }), found);
      assert.deepEqual(await logitsOf(tuned, { key: keyOf(10) }), await logitsOf(tuned));
      dispose(drawn.map(([, t]) => t));
    }));
}

Deno.test("diffPruning() gives gates their own learning rate and clipping", () =>
  withGates("reference", async (model, params) => {
    const method = diffPruning({ gateRate: 0.1 });
    const rate = method.rates!({ params, spec: model.spec, learningRate: 1e-5 });
    assert.equal(rate("transformer.wte.weight.delta"), 1);
    assert.ok(Math.abs(rate("transformer.wte.weight.alpha") - 1e4) < 1e-6);
    assert.ok(Math.abs(rate("transformer.wte.weight.group") - 1e4) < 1e-6);
    const { grads } = await lossAndGrad(model, { method, params }, BATCH);
    const norms = async (tree: Tree, gates: boolean): Promise<number> => {
      const own = Object.fromEntries(leaves(tree).filter(([path]) => isGate(path) === gates));
      const norm = scope((): Synchronous<Tensor> => globalNorm(own));
      const [n] = await read(norm);
      norm.storage.free();
      return n!;
    };
    const before = [await norms(grads, true), await norms(grads, false)];
    assert.ok(before[0]! < 0.3 && before[1]! > 0.3, `${before}`);
    const clipped = await clippedApart(grads, 0.3, (path) => isGate(path) ? "gates" : "rest");
    assert.ok(Math.abs(await norms(clipped, true) - before[0]!) < 1e-6); // short enough already
    assert.ok(Math.abs(await norms(clipped, false) - 0.3) < 1e-4);
    dispose(clipped);
  }));

Deno.test("diffPruning() leaves the weights that frozen names as they are, and refuses names of none", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(() => {
      const model = tinyGpt2(backend, 3);
      const { params } = adapt(model, diffPruning({ frozen: ["wte.weight", "wpe.weight"] }));
      const gated = weightLeaves(params).map(([path]) => path).filter((path) => path.endsWith(".delta"));
      const all = weightLeaves(model.weights).map(([path]) => `${path}.delta`);
      assert.deepEqual(
        all.filter((path) => !gated.includes(path)),
        ["transformer.wte.weight.delta", "transformer.wpe.weight.delta"],
      );
      const size = weightLeaves(model.weights).filter(([path]) => gated.includes(`${path}.delta`))
        .reduce((n, [, leaf]) => n + leaf.size, 0);
      assert.equal(gatedSize(model, ["wte.weight", "wpe.weight"]), size);
      dispose(params);
      assert.throws(
        () => adapt(model, diffPruning({ frozen: ["wtf.weight"] })),
        /^RangeError: Cannot place diff-pruning: no weight is called "wtf.weight", which frozen names$/,
      );
      assert.throws(
        () => adapt(model, diffPruning({ frozen: all.map((path) => path.slice(0, -".delta".length)) })),
        /^RangeError: Cannot place diff-pruning: frozen leaves no weight$/,
      );
      model.dispose();
    })));

/** The paper's expected L0 and the released script's sum, of α by leaf, in doubles. */
function penaltyOf(
  alphas: ReadonlyMap<string, readonly number[]>,
  form: "sum" | "product",
): number {
  const open = (alpha: number): number => 1 / (1 + Math.exp(-(alpha - Math.log(1.5 / 1.5))));
  let total = 0;
  for (const [path, elements] of alphas) {
    if (!path.endsWith(".alpha")) continue;
    const group = alphas.get(path.replace(/alpha$/, "group"))?.[0];
    for (const alpha of elements) {
      total += form === "product" && group !== undefined ? open(alpha) * open(group) : open(alpha);
    }
    if (form === "sum" && group !== undefined) total += open(group);
  }
  return total;
}

for (const name of BACKENDS) {
  for (const structure of ["tensor", "none"] as const) {
    for (const penalty of ["sum", "product"] as const) {
      Deno.test(`diffPruning() of structure ${structure} has the penalty "${penalty}" of the equation, and its gradient (${name})`, () =>
        withBackend(name, (backend) =>
          assertNoLeak(async () => {
            const model = tinyGpt2(backend, 3);
            const sparsity = 1e-3;
            const method = diffPruning({ structure, penalty, sparsity, initialAlpha: 0.3 });
            const params = keep(scope((): Synchronous<Tree> =>
              mapTree(
                method.init({ model, key: 0 }),
                (t, path) => isGate(path) ? add(t, normal(fold(keyOf(4), path), t.shape, backend)) : t,
              ) as Synchronous<Tree>
            ));
            const alphas = new Map<string, readonly number[]>();
            for (const [path, t] of leaves(params.tree)) {
              if (isGate(path)) alphas.set(path, [...await read(t)]);
            }
            const { value, gradients } = valueAndGrad((tracked: Tree) =>
              method.penalty!(tracked, model.spec)
            )(
              params.tree,
            );
            assertClose(await read(value), [sparsity * penaltyOf(alphas, penalty)], 1e-5, "penalty");
            const found = new Map(leaves(gradients));
            for (const [path, numbers] of alphas) {
              const gradient = await read(found.get(path)!);
              const i = (7 * numbers.length) % 5 % numbers.length;
              const at = (step: number): number =>
                penaltyOf(new Map(alphas).set(path, numbers.with(i, numbers[i]! + step)), penalty);
              const h = 1e-4;
              const slope = sparsity * (at(h) - at(-h)) / (2 * h);
              assert.ok(Math.abs(gradient[i]! - slope) <= 1e-4 * Math.abs(slope), `${path}[${i}]`);
            }
            for (const [path, t] of found) {
              if (!isGate(path)) assert.ok((await read(t)).every((x) => x === 0));
            }
            dispose([value, gradients]);
            params.dispose();
            model.dispose();
          })));
    }
  }
}

Deno.test("diffPruning() adds up all gates unless it is told otherwise, as the released script does", () => {
  const model = tinyGpt2(reference(), 3);
  const read1 = async (options: DiffPruningOptions): Promise<number> => {
    const { method, params } = adapt(model, diffPruning({ sparsity: 1, initialAlpha: 0, ...options }));
    const value = scope(() => method.penalty!(params, model.spec));
    const [number] = await read(value);
    dispose([value, params]);
    return number!;
  };
  return assertNoLeak(async () => {
    const leaves = weightLeaves(model.weights);
    const n = leaves.reduce((sum, [, t]) => sum + t.size, 0);
    // Every gate is open with probability one half.
    assert.equal(await read1({}), n / 2 + leaves.length / 2);
    assert.equal(await read1({ penalty: "sum" }), n / 2 + leaves.length / 2);
    assert.equal(await read1({ penalty: "product" }), n / 4);
    assert.equal(await read1({ penalty: "product", structure: "none" }), n / 2);
  }).finally(() => model.dispose());
});

const SIZE = (model: Model): number => weightLeaves(model.weights).reduce((n, [, t]) => n + t.size, 0);
for (const [structure, penalty] of [["tensor", "sum"], ["tensor", "product"], ["none", "sum"]] as const) {
  methodLaws(`diffPruning() with structure ${structure}, penalty ${penalty}`, {
    method: just(diffPruning({ sparsity: 1e-3, structure, penalty, initialAlpha: 1 })),
    atInit: "base",
    merges: "only",
    // 200 %: a difference and a gate for each weight, and a gate for each tensor.
    counts: (model) => ({
      trainable: 2 * SIZE(model) + (structure === "tensor" ? weightLeaves(model.weights).length : 0),
      changed: SIZE(model),
    }),
    // A clipped gate has a corner; the golden case judges those.
    unlikeDifferences: (path) => isGate(path),
  });
}

Deno.test("diffPruning() at first moves differences; gates move by their penalty alone", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyGpt2(backend, 5);
      const method = diffPruning({ sparsity: 0.01, initialAlpha: 1 });
      const params = method.init({ model, key: 0 });
      const { grads } = await lossAndGrad(model, { method, params }, SHORT_TEXT);
      const s = 1 / (1 + Math.exp(-1));
      let moved = 0;
      for (const [path, g] of leaves(grads)) {
        const numbers = await read(g);
        if (isGate(path)) {
          for (const x of numbers) assert.ok(Math.abs(x - 0.01 * s * (1 - s)) < 1e-8, path);
        } else moved = Math.max(moved, ...numbers.map(Math.abs));
      }
      assert.ok(moved > 0.01);
      dispose([grads, params]);
      model.dispose();
    })));

trains("diffPruning()", () => diffPruning({ sparsity: 1e-6 }));
badOptions("diffPruning()", [
  [
    () => diffPruning({ penalty: "expected" as "sum" }),
    /^Expected diff-pruning.s option "penalty" to be "sum" or "product" but found "expected"$/,
  ],
  [
    () => diffPruning({ structure: "tensors" as "tensor" }),
    /^Expected diff-pruning.s option "structure" to be "tensor" or "none" but found "tensors"$/,
  ],
  [
    () => diffPruning({ initialAlpha: NaN }),
    /^Expected diff-pruning.s option "initialAlpha" to be a number but f/,
  ],
]);
publishedCount(
  "diffPruning() trains 200 % of BERT-large and one gate a tensor, and keeps 1,667,896 at 0.5 %",
  () =>
    withShapes(bertOf(1024, 24, 28_996, "BertForSequenceClassification"), (large) => {
      const gated = gatedSize(large);
      assert.equal(gated, 333_579_264);
      const tensors = weightLeaves(large.weights).length - 2;
      const adapter = adapt(large, diffPruning());
      assert.equal(count(large, adapter).trainable, 2 * gated + tensors + 2 * 1024 + 2);
      dispose(adapter.params);
      assert.equal(keptCount(gated, 0.005), 1_667_896); // the 1.67 M of 333.6 M
    }),
);
