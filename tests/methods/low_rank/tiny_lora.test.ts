/** TinyLoRA against PEFT (tests/oracles/peft_shared_vectors.py), and the directions and projections that it makes by itself. */
import {
  type Backend,
  dispose,
  leaves,
  lookup,
  type Model,
  nest,
  read,
  type Tensor,
  type Tree,
} from "../../../core/mod.ts";
import { leadingDirections, tinyLora, type TinyLoraOptions } from "../../../methods/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";
import { assertGolden, goldenBase, goldenParams } from "../../support/golden_method.ts";
import { assertMerged, assertShapes, assertSteps } from "../../support/golden_training.ts";

const OPTIONS: TinyLoraOptions = {
  rank: 3,
  dimension: 7,
  tying: 0.6,
  singularValues: "split",
  targets: ["q_proj", "v_proj", "down_proj"],
};

/** The case's parameters, which PEFT made, and a method with directions of its own. */
async function withCase(
  backend: Backend,
  options: TinyLoraOptions,
  run: (model: Model, params: Tree, method: ReturnType<typeof tinyLora>) => Promise<void>,
): Promise<void> {
  const model = await goldenBase(backend);
  const params = goldenParams("tiny_lora", backend);
  const directions = await leadingDirections(model, options);
  await run(model, params.tree, tinyLora({ ...options, directions }));
  dispose([directions]);
  params.dispose();
  model.dispose();
}

for (const backendName of ALL_BACKENDS) {
  Deno.test(`tinyLora() equals its golden case (${backendName})`, () =>
    withBackend(
      backendName,
      (backend) =>
        assertNoLeak(() =>
          withCase(backend, { ...OPTIONS, projectionSeed: 99 }, async (model, params, method) => {
            const adapter = { method, params }; // the file's P, not those of the seed
            assertShapes(model, adapter);
            await assertGolden("tiny_lora", model, adapter);
            await assertMerged("tiny_lora", model, adapter);
            await assertSteps("tiny_lora", model, adapter);
          })
        ),
    ));

  Deno.test(`tinyLora() finds PEFT's factors, signs aside, and draws its P (${backendName})`, () =>
    withBackend(
      backendName,
      (backend) =>
        assertNoLeak(() =>
          withCase(backend, OPTIONS, async (model, params, method) => {
            const own = method.init({ model, key: 0 });
            for (const [path, t] of leaves(params).filter(([path]) => path.includes(".frozen."))) {
              const [wanted, found] = [await read(t), await read(lookup(own, path) as Tensor)];
              const plain = (x: Float32Array): Float32Array => path.endsWith(".p") ? x : x.map(Math.abs);
              // 1e-4: torch decomposes in f32, which turns directions whose singular values lie close.
              assertClose(plain(found), plain(wanted), path.endsWith(".p") ? 1e-6 : 1e-4, path);
            }
            dispose(own);
          })
        ),
    ));

  Deno.test(`tinyLora() regenerated equals its golden case (${backendName})`, () =>
    withBackend(
      backendName,
      (backend) =>
        assertNoLeak(() =>
          withCase(backend, { ...OPTIONS, projections: "regenerated" }, async (model, params, method) => {
            const kept = leaves(params).filter(([path]) => !path.endsWith(".p"));
            const adapter = { method, params: nest(kept) as Tree };
            assertShapes(model, adapter);
            await assertGolden("tiny_lora", model, adapter);
          })
        ),
    ));
}
