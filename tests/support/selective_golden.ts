/** What the authors' rules on names train of a golden encoder, and its gradients (tests/oracles/selective.py). */
import assert from "node:assert/strict";
import {
  adapt,
  type Backend,
  type Batch,
  dispose,
  leaves,
  lossAndGrad,
  type Method,
  type Model,
  read,
  type Tree,
} from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { assertClose, assertNoLeak } from "./assert.ts";
import { ALL_BACKENDS, withBackend } from "./backends.ts";
import { GOLDEN, goldenNumbers } from "./golden.ts";

/** A golden encoder. */
export const loadEncoder = (name: string, backend: Backend): Promise<Model> =>
  loadModel(`${GOLDEN}encoders/${name}`, { backend });

/** Its batch. */
export const encoderBatch = (name: string): Batch =>
  JSON.parse(Deno.readTextFileSync(`${GOLDEN}encoders/${name}/case.json`));

/** Loss, and every gradient by name; one that vanishes is measured against the others. */
export async function assertSelective(
  golden: string,
  model: Model,
  method: Method,
  params: Tree,
  batch: Batch,
): Promise<void> {
  const expected = goldenNumbers(`selective/${golden}.safetensors`);
  const { loss, grads } = await lossAndGrad(model, { method, params }, batch);
  assertClose([loss], expected.get("loss")!, 1e-5, "loss");
  const wanted = [...expected.keys()].filter((key) => key.startsWith("grad."));
  assert.deepEqual(leaves(grads).map(([path]) => `grad.${path}`).sort(), wanted.sort());
  const floor = 1e-2 * Math.max(...wanted.map((key) => Math.max(...expected.get(key)!.map(Math.abs))));
  for (const [path, g] of leaves(grads)) {
    assertClose([...await read(g), floor], [...expected.get(`grad.${path}`)!, floor], 1e-4, path);
  }
  dispose(grads);
}

/** Registers the tests of a case. */
export function selectiveGolden(golden: string, source: string, method: Method): void {
  for (const name of ALL_BACKENDS) {
    Deno.test(`${method.name}() trains what the authors' rule chooses: ${golden} (${name})`, () =>
      withBackend(name, (backend) =>
        assertNoLeak(async () => {
          const model = await loadEncoder(source, backend);
          const { params } = adapt(model, method);
          await assertSelective(golden, model, method, params, encoderBatch(source));
          dispose(params);
          model.dispose();
        })));
  }
}
