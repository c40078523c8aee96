/** A few steps of training on a tiny model, and adapters as training would leave them. */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  type Batch,
  dispose,
  fold,
  graft,
  keep,
  key,
  loss,
  lossAndGrad,
  mapTree,
  type Method,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { add, multiply, normal } from "../../ops/mod.ts";
import { adamw, resident } from "../../train/mod.ts";
import { assertNoLeak } from "./assert.ts";
import { withBackend } from "./backends.ts";
import { tinyGpt2, tinyLlama } from "./tiny_models.ts";

/** Two texts of six tokens. */
export const TEXT: Batch = {
  inputIds: [[1, 5, 3, 10, 7, 2], [2, 2, 7, 0, 4, 4]],
  labels: [[1, 5, 3, 10, 7, 2], [2, 2, 7, 0, 4, 4]],
};

/** Two texts of five. */
export const SHORT_TEXT: Batch = {
  inputIds: [[1, 5, 3, 10, 2], [2, 2, 7, 0, 4]],
  labels: [[1, 5, 3, 10, 2], [2, 2, 7, 0, 4]],
};

/** Steps of AdamW with the method's projection; the losses before each. */
export async function losses(
  model: Model,
  method: Method,
  steps: number,
  rate: number,
): Promise<readonly number[]> {
  const root = keep<Tree>(method.init({ model, key: 0 }));
  const moments = resident(adamw(), root.tree);
  const seen: number[] = [];
  for (let step = 1; step <= steps; step++) {
    const { loss, grads } = await lossAndGrad(model, { method, params: root.tree }, TEXT, {
      train: true,
      key: step,
    });
    seen.push(loss);
    const next = await moments.apply(root.tree, grads, { learningRate: rate, step });
    root.replace(next);
    if (method.project) {
      root.replace(scope((): Synchronous<Tree> => method.project!(root.tree) as Synchronous<Tree>));
    }
    dispose(grads);
  }
  root.dispose();
  moments.dispose();
  return seen;
}

/** Registers a test of ten steps. */
export function lowersLoss(name: string, method: Method, rate = 0.02): void {
  Deno.test(`${name}() lowers the loss in ten steps`, () =>
    withBackend("wasm", (backend) =>
      assertNoLeak(async () => {
        const model = tinyLlama(backend, 5);
        const seen = await losses(model, method, 10, rate);
        assert.ok(seen.at(-1)! < 0.97 * seen[0]!, seen.join(", "));
        model.dispose();
      })));
}

async function lossOf(model: Model, batch: Batch): Promise<number> {
  const value = scope((): Synchronous<Tensor> => loss(model, batch));
  const [n] = await read(value);
  value.storage.free();
  return n!;
}

/** Twelve steps of AdamW at the method's own rates take a tenth off the loss. */
export async function assertTrains(model: Model, method: Method, batch: Batch): Promise<void> {
  const params = keep<Tree>(method.init({ model, key: 0 }));
  const moments = resident(adamw(), params.tree);
  const before = await lossOf(graft(model, { method, params: params.tree }), batch);
  const rateOf = method.rates?.({ params: params.tree, spec: model.spec, learningRate: 0.02 });
  for (let step = 1; step <= 12; step++) {
    const { grads } = await lossAndGrad(model, { method, params: params.tree }, batch);
    params.replace(
      await moments.apply(params.tree, grads, { learningRate: 0.02, step, ...rateOf && { rateOf } }),
    );
    dispose(grads);
  }
  const after = await lossOf(graft(model, { method, params: params.tree }), batch);
  assert.ok(after < 0.9 * before, `${method.name}: ${before} became ${after}`);
  moments.dispose();
  params.dispose();
}

/** Registers a test of twelve steps on a GPT-2, for each form of a method. */
export function trains(title: string, ...makes: readonly ((model: Model) => Method)[]): void {
  Deno.test(`${title} lowers the loss in twelve steps`, () =>
    withBackend("wasm", (backend) =>
      assertNoLeak(async () => {
        const model = tinyGpt2(backend, 5);
        for (const make of makes) await assertTrains(model, make(model), SHORT_TEXT);
        model.dispose();
      })));
}

/** An adapter with noise on all of its parameters. */
export function noisy(
  model: Model,
  method: Method,
  deviation = 0.3,
): { readonly adapter: Adapter; dispose(): void } {
  const fresh = keep(method.init({ model, key: 1 }));
  const root = keep(
    scope((): Synchronous<Tree> =>
      mapTree(fresh.tree, (t, path) => add(t, normal(fold(key(2), path), t.shape, t.backend, deviation)))
    ),
  );
  return {
    adapter: { method, params: root.tree },
    dispose: () => {
      root.dispose();
      fresh.dispose();
    },
  };
}

/** A fresh adapter of a seed with noise in every parameter. */
export function trainedAdapter(model: Model, method: Adapter["method"], seed: number): Adapter {
  const fresh = adapt(model, method, seed);
  const params = scope((): Synchronous<Tree> =>
    mapTree(
      fresh.params,
      (t, path) => add(t, multiply(normal(fold(key(seed), path), t.shape, t.backend), 0.2)),
    )
  );
  dispose(fresh.params);
  return { ...fresh, params };
}
