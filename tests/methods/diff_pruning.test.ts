/** DiffPruning's gates: what a training pass draws, where clipping apart applies, and that each use of a weight draws the same. */
import assert from "node:assert/strict";
import {
  adapt,
  allEdits,
  dispose,
  fold,
  forward,
  graft,
  keep,
  key as keyOf,
  leaves,
  lookup,
  lossAndGrad,
  type Model,
  read,
  scope,
  setLeaves,
  type Synchronous,
  type Tensor,
  tensor,
  type Tree,
  type WeightEdit,
  weightLeaves,
} from "../../core/mod.ts";
import { diffPruning, gatedSize, isGate } from "../../methods/mod.ts";
import { uniform } from "../../ops/mod.ts";
import { clippedApart, globalNorm } from "../../train/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { type BackendName, BACKENDS, withBackend } from "../support/backends.ts";
import { noised } from "../support/subject.ts";
import { tinyGpt2 } from "../support/tiny_models.ts";

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
        /^RangeError: Cannot place diffPruning: no weight is called "wtf.weight", which frozen names$/,
      );
      assert.throws(
        () => adapt(model, diffPruning({ frozen: all.map((path) => path.slice(0, -".delta".length)) })),
        /^RangeError: Cannot place diffPruning: frozen leaves no weight$/,
      );
      model.dispose();
    })));
