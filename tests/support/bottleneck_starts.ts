/** What bottleneck adapters have in common at their start. */
import assert from "node:assert/strict";
import {
  type Adapter,
  dispose,
  forward,
  graft,
  type HiddenCall,
  type HiddenEdit,
  keep,
  key,
  leaves,
  lossAndGrad,
  mapTree,
  type Method,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import { integers, multiply, ones } from "../../ops/mod.ts";
import { assertClose, assertNoLeak } from "./assert.ts";
import { withBackend } from "./backends.ts";
import { noisy, TEXT } from "./lowers_loss.ts";
import { tinyGpt2, tinyLlama } from "./tiny_models.ts";

/** Registers a test: with U and its bias at zero the model is as it was. */
export function neutralAtZero(title: string, method: Method): void {
  Deno.test(`${title} with U and its bias at zero leaves the model as it is`, () =>
    withBackend("wasm", (backend) =>
      assertNoLeak(async () => {
        for (const model of [tinyLlama(backend, 9), tinyGpt2(backend, 9)]) {
          const base = forward(model, TEXT).logits;
          const { adapter, dispose: free } = noisy(model, method);
          const params = scope((): Synchronous<Tree> =>
            mapTree(adapter.params, (t, path) => multiply(t, /\.up\./.test(path) ? 0 : 1))
          );
          const logits = forward(graft(model, { method, params }), TEXT).logits;
          assertClose(await read(logits), await read(base), 1e-6, method.name);
          dispose([logits, params, base]);
          free();
          model.dispose();
        }
      })));
}

/** Registers a test: at the first step the leaves that a pattern matches have no gradient, and all others have one. */
export function stillAtFirst(title: string, method: Method, still: RegExp): void {
  Deno.test(`${title} moves at the first step all but what another factor's zero holds still`, () =>
    withBackend("wasm", (backend) =>
      assertNoLeak(async () => {
        const model = tinyLlama(backend, 10);
        const params = keep(method.init({ model, key: 0 }));
        const { grads } = await lossAndGrad(model, { method, params: params.tree }, TEXT);
        for (const [path, g] of leaves(grads)) {
          const moves = (await read(g)).some((x) => x !== 0);
          assert.equal(moves, !still.test(path), `${method.name} ${path}`);
        }
        dispose(grads);
        params.dispose();
        model.dispose();
      })));
}

/** What an adapter's hidden edit adds to states of ones, in training under a key. */
export async function addedToOnes(adapter: Adapter, model: Model, at: number): Promise<readonly number[]> {
  const t = scope(() => {
    const edit = adapter.method.edits(adapter.params, model.spec)[at] as HiddenEdit;
    const y = ones([1, 4, 12], model.backend);
    const call: HiddenCall = {
      x: y,
      y,
      skip: undefined,
      norm: (t) => t,
      train: true,
      key: key(3),
      phase: "train",
      ids: integers([1, 2, 3, 4], model.backend, [1, 4]),
      mask: undefined,
      signal: () => y,
    };
    return edit.delta.run(call);
  });
  const numbers = [...await read(t)];
  dispose(t);
  return numbers;
}
