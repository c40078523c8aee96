/** A golden case of an adapter's whole life: parameters at first, with noise, merged, and after three steps of AdamW. */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Backend,
  dispose,
  forward,
  graft,
  keep,
  leaves,
  lossAndGrad,
  merge,
  type Model,
  read,
  type Tree,
} from "../../core/mod.ts";
import { adamw, resident } from "../../train/mod.ts";
import { assertClose } from "./assert.ts";
import { goldenNumbers, methodFile } from "./golden.ts";
import { assertGolden, goldenBatch, goldenParams } from "./golden_method.ts";

const RATE = 0.01;

/** What a case may need to say. */
export interface Life {
  /** Tolerance on the parameters at first, default 1e-5. A factor of a nearly equal pair of singular values needs more. */
  readonly init?: number;
}

/** Compares a fresh adapter on its base with a golden case through all its stages. */
export async function assertGoldenLife(
  name: string,
  model: Model,
  fresh: Adapter,
  backend: Backend,
  { init = 1e-5 }: Life = {},
): Promise<void> {
  const expected = goldenNumbers(methodFile(name));
  const logitsEqual = async (model: Model, what: string): Promise<void> => {
    const { logits } = forward(model, goldenBatch());
    assertClose(await read(logits), expected.get(what)!, 1e-5, what);
    logits.storage.free();
  };
  const wanted = [...expected.keys()].filter((key) => key.startsWith("init.")).map((key) => key.slice(5));
  assert.deepEqual(leaves(fresh.params).map(([path]) => path).sort(), wanted.sort());
  if (init < Infinity) {
    for (const [path, t] of leaves(fresh.params)) {
      assertClose(await read(t), expected.get(`init.${path}`)!, init, `init ${path}`);
    }
    await logitsEqual(graft(model, fresh), "logits0");
  }
  const params = goldenParams(name, backend);
  const adapter = { ...fresh, params: params.tree };
  await assertGolden(name, model, adapter);
  const merged = merge(model, adapter);
  await logitsEqual(merged, "merged");
  merged.dispose();
  await assertSteps(model, adapter, expected);
  params.dispose();
}

/** Three steps from the case's parameters. Entries whose first gradient is nearly zero go where rounding sends them. */
async function assertSteps(
  model: Model,
  adapter: Adapter,
  expected: ReadonlyMap<string, Float32Array>,
): Promise<void> {
  const moments = resident(adamw(), adapter.params);
  const root = keep<Tree>(adapter.params);
  const rateOf = adapter.method.rates?.({ params: adapter.params, spec: model.spec, learningRate: RATE });
  for (let step = 1; step <= 3; step++) {
    const { grads } = await lossAndGrad(model, { ...adapter, params: root.tree }, goldenBatch());
    const options = { learningRate: RATE, step, ...rateOf && { rateOf } };
    root.replace(await moments.apply(root.tree, grads, options));
    dispose(grads);
  }
  let [left, all] = [0, 0];
  for (const [path, t] of leaves(root.tree)) {
    const gradient = expected.get(`grad.${path}`)!;
    const floor = 1e-6 * Math.max(...gradient.map(Math.abs));
    const counted = (values: Float32Array) => values.filter((_, i) => Math.abs(gradient[i]!) >= floor);
    const found = await read(t);
    assertClose(counted(found), counted(expected.get(`after.${path}`)!), 1e-4, `${path} after three steps`);
    left += found.length - counted(found).length;
    all += found.length;
  }
  assert.ok(left <= 0.01 * all, `${left} of ${all} entries had no gradient to compare`);
  root.dispose();
  moments.dispose();
}
